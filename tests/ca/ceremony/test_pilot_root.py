from __future__ import annotations

from ca.ceremony.transcript import verify_transcript
from ca.profiles import ISSUING_AUTHORITIES
from pki.certificates import Certificate
from tests.ca.ceremony.rehearsal import Rehearsal


def test_a_pilot_root_is_made(empty: Rehearsal) -> None:
    digest = empty.example("pilot-root")
    root = Certificate.parse(empty.home.published["root.cer"])
    for label in ISSUING_AUTHORITIES:
        Certificate.parse(empty.home.published[f"{label}.cer"]).verify_signed_by(root)
    assert empty.home.opened == 1
    found = verify_transcript(empty.transcript("pilot-root").read_bytes(), root)
    assert found.digest == digest
