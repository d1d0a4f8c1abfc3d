"""Logins at a real OpenBao server: wrong, expired, revoked, forbidden."""

import logging
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hvac.api.auth_methods import Token

from hsm.errors import (
    ConfigurationInvalid,
    DeviceLost,
    HsmUnavailable,
    PinIncorrect,
)
from hsm.private_files import write_private
from hsm.transit.settings import AppRoleFiles, TokenFile
from tests.hsm.transit.bench import (
    DIGEST,
    ES256,
    Bench,
    token_of,
)
from tests.support.openbao import MOUNT, SIGN_POLICY, BaoRole, BaoServer

pytestmark = pytest.mark.real


def test_a_wrong_secret_id_or_role_id_is_an_incorrect_pin(bao: BaoServer, bench: Bench) -> None:
    for name in ("secret-id", "role-id"):
        role = bao.approle()
        device = bench.opened(role.settings)
        write_private(role.folder / name, b"0e8f9c9e-1234-wrong")
        with pytest.raises(PinIncorrect) as refused:
            device.open()
        assert "0e8f9c9e" not in str(refused.value)


def test_a_correct_secret_at_a_sealed_server_is_not_an_incorrect_pin(
    bao: BaoServer, role: BaoRole, bench: Bench
) -> None:
    files = role.settings.auth
    assert isinstance(files, AppRoleFiles)
    bao.seal()
    for settings in (role.settings, replace(role.settings, namespace="elsewhere")):
        with pytest.raises(DeviceLost):
            bench.device(settings).open()
    bao.unseal()
    for settings in (
        replace(role.settings, namespace="elsewhere"),
        replace(role.settings, auth=replace(files, mount="elsewhere")),
    ):
        with pytest.raises(HsmUnavailable):
            bench.device(settings).open()


def test_a_credential_that_others_may_read_or_that_is_none_is_refused(bao: BaoServer, bench: Bench) -> None:
    role = bao.approle()
    secret = role.folder / "secret-id"
    for content, mode in ((b"word", 0o640), (b"two words", 0o600), (b"", 0o600), (b"\xff", 0o600)):
        secret.write_bytes(content)
        secret.chmod(mode)
        with pytest.raises(ConfigurationInvalid) as refused:
            bench.device(role.settings).open()
        assert "word" not in str(refused.value)


def test_a_token_is_renewed_at_two_thirds_of_its_lease(bao: BaoServer, role: BaoRole, bench: Bench, key: bytes) -> None:
    device = bench.opened(role.settings)
    token = token_of(device)
    bench.clock.ahead += 0.6 * 3600
    device.sign(key, ES256, [DIGEST])
    assert "last_renewal" not in bao.call("POST", "auth/token/lookup", {"token": token})["data"]
    bench.clock.ahead += 0.1 * 3600
    device.sign(key, ES256, [DIGEST])
    assert bao.call("POST", "auth/token/lookup", {"token": token})["data"]["last_renewal"]
    assert token_of(device) == token


def test_a_token_that_cannot_be_renewed_is_replaced_by_a_new_login(bao: BaoServer, bench: Bench, key: bytes) -> None:
    role = bao.approle(token_type="batch")
    device = bench.opened(role.settings)
    token = token_of(device)
    bench.clock.ahead += 0.7 * 3600
    device.sign(key, ES256, [DIGEST])
    assert token_of(device) != token


def test_a_token_near_its_maximum_is_replaced_by_a_new_login(bao: BaoServer, bench: Bench, key: bytes) -> None:
    role = bao.approle(token_ttl="4s", token_max_ttl="4s")
    device = bench.opened(role.settings)
    token = token_of(device)
    time.sleep(2.2)
    bench.clock.ahead += 1
    device.sign(key, ES256, [DIGEST])
    assert token_of(device) != token


def test_a_token_that_the_server_fails_to_renew_is_replaced_by_a_new_login(
    bao: BaoServer, bench: Bench, key: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def past_its_maximum(_self: Token) -> None:
        raise HsmUnavailable("the server failed: past the max TTL, cannot renew")  # what OpenBao answers with 500

    device = bench.opened(bao.approle().settings)
    token = token_of(device)
    monkeypatch.setattr(Token, "renew_self", past_its_maximum)
    bench.clock.ahead += 0.7 * 3600
    device.sign(key, ES256, [DIGEST])
    assert token_of(device) != token


def test_an_expired_token_costs_no_signature(bao: BaoServer, bench: Bench, key: bytes) -> None:
    role = bao.approle(token_ttl="1s")
    device = bench.opened(role.settings)
    bench.clock.stop()  # so that the device cannot foresee it, as after a machine's sleep
    time.sleep(1.5)
    bench.clock.ahead += 1.2
    token = token_of(device)
    device._login._renew_at = float("inf")  # type: ignore[union-attr]
    assert len(device.sign(key, ES256, [DIGEST])) == 1
    assert token_of(device) != token


def test_a_login_that_cannot_be_renewed_now_does_not_cost_a_good_token(
    bao: BaoServer, bench: Bench, key: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    role = bao.approle(token_type="batch")
    device = bench.opened(role.settings)
    role.revoke_secret()
    bench.clock.ahead += 0.7 * 3600
    with caplog.at_level(logging.WARNING):
        assert len(device.sign(key, ES256, [DIGEST])) == 1
    assert "could not be renewed" in caplog.text
    assert str(token_of(device)) not in caplog.text


def test_a_revoked_login_is_asked_for_again_and_the_opening_says_that_it_is_wrong(
    bao: BaoServer, bench: Bench, key: bytes
) -> None:
    role = bao.approle()
    device = bench.opened(role.settings)
    role.revoke_secret()
    assert len(device.sign(key, ES256, [DIGEST])) == 1
    bao.call("POST", "auth/token/revoke", {"token": token_of(device)})
    bench.clock.ahead += 2
    with pytest.raises(DeviceLost):
        device.sign(key, ES256, [DIGEST])
    with pytest.raises(PinIncorrect):
        device.open()
    role.issue_secret()
    device.open()
    assert len(device.sign(key, ES256, [DIGEST])) == 1


def test_a_revoked_token_is_replaced_within_the_call(bao: BaoServer, bench: Bench, role: BaoRole, key: bytes) -> None:
    device = bench.opened(role.settings)
    bao.call("POST", "auth/token/revoke", {"token": token_of(device)})
    bench.clock.ahead += 2
    assert len(device.sign(key, ES256, [DIGEST])) == 1


def test_a_forbidden_key_is_unavailable_and_the_others_go_on(bao: BaoServer, bench: Bench, key: bytes) -> None:
    name = key.partition(b":")[0].decode()
    bao.make_key("foreign")
    role = bao.approle(SIGN_POLICY.replace("+", name))
    device = bench.opened(role.settings)
    bench.clock.stop()
    bench.clock.ahead += 2
    tokens = set()
    for _ in range(3):
        for forbidden in (
            lambda: device.sign(b"foreign:1", ES256, [DIGEST]),
            lambda: device.public_key(b"foreign:1", ES256),
            lambda: device.generate("new", ES256, 3072),
        ):
            with pytest.raises(HsmUnavailable, match="forbids") as refused:
                forbidden()
            assert not isinstance(refused.value, DeviceLost)
            tokens.add(token_of(device))
        assert len(device.sign(key, ES256, [DIGEST])) == 1
    assert len(tokens) == 1  # one new login, not one for each refusal


def test_a_login_may_make_keys_and_not_loosen_them(bao: BaoServer, bench: Bench, role: BaoRole) -> None:
    device = bench.opened(role.settings)
    made = device.generate("mohr-tight", ES256, 3072)
    name = made.reference.partition(b":")[0].decode()
    for path in (f"keys/{name}/config", f"keys/{name}/rotate", f"export/signing-key/{name}", f"backup/{name}"):
        method = "GET" if path.startswith(("export", "backup")) else "POST"
        with pytest.raises(AssertionError, match="403"):
            bao.call(method, f"{MOUNT}/{path}", token=token_of(device))


def test_a_closed_device_revokes_the_token_it_obtained(bao: BaoServer, bench: Bench, role: BaoRole) -> None:
    device = bench.opened(role.settings)
    token = token_of(device)
    bao.call("POST", "auth/token/lookup", {"token": token})
    device.close()
    with pytest.raises(AssertionError, match="403"):
        bao.call("POST", "auth/token/lookup", {"token": token})


def test_a_token_from_a_file_signs_and_outlives_the_device(
    bao: BaoServer, bench: Bench, role: BaoRole, key: bytes, tmp_path: Path
) -> None:
    for token in (bao.token(ttl="1h"), bao.token(period="1h"), bao.root_token):
        write_private(tmp_path / "token", token.encode() + b"\n")
        device = bench.opened(replace(role.settings, auth=TokenFile(token_file=tmp_path / "token")))
        for _ in range(2):
            assert len(device.sign(key, ES256, [DIGEST])) == 1
            bench.clock.ahead += 0.7 * 3600
        device.close()
        assert bao.call("POST", "auth/token/lookup", {"token": token})["data"]["id"] == token


def test_a_token_file_that_was_replaced_is_read_again(
    bao: BaoServer, bench: Bench, role: BaoRole, key: bytes, tmp_path: Path
) -> None:
    first, second = bao.token(), bao.token()
    write_private(tmp_path / "token", first.encode())
    device = bench.opened(replace(role.settings, auth=TokenFile(token_file=tmp_path / "token")))
    bao.call("POST", "auth/token/revoke", {"token": first})
    bench.clock.ahead += 2
    with pytest.raises(HsmUnavailable) as refused:
        device.sign(key, ES256, [DIGEST])
    assert first not in str(refused.value)
    with pytest.raises(HsmUnavailable) as refused:
        device.open()
    assert not isinstance(refused.value, PinIncorrect)
    write_private(tmp_path / "token", second.encode())
    device.open()
    assert len(device.sign(key, ES256, [DIGEST])) == 1


def test_no_secret_is_in_what_is_raised_or_logged(
    bao: BaoServer, bench: Bench, key: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    role = bao.approle()
    secrets = [(role.folder / name).read_text().strip() for name in ("role-id", "secret-id")]
    said = []
    with caplog.at_level(logging.DEBUG):
        device = bench.opened(role.settings)
        secrets.append(str(token_of(device)))
        bao.call("POST", "auth/token/revoke", {"token": secrets[-1]})
        role.revoke_secret()
        bench.clock.ahead += 2
        for call in (lambda: device.sign(key, ES256, [DIGEST]), device.open):
            with pytest.raises((DeviceLost, PinIncorrect)) as failed:
                call()
            error: BaseException | None = failed.value
            while error is not None:
                said.append(f"{error!r} {error}")
                error = error.__cause__ or error.__context__
    text = caplog.text + "".join(said)
    assert not [secret for secret in secrets if secret in text]
