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
    Entry(line="mohr verify {jades} --issuers {x} --offline --json", good="cert"),
    Entry(line="mohr verify {jades} --policy {x} --offline --json", good="rx"),
    Entry(line="mohr verify {jades} --trust {x} --trust-signer {cert} --offline --json", good="jades"),
    Entry(line="mohr verify {jades} --trust {jades} --trust-signer {x} --offline --json", good="cert"),
    Entry(line="mohr trust show {x}", good="jades"),
    Entry(line="mohr trust check {x} --signer {cert}", good="jades"),
    Entry(line="mohr trust check {jades} --signer {x}", good="cert"),
    Entry(line="mohr trust keep {x} --signer {cert} -o {out}", good="jades"),
    Entry(line="mohr trust make {x} --key file:{key} --cert {cert} -o {out} --home {home}", good="rx"),
    Entry(line=f"{_SIGN} --format jades", good="rx", takes=_ANY_OCTETS),
    Entry(line=f"{_SIGN} --format cades", good="rx", takes=_ANY_OCTETS),
    Entry(line=f"{_SIGN} --format pades", good="pdf"),
    Entry(line="mohr sign {rx} --format cades --key file:{x} --cert {cert} -o {out} --home {home}", good="key"),
    Entry(line="mohr sign {rx} --format cades --key file:{key} --cert {x} -o {out} --home {home}", good="cert"),
    Entry(line="mohr ca file submit {x} --officer clerk-parsa --home {home}", good="person"),
    Entry(line="mohr ca bulk {x} --officer clerk-parsa --home {home}", good="person", takes=frozenset({"truncated"})),
    Entry(line="mohr ca file attach {file_id} {x} --officer clerk-parsa --home {home}", good="pdf"),
    Entry(line="mohr ca file draft {x} --officer clerk-parsa --home {home}", good="person"),
    Entry(line="mohr ca issue --profile clin-sign --file {file_id} --csr {x} --home {home}", good="csr"),
    Entry(line="mohr ca install-chain {x} --home {home}", good="cert"),
    Entry(line="mohr ca profiles check {x} --home {home}", good="rx"),
    Entry(line="mohr ca identities check {x} --home {home}", good="rx"),
    Entry(line="mohr ca officer enrol {x} --officer clerk-parsa --home {home}", good="person"),
    Entry(line="mohr ca officer bind officer-akbari --cert {x} --officer clerk-parsa --home {home}", good="cert"),
    Entry(line="mohr token activate {token_id} --csr {x} --home {home}", good="csr"),
    Entry(line="mohr audit verify --checkpoint {x} --json --home {home}", good="note"),
    Entry(line="mohr audit verify --key {x} --home {home}", good="vkey"),
    Entry(line="mohr audit verify --export {x} --home {home}", good="note"),
    Entry(line="mohr hsm ceremony {x} --rehearsal --home {home}", good="rx"),
    Entry(line="mohr hsm ceremony --verify {x} --home {home}", good="rx"),
    Entry(line="mohr hsm restore {x} --home {out}", good="rx"),
    Entry(line="mohr restore {x} --home {out}", good="rx"),
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
    "mohr trust make",
    "mohr ca list",
    "mohr ca show ab",
    "mohr ca revoke ab --reason key-compromise",
    "mohr ca hold ab",
    "mohr ca unhold ab",
    "mohr ca crl",
    "mohr ca lint ab",
    "mohr ca officer list",
    "mohr ca officer enrol {rx} --officer a",
    "mohr ca officer found a --given-name b --surname c --csr {csr} --role approver",
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
    "mohr ca bulk {rx} --officer a",
    "mohr ca bulk-approve a --officer a",
    "mohr ca bulk-issue a --officer a",
    "mohr ca bulk-status a",
    "mohr ca file draft {rx} --officer a",
    "mohr ca file present a --officer a",
    "mohr ca file check a --officer a",
    "mohr ca file withdraw a --officer a",
    "mohr ca file show a",
    "mohr ca file attach a {pdf} --officer b",
    "mohr ca file evidence a b -o {out} --officer c",
    "mohr ca file refuse a --officer a --reason b",
    "mohr ca issue --profile clin-sign --file a --csr {csr}",
    "mohr ca renew ab --csr {csr}",
    "mohr ca replace ab --csr {csr} --reason superseded",
    "mohr ca renew-services",
    "mohr ca est-secret a",
    "mohr ca activation send a --officer b",
    "mohr ca activation status a",
    "mohr ca activate a",
    "mohr ca suspend",
    "mohr ca revoke-all a --reason superseded",
    "mohr ca revocation list",
    "mohr ca revocation approve a --officer b",
    "mohr ca revocation refuse a --why b --officer c",
    "mohr ca revocation evidence a -o {out} --officer b",
    "mohr ca status-alarms",
    "mohr ca compromised persons",
    "mohr ca suspension-code a",
    "mohr ca install-chain {cert}",
    "mohr ca nonce a",
    "mohr token list",
    "mohr token status a",
    "mohr token request --siam a --system b --officer c",
    "mohr token approve a --officer b",
    "mohr token activate a --csr {csr}",
    "mohr token suspend a --officer b --reason c",
    "mohr token restore a --officer b",
    "mohr backup --out {out}",
    "mohr reconcile",
    "mohr recovery key",
    "mohr recovery show",
    "mohr recovery release --officer a",
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
    "mohr audit accept-clock --officer b --reason c",
    "mohr sign {rx} --format cades --key pkcs11:object=a -o {out}",
)


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
