import fcntl
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.custodian import key_records
from hsm.custodian.key_records import KeyRecord, KeyRecords
from hsm.errors import ConfigurationInvalid, HsmUnavailable, KeyExists, KeyNotFound
from hsm.private_files import write_private
from hsm.provider import KeyInfo, KeyPurpose, check_label
from pki.errors import Conflict, InvalidInput
from pki.keys import SignatureAlgorithm

RECORD = KeyRecord(
    info=KeyInfo(
        label="persons-ca",
        algorithm=SignatureAlgorithm.ES256,
        purpose=KeyPurpose.CERTIFICATE_AUTHORITY,
        id="00ff",
        created=datetime(2026, 3, 1, 12, 30, tzinfo=UTC),
    ),
    spki_der=b"public key",
)


def _named(label: str, identifier: str) -> KeyRecord:
    return replace(RECORD, info=replace(RECORD.info, label=label, id=identifier))


def test_records_outlive_the_process(tmp_path: Path) -> None:
    records = KeyRecords(tmp_path / "keys.json")
    records.add(RECORD)
    records.add(_named("a", "01"))
    bound = records.set_issuer("persons-ca", b"issuer")
    assert KeyRecords(tmp_path / "keys.json").all() == (_named("a", "01"), bound)
    assert bound == replace(RECORD, issuer_der=b"issuer")


def test_a_label_is_taken_once_and_an_issuer_is_bound_once(tmp_path: Path) -> None:
    records = KeyRecords(tmp_path / "keys.json")
    records.add(RECORD)
    with pytest.raises(KeyExists):
        records.add(RECORD)
    records.set_issuer("persons-ca", b"issuer")
    with pytest.raises(Conflict):
        records.set_issuer("persons-ca", b"issuer")


def test_an_unknown_label_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(KeyNotFound):
        KeyRecords(tmp_path / "keys.json").get("none")


def test_what_could_not_be_written_is_not_remembered(tmp_path: Path) -> None:
    records = KeyRecords(tmp_path / "gone" / "keys.json")
    with pytest.raises(HsmUnavailable, match="cannot be written"):
        records.add(RECORD)
    assert records.all() == ()


def test_the_number_of_keys_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_records, "MAX_KEYS", 1)
    records = KeyRecords(tmp_path / "keys.json")
    records.add(RECORD)
    with pytest.raises(Conflict):
        records.add(_named("b", "01"))


def test_what_one_custodian_wrote_the_others_see(tmp_path: Path) -> None:
    first, second = KeyRecords(tmp_path / "keys.json"), KeyRecords(tmp_path / "keys.json")
    first.add(RECORD)
    assert second.refresh()
    assert second.get("persons-ca") == RECORD
    second.set_issuer("persons-ca", b"issuer")
    assert first.get("persons-ca").issuer_der is None
    assert first.refresh()
    assert first.get("persons-ca").issuer_der == b"issuer"
    assert not first.refresh()


def test_a_change_is_made_on_top_of_what_the_others_wrote(tmp_path: Path) -> None:
    first, second = KeyRecords(tmp_path / "keys.json"), KeyRecords(tmp_path / "keys.json")
    first.add(RECORD)
    with pytest.raises(KeyExists):
        second.add(_named("persons-ca", "01"))
    second.add(_named("b", "01"))
    first.add(_named("c", "02"))
    assert [record.info.label for record in KeyRecords(tmp_path / "keys.json").all()] == ["b", "c", "persons-ca"]


def test_a_key_of_the_device_is_recorded_once(tmp_path: Path) -> None:
    records = KeyRecords(tmp_path / "keys.json")
    records.add(RECORD)
    with pytest.raises(Conflict):
        records.add(_named("another", RECORD.info.id))


def test_a_lock_that_is_not_let_go_of_is_waited_for_a_moment_only(tmp_path: Path) -> None:
    records = KeyRecords(tmp_path / "keys.json")
    with (tmp_path / "keys.json.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(HsmUnavailable):
            records.add(RECORD)
    records.add(RECORD)


def test_a_responder_answers_for_the_authority_of_its_issuers_name(tmp_path: Path) -> None:
    records = KeyRecords(tmp_path / "keys.json")
    responder = _named("ocsp", "01")
    records.add(RECORD)
    records.add(replace(responder, info=replace(responder.info, purpose=KeyPurpose.OCSP)))
    bound = records.set_issuer("ocsp", b"issuer")
    assert records.issuer_of(bound) is None
    authority = records.set_issuer("persons-ca", b"issuer")
    assert records.issuer_of(bound) == authority
    assert records.issuer_of(authority) is None


@pytest.mark.parametrize("label", ["", "a" * 65, "two words", "line\n", "کلید", "nul\x00"])
def test_a_label_that_could_be_misread_is_refused(label: str) -> None:
    with pytest.raises(InvalidInput):
        check_label(label)


GOOD = {
    "label": "a",
    "id": "00",
    "algorithm": "ES256",
    "purpose": "seal",
    "created": "2026-03-01T00:00:00+00:00",
    "public_key": "00",
    "issuer": None,
}


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"version": 2, "keys": []},
        {"version": 1},
        {"version": 1, "keys": 5},
        {"version": 1, "keys": ["a"]},
        {"version": 1, "keys": [{**GOOD, "purpose": "anything"}]},
        {"version": 1, "keys": [{**GOOD, "algorithm": "none"}]},
        {"version": 1, "keys": [{**GOOD, "id": "xy"}]},
        {"version": 1, "keys": [{**GOOD, "label": 7}]},
        {"version": 1, "keys": [{**GOOD, "created": "2026-03-01T00:00:00"}]},
        {"version": 1, "keys": [GOOD, GOOD]},
        {"version": 1, "keys": [GOOD, {**GOOD, "label": "b"}]},
    ],
    ids=range(12),
)
def test_a_key_file_that_is_not_understood_is_refused(tmp_path: Path, document: object) -> None:
    write_private(tmp_path / "keys.json", json.dumps(document).encode())
    with pytest.raises(ConfigurationInvalid):
        KeyRecords(tmp_path / "keys.json")


@given(content=st.binary(max_size=80))
def test_reading_a_key_file_never_raises_anything_but_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "random-keys.json"
    write_private(path, content)
    with pytest.raises(ConfigurationInvalid):
        KeyRecords(path)


def test_a_key_file_that_others_may_write_is_refused(tmp_path: Path) -> None:
    KeyRecords(tmp_path / "keys.json").add(RECORD)
    (tmp_path / "keys.json").chmod(0o622)
    with pytest.raises(ConfigurationInvalid):
        KeyRecords(tmp_path / "keys.json")
