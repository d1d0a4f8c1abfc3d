"""`mohr-gateway` and `mohr centre` over real TLS: from a key made at the centre to a decision at the gateway."""

from __future__ import annotations

import io
import json
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest

from pki.certificates import pem
from pki.csr import parse_csr
from pki.programs import run_program
from tests.support.exchange import CLERK, Ceremony, Exchange
from tests.support.exchange_server import served
from webapp.centre_cli import centre
from webapp.gateway_cli import gateway


@dataclass
class Desk:
    """A centre's and a gateway's machine, with the commands they run."""

    folder: Path
    exchange: Exchange
    url: str
    anchor: Path
    replies: dict[str, tuple[int, bytes]]
    capsys: pytest.CaptureFixture[str]
    traces: list[str] = field(default_factory=list)

    def run(self, command: click.Command, *arguments: str | Path) -> tuple[int, str]:
        """Run a command to its end; give exit status and standard output."""
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            run_program(command, [str(argument) for argument in arguments], lambda _n, text: self.traces.append(text))
        captured = self.capsys.readouterr()
        assert not self.traces, self.traces
        assert "Traceback" not in captured.err + captured.out
        assert isinstance(ended.value.code, int)
        return ended.value.code, captured.out

    def gateway(self, *arguments: str | Path) -> tuple[int, dict[str, Any]]:
        status, output = self.run(gateway, *arguments)
        return status, json.loads(output) if output else {}

    def centre(self, *arguments: str | Path) -> tuple[int, dict[str, Any]]:
        status, output = self.run(centre, *arguments)
        return status, json.loads(output) if output else {}

    def file(self, name: str) -> Path:
        return self.folder / name

    def connect(self, *options: str | Path) -> str:
        """Make the key here, have it certified; return the token's id."""
        assert (
            self.centre("keygen", "--out", self.file("centre.key"), "--csr", self.file("centre.csr"), *options)[0] == 0
        )
        token_id = self.exchange.approved()
        activation = self.exchange.service.activate(token_id, self.file("centre.csr").read_bytes(), CLERK)
        self.file("centre.pem").write_text(pem(activation.certificate_der))
        return token_id

    @property
    def mine(self) -> tuple[str | Path, ...]:
        return ("--key", self.file("centre.key"), "--cert", self.file("centre.pem"))

    def token(self, *options: str | Path) -> tuple[int, dict[str, Any]]:
        return self.centre("token", "--issuer", self.url, "--cacert", self.anchor, *self.mine, *options)

    def fetched(self) -> Path:
        status, _answer = self.gateway(
            "fetch", "--issuer", self.url, "--cache", self.file("cache"), "--cacert", self.anchor
        )
        assert status == 0
        return self.file("cache")

    def access_token(self) -> Path:
        """Fetch keys, get an access token; return its file."""
        self.fetched()
        status, answer = self.token("--scope", "hix.submit")
        assert status == 0
        self.file("access.jwt").write_text(answer["access_token"] + "\n")
        return self.file("access.jwt")


@pytest.fixture(scope="module")
def ceremony(tmp_path_factory: pytest.TempPathFactory) -> Ceremony:
    # The commands ask the machine's clock, so this deployment lives today.
    return Ceremony.hold(tmp_path_factory.mktemp("ceremony"), datetime.now(UTC).replace(microsecond=0))


@pytest.fixture
def desk(
    ceremony: Ceremony, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Desk]:
    (tmp_path / "server").mkdir()
    exchange, replies = Exchange.copy(ceremony, tmp_path / "server"), dict[str, tuple[int, bytes]]()
    exchange.clock.at = datetime.now(UTC)
    with served(exchange, replies) as (url, anchor):
        exchange.settings = replace(exchange.settings, issuer=url, exchange_url=url)
        yield Desk(folder=tmp_path, exchange=exchange, url=url, anchor=anchor, replies=replies, capsys=capsys)
    exchange.database.close()


# -- the centre --------------------------------------------------------------------------------------


def test_a_centre_makes_its_key_gets_a_token_and_calls_a_protected_address(desk: Desk) -> None:
    token_id = desk.connect()
    token = desk.access_token()
    status, answer = desk.centre(
        "call", f"{desk.url}/echo", "--token", f"@{token}", *desk.mine, "--cacert", desk.anchor
    )
    assert (status, answer["status"]) == (0, 200)
    assert answer["body"]["claims"]["client_id"] == token_id
    status, answer = desk.centre("call", f"{desk.url}/echo", "--token", f"@{token}", "--cacert", desk.anchor)
    assert (status, answer["status"]) == (1, 401)
    assert answer["body"]["reasons"] == ["binding"]


def test_the_token_can_be_asked_for_over_mutual_tls(desk: Desk) -> None:
    desk.connect()
    assert desk.token("--mtls")[0] == 0


def test_the_key_is_ours_alone_and_is_never_overwritten(desk: Desk) -> None:
    key, csr = desk.file("centre.key"), desk.file("centre.csr")
    assert desk.centre("keygen", "--out", key, "--csr", csr)[0] == 0
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert parse_csr(csr.read_bytes()).public_key.key_size == 256  # type: ignore[union-attr]  # EC keys have one
    kept = key.read_bytes()
    assert desk.centre("keygen", "--out", key, "--csr", desk.file("other.csr"))[0] == 1
    assert key.read_bytes() == kept


def test_an_encrypted_key_needs_its_passphrase(desk: Desk) -> None:
    desk.file("pass").write_text("correct horse\n")
    desk.connect("--passphrase-file", desk.file("pass"))
    assert b"ENCRYPTED" in desk.file("centre.key").read_bytes()
    opened = ("--passphrase-file", desk.file("pass"))
    assert desk.token("--mtls", *opened)[0] == 0
    assert desk.token()[0] == 1
    desk.file("pass").write_text("wrong\n")
    assert desk.token(*opened)[0] == 1
    desk.file("token").write_text("x.y.z")
    call = ("call", f"{desk.url}/echo", "--token", f"@{desk.file('token')}", *desk.mine, "--cacert", desk.anchor)
    assert desk.centre(*call)[0] == 1


def test_a_proof_for_another_client_works_once(desk: Desk) -> None:
    desk.connect()
    status, output = desk.run(centre, "assertion", "--issuer", desk.url, *desk.mine)
    assert status == 0
    form = {
        "grant_type": ["client_credentials"],
        "client_assertion_type": ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"],
        "client_assertion": [output.strip()],
    }
    desk.exchange.clock.at = datetime.now(UTC)
    assert [desk.exchange.service.oauth.token_endpoint(form, None).status for _ in range(2)] == [200, 401]


def test_a_refusal_is_printed_and_ends_with_1(desk: Desk) -> None:
    desk.connect()
    desk.exchange.say("pilot-clinic-1", "siam", state="failed")
    desk.exchange.service.sweep()
    status, answer = desk.token()
    assert (status, answer["error"], answer["reason"]) == (1, "unauthorized_client", "light-failed")
    assert desk.token("--client-id", "somebody-else")[1] == {"error": "invalid_client"}


def test_key_and_certificate_must_belong_together(desk: Desk) -> None:
    desk.connect()
    desk.file("centre.key").unlink()
    desk.centre("keygen", "--out", desk.file("centre.key"), "--csr", desk.file("again.csr"))
    assert desk.token()[0] == 1
    assert desk.token("--mtls")[0] == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("token", "--issuer", "https://127.0.0.1:1"),
        ("token", "--issuer", "https://127.0.0.1:1", "--key", "none.key", "--cert", "none.pem"),
        ("call", "http://example.com/", "--token", "x"),
        ("call", "file:///etc/hostname", "--token", "x"),
        ("call", "https://127.0.0.1:1/", "--token", "two words", "--key", "only.key"),
        ("keygen",),
        ("assertion", "--issuer", "x", "--key", "none.key", "--cert", "none.pem"),
    ],
    ids=" ".join,
)
def test_wrong_commands_of_a_centre_end_with_a_sentence(desk: Desk, arguments: tuple[str, ...]) -> None:
    status, output = desk.run(centre, *arguments)
    assert status in (1, 3)
    assert output == ""


# -- the gateway -------------------------------------------------------------------------------------


def test_the_gateway_decides_offline(desk: Desk) -> None:
    desk.connect()
    token, cache = desk.access_token(), desk.file("cache")
    desk.replies["/.well-known/oauth-authorization-server"] = (503, b"")
    verify = ("verify", f"@{token}", "--cache", cache, "--json", "--cert")
    status, answer = desk.gateway(*verify, desk.file("centre.pem"))
    assert (status, answer["decision"], answer["reasons"]) == (0, "accept", [])
    assert answer["claims"]["siam_id"] == "pilot-clinic-1"
    assert answer["keys_as_of"]
    status, answer = desk.gateway(*verify, desk.anchor)
    assert (status, answer["decision"], answer["reasons"]) == (1, "refuse", ["binding"])


def test_time_issuer_and_audience_can_be_named(desk: Desk) -> None:
    desk.connect()
    verify = (
        "verify",
        f"@{desk.access_token()}",
        "--cache",
        desk.file("cache"),
        "--cert",
        desk.file("centre.pem"),
        "--json",
    )
    later = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert desk.gateway(*verify, "--at", later)[1]["reasons"] == ["expired"]
    assert desk.gateway(*verify, "--audience", f"{desk.url}/ehr")[1]["reasons"] == ["audience"]
    status, answer = desk.gateway(*verify, "--issuer", "https://other.example")
    assert (status, answer["decision"], answer["reasons"]) == (2, "silent", ["keys-of-another-issuer"])


def test_the_token_can_come_from_standard_input_and_the_answer_be_plain(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.connect()
    token = desk.access_token()
    verify = ("verify", "-", "--cache", desk.file("cache"), "--cert", desk.file("centre.pem"))
    for data, status, said in (
        (token.read_bytes(), 0, "accept\n"),
        (b"", 1, "refuse: malformed\n"),
        (b"\xff\x00" * 9000, 1, "refuse: too-large\n"),
    ):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        assert desk.run(gateway, *verify) == (status, said)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no-keys"),
        (b"", "keys-unreadable"),
        (b"\x00" * 100, "keys-unreadable"),
        (b'{"format": "mohr-gateway-cache/1"}', "keys-unreadable"),
        (b"{" * 2_000_000, "keys-unreadable"),
    ],
    ids=["none", "empty", "binary", "incomplete", "huge"],
)
def test_without_keys_the_gateway_is_silent(desk: Desk, content: bytes | None, reason: str) -> None:
    if content is not None:
        desk.file("issuer.json").write_bytes(content)
    status, answer = desk.gateway("verify", "x.y.z", "--cert", desk.anchor, "--cache", desk.folder, "--json")
    assert (status, answer["decision"], answer["reasons"]) == (2, "silent", [reason])


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("verify",),
        ("verify", "x", "--cache", "."),
        ("verify", "x", "--cache", ".", "--cert", "no-such-file"),
        ("verify", "@no-such-file", "--cache", ".", "--cert", "{anchor}"),
        ("verify", "x", "--cache", ".", "--cert", "{garbage}"),
        ("verify", "x", "--cache", ".", "--cert", "{anchor}", "--at", "yesterday"),
        ("verify", "x", "--cache", ".", "--cert", "{anchor}", "--issuer", "http://example.com"),
        ("fetch", "--cache", "."),
        ("fetch", "--cache", ".", "--issuer", "ftp://example.com"),
        ("fetch", "--cache", ".", "--issuer", "https://user@example.com"),
        ("fetch", "--cache", ".", "--issuer", "https://127.0.0.1:1", "--cacert", "{garbage}"),
        ("unknown",),
    ],
    ids=" ".join,
)
def test_wrong_command_lines_of_the_gateway_end_with_3(desk: Desk, arguments: tuple[str, ...]) -> None:
    desk.file("garbage").write_bytes(b"\x30\x03\x02\x01\x00")
    given = [argument.format(anchor=desk.anchor, garbage=desk.file("garbage")) for argument in arguments]
    assert desk.run(gateway, *given)[0] == 3


def test_help_shows_an_example(desk: Desk) -> None:
    for command, arguments in ((gateway, ["verify"]), (gateway, ["fetch"]), (centre, ["token"]), (centre, ["call"])):
        status, output = desk.run(command, *arguments, "--help")
        assert status == 0
        assert "Example: mohr" in output


@pytest.mark.parametrize(
    ("path", "reply", "expected"),
    [
        ("/.well-known/oauth-authorization-server", (500, b""), 2),
        ("/.well-known/oauth-authorization-server", (302, b""), 2),
        ("/.well-known/oauth-authorization-server", (200, b"not json"), 1),
        ("/.well-known/oauth-authorization-server", (200, b"[" * 2_000_000), 2),
        ("/.well-known/oauth-authorization-server", (200, b'{"issuer": "https://evil.example"}'), 1),
        ("/oauth2/jwks", (404, b"{}"), 2),
        ("/oauth2/jwks", (200, b'{"keys": []}'), 1),
        ("/oauth2/jwks", (200, b'{"keys": [{"kty": "oct", "k": "AAAA"}]}'), 1),
    ],
    ids=str,
)
def test_a_failed_fetch_leaves_the_cache_as_it_was(
    desk: Desk, path: str, reply: tuple[int, bytes], expected: int
) -> None:
    kept = (desk.fetched() / "issuer.json").read_bytes()
    desk.replies[path] = reply
    fetch = ("fetch", "--issuer", desk.url, "--cache", desk.file("cache"), "--cacert", desk.anchor)
    assert desk.run(gateway, *fetch) == (expected, "")
    assert (desk.file("cache") / "issuer.json").read_bytes() == kept


def test_an_issuer_whose_certificate_is_not_trusted_gives_no_keys(desk: Desk) -> None:
    assert desk.run(gateway, "fetch", "--issuer", desk.url, "--cache", desk.file("cache")) == (1, "")
    assert not desk.file("cache").exists()


def test_an_issuer_that_is_away_is_silence(desk: Desk) -> None:
    assert desk.run(gateway, "fetch", "--issuer", "https://127.0.0.1:1", "--cache", desk.file("cache")) == (2, "")


def test_the_gateway_needs_neither_server_nor_database_nor_hsm() -> None:
    heavy = {"flask", "sqlalchemy", "pyhanko", "asn1crypto", "ca", "hsm", "storage", "signer", "cardreader"}
    loaded = "{name.split('.')[0] for name in sys.modules}"
    code = f"import sys, webapp.gateway_cli, webapp.centre_cli; print({heavy!r} & {loaded})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)
    assert done.stdout.decode().strip() == "set()"


def test_the_program_starts_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "webapp.gateway_cli", "--help"], capture_output=True, check=True, timeout=60
    )
    assert b"Example: mohr-gateway" in done.stdout


def test_the_tls_context_of_the_clients_checks_names() -> None:
    from webapp.gateway_cli import tls_context

    context = tls_context(None)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
