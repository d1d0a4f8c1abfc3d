from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ca.ceremony.errors import ScriptRefused
from ca.ceremony.script import parse_script
from ca.ceremony.state import CeremonyState
from ca.ceremony.transcript import EntryAct, Transcript, sign_closing, verify_transcript
from ca.hierarchy import SERVICE_SEAL
from hsm.soft import UnsafeSoftKey
from pki.certificates import Certificate
from pki.errors import Conflict, ErrorCode, InvalidInput, Unavailable, VerificationFailed
from pki.keys import SignatureAlgorithm
from tests.ca.ceremony.rehearsal import EXAMPLES, Rehearsal
from tests.ca.world import START


@pytest.fixture(scope="module")
def signed(founded: Rehearsal) -> tuple[bytes, Certificate]:
    """The transcript of the pilot root, and the root."""
    data = founded.transcript("pilot-root").read_bytes()
    return data, Certificate.parse(founded.home.published["root.cer"])


def test_a_signed_transcript_tells_the_whole_ceremony(signed: tuple[bytes, Certificate]) -> None:
    found = verify_transcript(*signed)
    opened = found.entries[0].facts
    assert (opened["operator"], opened["threshold"], found.rehearsal) == ("operator", 2, False)
    assert found.script == parse_script((EXAMPLES / "pilot-root.toml").read_bytes()).sha256.hex()
    state = CeremonyState.of(found.entries)
    assert state.closed
    assert len(state.step(1).facts["shares"]["shares"]) == 3
    assert state.step(6).facts["confirmed_by"] == "Witness One"
    assert "Mohr Pilot Seal" in found.signer.subject


@settings(max_examples=300)
@given(st.data())
def test_a_flipped_bit_anywhere_is_refused_property(signed: tuple[bytes, Certificate], data: st.DataObject) -> None:
    octets, anchor = signed
    damaged = bytearray(octets)
    damaged[data.draw(st.integers(0, len(octets) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(VerificationFailed):
        verify_transcript(bytes(damaged), anchor)


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_and_never_more_than_that_property(
    signed: tuple[bytes, Certificate], data: bytes
) -> None:
    with pytest.raises(VerificationFailed):
        verify_transcript(data, signed[1])


def test_lines_that_are_missing_swapped_or_added_are_refused(signed: tuple[bytes, Certificate]) -> None:
    octets, anchor = signed
    lines = octets.splitlines(keepends=True)
    for wrong in (lines[1:], lines[:-1], [*lines[:3], *lines[4:]], [lines[1], lines[0], *lines[2:]], [*lines, b"\n"]):
        with pytest.raises(VerificationFailed):
            verify_transcript(b"".join(wrong), anchor)


def test_a_chain_of_lines_that_was_made_anew_is_not_what_was_signed(
    signed: tuple[bytes, Certificate], tmp_path: Path
) -> None:
    octets, anchor = signed
    closing = octets.splitlines(keepends=True)[-1]
    with Transcript.opened(tmp_path / "t") as transcript:
        for entry in verify_transcript(octets, anchor).entries:
            facts = {**entry.facts, **({"threshold": 1} if entry.act is EntryAct.OPENED else {})}
            transcript.append(entry.act, entry.at, facts, entry.step)
    with pytest.raises(VerificationFailed, match="over another transcript"):
        verify_transcript((tmp_path / "t").read_bytes() + closing, anchor)


def test_a_seal_under_another_root_or_none_is_refused(signed: tuple[bytes, Certificate], founded: Rehearsal) -> None:
    octets, anchor = signed
    lines = octets.splitlines(keepends=True)
    entries = verify_transcript(octets, anchor).entries
    body = b"".join(lines[:-1])
    persons = Certificate.parse(founded.home.published["persons.cer"])
    assert founded.home.service is not None
    key = founded.home.service.signing_key(SERVICE_SEAL)
    good = verify_transcript(octets, anchor).signer
    systems = Certificate.parse(founded.home.published["systems.cer"])
    stranger = UnsafeSoftKey.generate(SignatureAlgorithm.ES256)
    for signer, chain, part in (
        (key, [good, persons], "do not lead to the anchor"),
        (key, [good], "do not lead to the anchor"),
        (key, [], "without its certificates"),
        (stranger, [good, systems], "does not hold"),
        (stranger, [systems], "not a seal's"),
    ):
        closing = json.dumps({"signature": sign_closing(entries, body, signer, chain)}, separators=(",", ":")).encode()
        with pytest.raises(VerificationFailed, match=part):
            verify_transcript(body + closing + b"\n", anchor)
    again = json.dumps({"signature": sign_closing(entries, body, key, [good, systems])}, separators=(",", ":")).encode()
    assert verify_transcript(body + again + b"\n", anchor).signer == good


def test_a_line_that_was_cut_off_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "t"
    with Transcript.opened(path) as transcript:
        transcript.append(EntryAct.OPENED, START, {"script": "aa"})
        whole = path.read_bytes()
        transcript.append(EntryAct.STEP_BEGUN, START, {}, 1)
    path.write_bytes(path.read_bytes()[:-5])
    with Transcript.opened(path) as transcript:
        assert [entry.act for entry in transcript.entries] == [EntryAct.OPENED]
        assert path.read_bytes() == whole
        transcript.append(EntryAct.STEP_BEGUN, START, {}, 1)
    assert path.read_bytes().startswith(whole)


def test_a_damaged_transcript_is_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "t"
    with Transcript.opened(path) as transcript:
        transcript.append(EntryAct.OPENED, START, {"script": "aa"})
        transcript.append(EntryAct.STEP_BEGUN, START, {}, 1)
    path.write_bytes(path.read_bytes().replace(b'"aa"', b'"bb"'))
    with pytest.raises(VerificationFailed, match="line 2"), Transcript.opened(path):
        pass


def test_one_process_at_a_time_holds_a_ceremony(tmp_path: Path) -> None:
    with Transcript.opened(tmp_path / "t"), pytest.raises(Conflict), Transcript.opened(tmp_path / "t"):
        pass


def test_a_disk_that_refuses_is_said_to(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    with pytest.raises(Unavailable) as caught, Transcript.opened(tmp_path / "f" / "t"):
        pass
    assert caught.value.code is ErrorCode.FILE_UNWRITABLE


def test_a_changed_script_resumes_nothing(pilot: Rehearsal) -> None:
    text = (EXAMPLES / "root-crl.toml").read_text()
    pilot.persons.absent = {"Custodian One", "Custodian Two"}
    with pytest.raises(Conflict):
        pilot.hold(parse_script(text.encode()))
    before = pilot.transcript("root-crl-2026").read_bytes()
    pilot.persons.absent = set()
    with pytest.raises(ScriptRefused, match="not the script that the ceremony began with"):
        pilot.hold(parse_script(text.replace("superseded", "keyCompromise").encode()))
    assert pilot.transcript("root-crl-2026").read_bytes() == before
    pilot.hold(parse_script(text.encode()))
    with pytest.raises(ScriptRefused, match="with another script"):
        pilot.hold(parse_script(text.replace("superseded", "keyCompromise").encode()))


def test_a_ceremony_that_was_held_changes_nothing_when_it_is_held_again(pilot: Rehearsal) -> None:
    digest = pilot.example("root-crl")
    assert pilot.example("root-crl") == digest


def test_too_much_is_no_transcript(signed: tuple[bytes, Certificate]) -> None:
    with pytest.raises(InvalidInput):
        verify_transcript(bytes(17 * 1024 * 1024), signed[1])
