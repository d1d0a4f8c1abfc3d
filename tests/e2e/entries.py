"""Every entry of the three programs' command lines that takes a file, a deployment or a word, as one table.

A line is split at its blanks; `{x}` is the hostile thing, other braces name good files of the test.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from desk.cli import agent
from webapp.cli import mohr
from webapp.gateway_cli import gateway

PROGRAMS: dict[str, click.Command] = {"mohr": mohr, "mohr-agent": agent, "mohr-gateway": gateway}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One place where a stranger's file enters; `good` is what belongs there, `takes` hostile kinds that are fine."""

    line: str
    good: str
    takes: frozenset[str] = frozenset()


def arguments_of(line: str, files: Mapping[str, Path], hostile: Path | None = None) -> tuple[click.Command, list[str]]:
    """Turn a line of the table into a program and its arguments."""
    program, *words = line.split()
    known = {name: str(path) for name, path in files.items()}
    return PROGRAMS[program], [word.format(x=hostile, **known) for word in words]


_ANY_OCTETS = frozenset({"random", "unreadable-name"})  # octets without a known form are signed as they are
_ANY_LINE = _ANY_OCTETS | {"truncated"}
_SIGN = "mohr sign {x} --key file:{key} --cert {cert} -o {out} --home {home}"

ENTRIES = (
    Entry(line="mohr verify {x} --offline --json", good="jades"),
    Entry(line="mohr verify {x} --offline --home {home} --json", good="pades"),
    Entry(line="mohr verify {x} --content {rx} --offline --json", good="cades"),
    Entry(line="mohr verify {cades} --content {x} --offline --json", good="rx"),
    Entry(line="mohr verify {jades} --anchor {x} --offline --json", good="cert"),
    Entry(line="mohr verify {jades} --policy {x} --offline --json", good="rx"),
    Entry(line=f"{_SIGN} --format jades", good="rx", takes=_ANY_OCTETS),
    Entry(line=f"{_SIGN} --format cades", good="rx", takes=_ANY_OCTETS),
    Entry(line=f"{_SIGN} --format pades", good="pdf"),
    Entry(line="mohr sign {rx} --format cades --key file:{x} --cert {cert} -o {out} --home {home}", good="key"),
    Entry(line="mohr sign {rx} --format cades --key file:{key} --cert {x} -o {out} --home {home}", good="cert"),
    Entry(line="mohr ca file submit {x} --officer clerk-parsa --home {home}", good="person"),
    Entry(line="mohr ca file draft {x} --officer clerk-parsa --home {home}", good="person"),
    Entry(line="mohr ca issue --profile clin-sign --file {file_id} --csr {x} --home {home}", good="csr"),
    Entry(line="mohr ca profiles check {x} --home {home}", good="rx"),
    Entry(line="mohr ca officer enrol {x} --officer clerk-parsa --home {home}", good="person"),
    Entry(line="mohr ca officer bind officer-akbari --cert {x} --officer clerk-parsa --home {home}", good="cert"),
    Entry(line="mohr token activate {token_id} --csr {x} --home {home}", good="csr"),
    Entry(line="mohr audit verify --checkpoint {x} --json --home {home}", good="note"),
    Entry(line="mohr audit verify --key {x} --home {home}", good="vkey"),
    Entry(line="mohr audit verify --export {x} --home {home}", good="note"),
    Entry(line="mohr hsm ceremony {x} --rehearsal --home {home}", good="rx"),
    Entry(line="mohr hsm ceremony --verify {x} --home {home}", good="rx"),
    Entry(line="mohr hsm restore {x} --home {out}", good="rx"),
    Entry(line="mohr centre keygen --out {out}.k --csr {out}.c --passphrase-file {x}", good="key", takes=_ANY_LINE),
    Entry(line="mohr centre assertion --issuer http://127.0.0.1:1 --client-id a --key {x} --cert {cert}", good="key"),
    Entry(line="mohr centre assertion --issuer http://127.0.0.1:1 --client-id a --key {key} --cert {x}", good="cert"),
    Entry(
        line="mohr centre token --issuer http://127.0.0.1:1 --client-id a --key {key} --cert {cert} --cacert {x}",
        good="cert",
    ),
    Entry(line="mohr centre call http://127.0.0.1:1/ --token @{x}", good="token"),
    Entry(line="mohr centre call http://127.0.0.1:1/ --token a --key {x} --cert {cert}", good="key"),
    Entry(line="mohr centre call http://127.0.0.1:1/ --token a --key {key} --cert {x}", good="cert"),
    Entry(line="mohr-gateway verify @{x} --cert {cert} --cache {out} --json", good="token"),
    Entry(line="mohr-gateway verify a.b.c --cert {x} --cache {out} --json", good="cert"),
    Entry(line="mohr-gateway verify a.b.c --cert {cert} --cache {x} --json", good="rx"),
    Entry(line="mohr-gateway fetch --issuer http://127.0.0.1:1 --cache {out} --cacert {x}", good="cert"),
    Entry(line="mohr-agent sign {x} --format jades --yes", good="rx"),
    Entry(line="mohr-agent sign {x} --format pades --yes", good="pdf"),
    Entry(line="mohr-agent sign {rx} --format cades --yes --chain {x} -o {out}", good="cert"),
    Entry(line="mohr-agent personalise write {x}", good="cert"),
    Entry(line="mohr-agent emulate --folder {out}.card --initial-pins {x}", good="rx"),
)

# What needs a deployment; each must say that there is none, and make none.
NEED_A_DEPLOYMENT = (
    "mohr serve",
    "mohr ca list",
    "mohr ca show ab",
    "mohr ca revoke ab --reason key-compromise",
    "mohr ca hold ab",
    "mohr ca unhold ab",
    "mohr ca crl",
    "mohr ca lint ab",
    "mohr ca officer list",
    "mohr ca officer enrol {rx} --officer a",
    "mohr ca officer found a --name b --cert {cert} --role approver",
    "mohr ca officer bind a --cert {cert} --officer b",
    "mohr ca officer suspend a --reason b --officer c",
    "mohr ca officer restore a --officer b",
    "mohr ca officer role list",
    "mohr ca officer role request a --role approver --realm b --officer c",
    "mohr ca officer role approve a --officer b",
    "mohr ca officer role refuse a --officer b",
    "mohr ca officer role remove a --role approver --realm b --officer c",
    "mohr ca realm list",
    "mohr ca realm add a --parent b --level hospital --name c --officer d",
    "mohr ca lint --pending",
    "mohr ca search --officer a",
    "mohr ca export --officer a",
    "mohr ca remind",
    "mohr ca statistics",
    "mohr ca file list",
    "mohr ca file submit {rx} --officer a",
    "mohr ca file approve a --officer a",
    "mohr ca file draft {rx} --officer a",
    "mohr ca file present a --officer a",
    "mohr ca file check a --officer a",
    "mohr ca file withdraw a --officer a",
    "mohr ca file show a",
    "mohr ca file refuse a --officer a --reason b",
    "mohr ca issue --profile clin-sign --file a --csr {csr}",
    "mohr token list",
    "mohr token status a",
    "mohr token request --siam a --system b --officer c",
    "mohr token approve a --officer b",
    "mohr token activate a --csr {csr}",
    "mohr token suspend a --officer b --reason c",
    "mohr token restore a --officer b",
    "mohr hsm adopt a pkcs11:id=%01 --algorithm ES256 --purpose token",
    "mohr hsm backup --out {out}",
    "mohr hsm check",
    "mohr hsm keep-pin",
    "mohr hsm keys",
    "mohr hsm unlock",
    "mohr audit verify",
    "mohr audit checkpoint",
    "mohr audit export {out}",
    "mohr audit proof a",
    "mohr audit acknowledge-gap a --officer b --reason c",
    "mohr sign {rx} --format cades --key pkcs11:object=a -o {out}",
)

# Words that are wrong, with the code that says so. `\udcff` is an argument that is not UTF-8.
WRONG_WORDS = (
    ("mohr nonsense", "usage"),
    ("mohr ca issue", "usage"),
    ("mohr ca officer found a --name b --cert {cert} --role approver --home {home}", "conflict"),
    ("mohr ca officer found a --name b --cert {rx} --role approver --home {home}", "certificate-malformed"),
    ("mohr ca officer bind absent --cert {cert} --officer clerk-parsa --home {home}", "not-found"),
    ("mohr ca officer bind clerk-parsa --cert {cert} --officer clerk-parsa --home {home}", "four-eyes"),
    ("mohr ca officer suspend absent --reason a --officer clerk-parsa --home {home}", "not-found"),
    ("mohr ca officer suspend \udcff --reason a --officer clerk-parsa --home {home}", "input-malformed"),
    ("mohr ca officer suspend officer-akbari --reason - --officer nobody --home {home}", "officer-unknown"),
    ("mohr ca officer restore officer-akbari --officer clerk-parsa --home {home}", "state-illegal"),
    ("mohr ca officer role request absent --role approver --realm ministry --officer clerk-parsa --home {home}",
     "not-found"),
    ("mohr ca officer role request officer-akbari --role approver --realm absent --officer clerk-parsa --home {home}",
     "not-found"),
    ("mohr ca officer role request clerk-parsa --role approver --realm ministry --officer clerk-parsa --home {home}",
     "four-eyes"),
    ("mohr ca officer role request a --role king --realm ministry --officer clerk-parsa --home {home}", "usage"),
    ("mohr ca officer role approve absent --officer officer-akbari --home {home}", "not-found"),
    ("mohr ca officer role refuse absent --officer officer-akbari --home {home}", "not-found"),
    ("mohr ca officer role remove officer-akbari --role issuer --realm ministry --officer clerk-parsa --home {home}",
     "not-found"),
    ("mohr ca realm add a --parent absent --level hospital --name b --officer clerk-parsa --home {home}", "not-found"),
    ("mohr ca realm add A --parent ministry --level hospital --name b --officer clerk-parsa --home {home}",
     "input-malformed"),
    ("mohr ca realm add a --parent ministry --level ministry --name b --officer clerk-parsa --home {home}",
     "input-malformed"),
    ("mohr ca realm add ministry --parent ministry --level hospital --name b --officer clerk-parsa --home {home}",
     "conflict"),
    ("mohr ca lint", "usage"),
    ("mohr ca lint ab --pending", "usage"),
    ("mohr ca lint --close ab --home {home}", "usage"),
    ("mohr ca lint --close ab --officer officer-akbari --note b --home {home}", "not-found"),
    ("mohr ca lint --close ab --officer nobody --note b --home {home}", "officer-unknown"),
    ("mohr ca lint ab --home {home}", "not-found"),
    ("mohr bench nonsense --home {home}", "usage"),
    ("mohr demo nonsense", "usage"),
    ("mohr serve --bind nonsense --home {home}", "usage"),
    ("mohr serve --bind 127.0.0.1:99999 --home {home}", "usage"),
    ("mohr run --bind nonsense --home {out}", "usage"),
    ("mohr run --home {rx}", "usage"),
    ("mohr verify {jades} --at yesterday", "usage"),
    ("mohr verify {jades} --report {out}.docx", "usage"),
    ("mohr verify {jades} --policy nonsense", "file-unreadable"),
    ("mohr verify {jades} --home {out}", "deployment-missing"),
    ("mohr sign {rx} --format xades --key file:{key}", "usage"),
    ("mohr sign {rx} --format cose --key file:{key}", "document-unsignable"),
    ("mohr sign {rx} --format jades --level LTA --key file:{key}", "document-unsignable"),
    ("mohr sign {rx} --format jades --key nonsense", "key-uri-malformed"),
    ("mohr sign {rx} --format jades --key pkcs11:pin-value=1", "key-uri-malformed"),
    ("mohr sign {rx} --format jades --key pkcs11:object=absent --home {home}", "hsm-key-not-found"),
    ("mohr sign {rx} --format jades --key file:{key} --cert {cert} -o {rx}", "usage"),
    ("mohr sign {rx} --format jades --key file:{key} --cert {cert} -o {out}/x/y", "file-unwritable"),
    ("mohr sign {rx} --format jades --key file:{key} --cert {root}", "verification-failed"),
    ("mohr sign {rx} --format jades --level T --tsa http://[::1 --key file:{key} --cert {cert}", "input-malformed"),
    ("mohr sign {rx} --format jades --level T --tsa http://127.0.0.1:1 --key file:{key} --cert {cert} -o {out}",
     "timestamp-unavailable"),
    ("mohr ca show zz --home {home}", "input-malformed"),
    ("mohr ca show \udcff --home {home}", "input-malformed"),
    ("mohr ca show ab --home {home}", "not-found"),
    ("mohr ca revoke ab --reason nonsense --home {home}", "input-malformed"),
    ("mohr ca revoke ab --reason - --home {home}", "input-malformed"),
    ("mohr ca revoke ab --reason superseded --invalidity-date tomorrow --home {home}", "input-malformed"),
    ("mohr ca revoke ab --reason superseded --home {home}", "not-found"),
    ("mohr ca hold ab --home {home}", "not-found"),
    ("mohr ca unhold ab --home {home}", "not-found"),
    ("mohr ca crl --shard 4096 --home {home}", "usage"),
    ("mohr ca crl --shard 4095 --home {home}", "not-found"),
    ("mohr ca crl --issuer nobody --shard 0 --home {home}", "not-found"),
    ("mohr ca crl --issuer persons --home {home}", "usage"),
    ("mohr ca crl -o {out} --home {home}", "usage"),
    ("mohr ca crl --shard 0 -o {out}/x/y --home {home}", "file-unwritable"),
    ("mohr ca profiles check absent --home {home}", "file-unreadable"),
    ("mohr ca profiles show nonsense --home {home}", "profile-unknown"),
    ("mohr ca profiles show \udcff --home {home}", "profile-unknown"),
    ("mohr ca list --state nonsense --home {home}", "usage"),
    ("mohr ca list --profile nonsense --home {home}", "usage"),
    ("mohr ca search --officer officer-akbari --nonsense a --home {home}", "usage"),
    ("mohr ca search --officer nobody --state good --home {home}", "officer-unknown"),
    ("mohr ca search --officer officer-akbari --state nonsense --home {home}", "input-malformed"),
    ("mohr ca search --officer officer-akbari --serial-prefix abc --home {home}", "input-malformed"),
    ("mohr ca search --officer officer-akbari --holder \udcff --home {home}", "input-malformed"),
    ("mohr ca search --officer officer-akbari --province \udcff --home {home}", "identity-invalid"),
    ("mohr ca search --officer officer-akbari --after ab --home {home}", "input-malformed"),
    ("mohr ca search --officer officer-akbari --limit 0 --home {home}", "usage"),
    ("mohr ca export --officer clerk-parsa --home {home}", "not-allowed"),
    ("mohr ca export --officer officer-akbari --format xlsx --home {home}", "usage"),
    ("mohr ca export --officer officer-akbari -o {out}/x/y --home {home}", "file-unwritable"),
    ("mohr ca file list --state nonsense --home {home}", "usage"),
    ("mohr ca file show absent --home {home}", "not-found"),
    ("mohr ca file show \udcff --home {home}", "not-found"),
    ("mohr ca file check absent --officer officer-akbari --home {home}", "not-found"),
    ("mohr ca file check {file_id} --officer officer-akbari --home {home}", "state-illegal"),
    ("mohr ca file present {file_id} --officer clerk-parsa --home {home}", "state-illegal"),
    ("mohr ca file withdraw {file_id} --officer clerk-parsa --home {home}", "state-illegal"),
    ("mohr ca file withdraw {file_id} --officer officer-akbari --home {home}", "not-allowed"),
    ("mohr ca file submit {person} --previous absent --officer clerk-parsa --home {home}", "not-found"),
    ("mohr ca file submit {person} --previous {file_id} --officer clerk-parsa --home {home}", "state-illegal"),
    ("mohr ca file approve {file_id} --officer nobody --home {home}", "officer-unknown"),
    ("mohr ca file approve {file_id} --officer clerk-parsa --home {home}", "state-illegal"),
    ("mohr ca file approve {file_id} --officer ../a --home {home}", "identity-invalid"),
    ("mohr ca file approve {file_id} --officer a --officer-key {key} --home {home}", "usage"),
    ("mohr ca file approve {file_id} --home {home}", "usage"),
    ("mohr ca file approve absent --officer officer-akbari --home {home}", "not-found"),
    ("mohr ca file refuse absent --officer officer-akbari --reason b --home {home}", "not-found"),
    ("mohr ca issue --profile nonsense --file {file_id} --csr {csr} --home {home}", "profile-unknown"),
    ("mohr ca issue --profile hix-tls --file {file_id} --csr {csr} --home {home}", "not-allowed"),
    ("mohr ca issue --profile clin-sign --file absent --csr {csr} --home {home}", "not-found"),
    ("mohr ca issue --profile clin-sign --file {file_id} --csr {csr} -o {out}/x/y --home {home}", "file-unwritable"),
    ("mohr token request --siam absent --system absent --officer clerk-parsa --home {home}", "gate-closed"),
    ("mohr token request --siam a --system b --officer \udcff --home {home}", "identity-invalid"),
    ("mohr token status absent --home {home}", "not-found"),
    ("mohr token approve absent --officer officer-akbari --home {home}", "not-found"),
    ("mohr token suspend absent --officer officer-akbari --reason b --home {home}", "not-found"),
    ("mohr token restore absent --officer officer-akbari --home {home}", "not-found"),
    ("mohr hsm adopt a pkcs11:object=a --algorithm ES256 --purpose token --home {home}", "key-uri-malformed"),
    ("mohr hsm adopt a \udcff --algorithm ES256 --purpose token --home {home}", "key-uri-malformed"),
    ("mohr hsm adopt a pkcs11:id=%01 --algorithm ES256 --purpose token --home {home}", "hsm-unavailable"),
    ("mohr hsm adopt a pkcs11:id=%01 --algorithm nonsense --purpose token --home {home}", "usage"),
    ("mohr hsm backup --out {rx} --home {home}", "conflict"),
    ("mohr hsm backup --out {out} --shares 2 --threshold 3 --home {home}", "usage"),
    ("mohr hsm ceremony absent.toml --rehearsal --home {home}", "file-unreadable"),
    ("mohr hsm keep-pin --shares 2 --threshold 3 --home {home}", "usage"),
    ("mohr hsm restore absent --home {out}", "file-unreadable"),
    ("mohr hsm unlock --home {home}", "conflict"),
    ("mohr audit proof absent --home {home}", "not-found"),
    ("mohr audit proof \udcff --home {home}", "not-found"),
    ("mohr audit acknowledge-gap absent --officer officer-akbari --reason b --home {home}", "not-found"),
    ("mohr audit acknowledge-gap \udcff --officer officer-akbari --reason b --home {home}", "not-found"),
    ("mohr audit acknowledge-gap absent --officer \udcff --reason b --home {home}", "identity-invalid"),
    ("mohr audit acknowledge-gap absent --officer officer-akbari --reason \udcff --home {home}", "input-malformed"),
    ("mohr audit export {rx} --home {home}", "conflict"),
    ("mohr audit checkpoint -o {out}/x/y --home {home}", "file-unwritable"),
    ("mohr centre call nonsense --token a", "input-malformed"),
    ("mohr centre call http://[::1 --token a", "input-malformed"),
    ("mohr centre call http://127.0.0.1:1/ --token \udcff", "usage"),
    ("mohr centre call http://127.0.0.1:1/ --token a --key {key}", "usage"),
    ("mohr centre call http://127.0.0.1:1/ --token a", "unavailable"),
    ("mohr centre token --issuer http://127.0.0.1:1 --client-id a --key {key} --cert {cert}", "unavailable"),
    ("mohr centre token --issuer http://127.0.0.1:1 --key {key} --cert {cert}", "usage"),
    ("mohr centre assertion --issuer http://127.0.0.1:1 --client-id \udcff --key {key} --cert {cert}", "usage"),
    ("mohr centre keygen --out {rx} --csr {out}", "conflict"),
    ("mohr centre keygen --out {out} --csr {out}.c --name \udcff", "identity-invalid"),
    ("mohr-gateway fetch --issuer http://[::1 --cache {out}", "usage"),
    ("mohr-gateway fetch --issuer http://127.0.0.1:1 --cache {out}", "unavailable"),
    ("mohr-gateway verify a --cert {cert} --cache {out} --at yesterday", "usage"),
    ("mohr-gateway verify a --cert {cert} --cache {out} --issuer nonsense", "usage"),
    ("mohr-agent nonsense", "usage"),
    ("mohr-agent cards --pin 1234", "usage"),
    ("mohr-agent sign {rx} --format jades --level T", "usage"),
    ("mohr-agent sign {rx} --format jades --pin-fd -1", "usage"),
    ("mohr-agent sign {rx} --format jades --yes -o {out}/x/y", "file-unwritable"),
    ("mohr-agent pin change --usage nonsense", "usage"),
    ("mohr-agent pin status --usage nonsense", "usage"),
    ("mohr-agent pin unblock --usage nonsense", "usage"),
    ("mohr-agent personalise keygen --csr {out}/x/y", "file-unwritable"),
    ("mohr-agent personalise keygen --csr {out} --algorithm EdDSA", "usage"),
    ("mohr-agent personalise write absent", "file-unreadable"),
)  # fmt: skip


def commands(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command of a program that does something, with the words that lead to it."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        assert below is not None, f"{' '.join(path)} {name} is named but not there"
        yield from commands(below, (*path, name))


ALL_COMMANDS = {" ".join(words): command for name, top in PROGRAMS.items() for words, command in commands(top, (name,))}
