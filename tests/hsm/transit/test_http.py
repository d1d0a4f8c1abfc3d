"""What a server may answer in place of an honest word, through the whole device."""

import json
import socket
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hsm.errors import DeviceLost, HsmUnavailable, KeyMismatch, MechanismRefused, PinIncorrect
from hsm.private_files import write_private
from hsm.soft import UnsafeSoftKey
from hsm.transit.http import MAX_ANSWER_OCTETS, BoundedHttp
from hsm.transit.settings import AppRoleFiles, TransitSettings
from hsm.vault import TransitDevice
from pki.errors import ServiceError
from pki.jose import b64url
from pki.keys import SignatureAlgorithm
from tests.support.raw_server import Answer, always, raw_server, reply

SECRET = "5f1d1c0a-secret-id"
ES256 = SignatureAlgorithm.ES256
FORGED = "vault:v1:" + b64url(bytes(31) + b"\x01" + bytes(31) + b"\x01")
LOGIN = reply(json.dumps({"auth": {"client_token": "s.token", "lease_duration": 3600, "renewable": True}}).encode())


def device_at(url: str, folder: Path) -> TransitDevice:
    write_private(folder / "role-id", b"a-role")
    write_private(folder / "secret-id", SECRET.encode())
    files = AppRoleFiles(mount="approle", role_id_file=folder / "role-id", secret_id_file=folder / "secret-id")
    settings = TransitSettings(url=url, auth=files)
    return TransitDevice(settings, monotonic=time.monotonic, random_octets=bytes)


def after_login(answer: bytes) -> Answer:
    """Let the login and the reading of a key succeed, and answer everything else like this."""
    pem = UnsafeSoftKey.generate(ES256).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    data = {"type": "ecdsa-p256", "latest_version": 1, "derived": False, "keys": {"1": {"public_key": pem.decode()}}}
    key = reply(json.dumps({"data": data}).encode())

    def serve(connection: socket.socket, head: bytes) -> None:
        request_line = head.splitlines()[0]
        connection.sendall(LOGIN if b"/login" in request_line else key if request_line.startswith(b"GET") else answer)

    return serve


def error(status: str, *errors: str) -> bytes:
    return reply(json.dumps({"errors": errors}).encode(), status=status)


def opened_against(answer: bytes | Answer, folder: Path) -> ServiceError:
    """Return how opening fails against a server that answers like this."""
    with raw_server(always(answer) if isinstance(answer, bytes) else answer) as (url, _heads):
        device = device_at(url, folder)
        with pytest.raises(ServiceError) as failed:
            device.open()
        device.close()
    assert SECRET not in f"{failed.value!r} {failed.value.detail}"
    return failed.value


@pytest.mark.parametrize(
    ("status", "kind", "word"),
    [
        ("307 Temporary Redirect", DeviceLost, "standby"),
        ("412 Precondition Failed", HsmUnavailable, "lags"),
        ("429 Too Many Requests", HsmUnavailable, "rate"),
        ("472 ", DeviceLost, "standby"),
        ("473 ", DeviceLost, "standby"),
        ("500 Internal Server Error", HsmUnavailable, "failed"),
        ("501 Not Implemented", DeviceLost, "not initialised"),
        ("502 Bad Gateway", DeviceLost, "proxy"),
        ("503 Service Unavailable", DeviceLost, "sealed"),
        ("504 Gateway Timeout", DeviceLost, "proxy"),
        ("507 ", DeviceLost, "507"),
        ("201 Created", DeviceLost, "201"),
        ("403 Forbidden", HsmUnavailable, "403"),
        ("404 Not Found", HsmUnavailable, "404"),
        ("400 Bad Request", HsmUnavailable, "400"),
    ],
)
def test_no_answer_but_one_makes_a_credential_wrong(
    tmp_path: Path, status: str, kind: type[ServiceError], word: str
) -> None:
    failed = opened_against(error(status, "some reason"), tmp_path)
    assert type(failed) is kind
    assert word in failed.detail


def test_a_credential_is_wrong_when_the_server_says_so(tmp_path: Path) -> None:
    for reason in ("invalid role or secret ID", "invalid secret id", "invalid role ID"):
        assert type(opened_against(error("400 Bad Request", reason), tmp_path)) is PinIncorrect


def test_a_redirect_is_not_followed_and_sees_no_credential(tmp_path: Path) -> None:
    with raw_server(always(LOGIN)) as (elsewhere, seen):
        away = reply(b"", status="307 Temporary Redirect", headers=f"Location: {elsewhere}/v1/x\r\n")
        assert type(opened_against(away, tmp_path)) is DeviceLost
    assert seen == []


@pytest.mark.parametrize(
    "answer",
    [
        reply(b"not json"),
        reply(b"[]"),
        reply(b"{}"),
        reply(b'{"auth": null}'),
        reply(b'{"auth": {"client_token": 7, "lease_duration": 1}}'),
        reply(b'{"auth": {"client_token": "t", "lease_duration": "1h"}}'),
        reply(b'{"auth": {"client_token": "t", "lease_duration": -1}}'),
        reply(b'{"auth": {}, "auth": {}}'),
        reply(b'{"a":' * 100 + b"1" + b"}" * 100),
        reply(b"", status="204 No Content"),
        reply(b" " * (MAX_ANSWER_OCTETS + 1)),
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"SSH-2.0-OpenSSH\r\n",
        b"",
    ],
)
def test_an_answer_that_is_no_login_is_a_lost_device(tmp_path: Path, answer: bytes) -> None:
    assert isinstance(opened_against(answer, tmp_path), DeviceLost)


def test_a_body_that_drips_does_not_hold_us(tmp_path: Path) -> None:
    def drip(connection: socket.socket, head: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
        for _ in range(1000):
            connection.sendall(b" ")
            time.sleep(0.06)

    began = time.monotonic()
    assert "in time" in opened_against(drip, tmp_path).detail
    assert time.monotonic() - began < 50


def test_a_server_that_says_nothing_does_not_hold_us(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        device = device_at(f"http://127.0.0.1:{listener.getsockname()[1]}", tmp_path)
        began = time.monotonic()
        with pytest.raises(DeviceLost, match="in time"):
            device.open()
        assert time.monotonic() - began < 50


def test_a_port_where_nobody_listens_is_a_lost_device(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    device = device_at(f"http://127.0.0.1:{port}", tmp_path)
    with pytest.raises(DeviceLost, match="cannot be reached"):
        device.open()


def test_a_proxy_of_the_environment_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(always(error("502 Bad Gateway"))) as (proxy, seen), raw_server(after_login(LOGIN)) as (url, _heads):
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy)
        monkeypatch.setenv("VAULT_TOKEN", "s.environment")
        monkeypatch.setenv("VAULT_ADDR", proxy)
        device = device_at(url, tmp_path)
        device.open()
        device.close()
    assert seen == []


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (reply(b"{}"), DeviceLost),
        (reply(b'{"data": {}}'), DeviceLost),
        (reply(b'{"data": {"batch_results": []}}'), DeviceLost),
        (reply(b'{"data": {"batch_results": [{}, {}]}}'), DeviceLost),
        (reply(b'{"data": {"batch_results": [1, 2]}}'), DeviceLost),
        (reply(b'{"data": {"batch_results": [{"signature": "vault:v1:AAAA"}]}}'), DeviceLost),
        (reply(b'{"data": {"batch_results": [{"error": "odd"}, {"error": "odd"}]}}'), MechanismRefused),
        (reply(json.dumps({"data": {"batch_results": [{"signature": FORGED}] * 2}}).encode()), KeyMismatch),
        (error("400 Bad Request", "missing batch input"), MechanismRefused),
        (error("503 Service Unavailable", "Vault is sealed"), DeviceLost),
        (error("429 Too Many Requests", "quota"), HsmUnavailable),
        (error("403 Forbidden", "permission denied"), HsmUnavailable),
    ],
)
def test_an_answer_that_is_no_batch_of_signatures_gives_none(
    tmp_path: Path, answer: bytes, kind: type[Exception]
) -> None:
    with raw_server(after_login(answer)) as (url, _heads):
        device = device_at(url, tmp_path)
        device.open()
        with pytest.raises(ServiceError) as failed:
            device.sign(b"a:1", ES256, [bytes(32), bytes(32)])
        device.close()
    assert type(failed.value) is kind


def test_the_server_s_words_fit_on_one_line(tmp_path: Path) -> None:
    failed = opened_against(error("500 Internal Server Error", "first\nsecond\x1b[31m\u202e" + "x" * 500), tmp_path)
    assert failed.detail.isprintable()
    assert failed.detail.isascii()
    assert len(failed.detail) < 250


def test_a_token_that_cannot_be_a_header_is_not_quoted(tmp_path: Path) -> None:
    settings = TransitSettings(
        url="http://127.0.0.1:1", auth=AppRoleFiles(mount="a", role_id_file=tmp_path, secret_id_file=tmp_path)
    )
    http = BoundedHttp(settings, time.monotonic)
    http.begin(1)
    http.token = " s.secret\n"
    with pytest.raises(DeviceLost) as failed:
        http.get("/v1/x")
    http.close()
    assert "s.secret" not in str(failed.value)
    assert failed.value.__suppress_context__
