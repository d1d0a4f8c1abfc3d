"""Long-term signatures of one format alone: what archive time-stamps of CAdES, PAdES and JAdES each cover."""

import hashlib

import pytest

from pki import der
from pki.jose import compact_json, json_object
from signer.validation.reasons import Reason
from tests.signer.validation.expect import FAILED, PASSED, UNDECIDED, expect, only
from tests.signer.validation.test_long_term import ARCHIVED, DAY, GATHERED, LATER, Archive
from tests.support.forge import attribute, forge_token
from tests.support.long_term import (
    CADES_C_TIMESTAMP,
    REFERENCES,
    REFERENCES_TIMESTAMP,
    Cades,
    Jades,
    Pades,
    authority,
)
from tests.support.pki import NOW
from tests.support.zoo import SIGNED_AT, Zoo


@pytest.fixture(scope="module")
def archive(zoo: Zoo) -> Archive:
    return Archive(zoo=zoo, lasting=authority(zoo.intermediate, LATER + 365 * DAY))


# -- CAdES alone ------------------------------------------------------------------------------------


def test_an_index_that_names_what_is_not_there_proves_nothing(archive: Archive) -> None:
    form = Cades()
    full = form.with_values(
        form.signed(archive.zoo.clinician, SIGNED_AT, archive.zoo.stamper(SIGNED_AT)), archive.lists(GATHERED)
    )
    bare = form.signed(archive.zoo.clinician, SIGNED_AT, archive.zoo.stamper(SIGNED_AT))
    archived = form.archived(full, archive.lasting, ARCHIVED)
    (stamp,) = [s for s in only(archive.judged(archived, NOW)).timestamps if s.kind == "archive"]
    assert stamp.indication is PASSED
    token = der.parse(archived).sequence()[1].inner().sequence()[-1].children()[0].sequence()[-1].children()[-1]
    moved = form.with_attribute(bare, token.raw)
    (stamp,) = [s for s in only(archive.judged(moved, NOW)).timestamps if s.kind == "archive"]
    assert (stamp.indication, stamp.sub_indication) == (FAILED, "FORMAT_FAILURE")


def test_the_first_version_of_archive_time_stamps_is_told_and_not_evaluated(archive: Archive) -> None:
    form = Cades()
    plain = form.signed(archive.zoo.clinician, SIGNED_AT, None)
    token = archive.zoo.stamper(SIGNED_AT).stamp(bytes(32))
    data = form.with_attribute(plain, attribute("1.2.840.113549.1.9.16.2.27", token))
    verdict = archive.judged(data, NOW)
    expect(verdict, PASSED)
    (stamp,) = only(verdict).timestamps
    assert Reason.TIMESTAMP_NOT_EVALUATED in {finding.reason for finding in stamp.findings}


@pytest.mark.parametrize(("kind", "proves"), [(CADES_C_TIMESTAMP, True), (REFERENCES_TIMESTAMP, False)])
def test_time_stamps_over_references_are_recomputed(archive: Archive, kind: str, *, proves: bool) -> None:
    form, zoo = Cades(), archive.zoo
    references = [attribute(name, der.sequence()) for name in REFERENCES]
    data = form.signed(zoo.clinician, SIGNED_AT, zoo.stamper(SIGNED_AT) if proves else None)
    for one in references:
        data = form.with_attribute(data, one)
    signer = der.parse(data).sequence()[1].inner().sequence()[-1].children()[0].sequence()
    stamped = b"".join(der.parse(one).content for one in references)
    if proves:
        stamped = signer[-2].octets() + signer[-1].children()[0].content + stamped
    token = forge_token(hashlib.sha256(stamped).digest(), zoo.tsa, ARCHIVED)
    verdict = archive.judged(form.with_attribute(data, attribute(kind, token)), NOW)
    (stamp,) = [one for one in only(verdict).timestamps if one.kind == "references"]
    assert (stamp.indication, bool(stamp.covers)) == (PASSED, proves)
    expect(verdict, PASSED)


# -- PAdES alone ------------------------------------------------------------------------------------


def test_what_stands_only_in_a_vri_dictionary_is_evidence_too(archive: Archive) -> None:
    form = Pades(only_vri=True)
    plain = form.signed(archive.zoo.clinician, SIGNED_AT, archive.zoo.stamper(SIGNED_AT))
    expect(archive.judged(form.archived(plain, archive.lasting, ARCHIVED)), UNDECIDED, "TRY_LATER")
    data = form.archived(form.with_values(plain, archive.lists(GATHERED)), archive.lasting, ARCHIVED)
    expect(archive.judged(data), PASSED)


def test_a_document_time_stamp_under_the_validation_data_is_no_archive_time_stamp(archive: Archive) -> None:
    """It proves the signature's time where there is no other time-stamp: how others raise B to T, and then to LT."""
    form = Pades()
    proven = form.archived(form.signed(archive.zoo.clinician, SIGNED_AT, None), archive.zoo.tsa, SIGNED_AT)
    complete = form.with_values(proven, archive.lists(GATHERED))
    for data, level in ((proven, "B-T"), (complete, "B-LT"), (form.archived(complete, archive.lasting, NOW), "B-LTA")):
        verdict = archive.judged(data, NOW)
        expect(verdict, PASSED)
        assert (only(verdict).level, only(verdict).proven_at) == (level, SIGNED_AT)


# -- JAdES alone ------------------------------------------------------------------------------------


@pytest.mark.parametrize("clear", [False, True])
def test_a_component_taken_out_or_moved_makes_the_archive_time_stamp_worthless(
    archive: Archive, *, clear: bool
) -> None:
    form = Jades(clear=clear)
    plain = form.signed(archive.zoo.clinician, SIGNED_AT, archive.zoo.stamper(SIGNED_AT))
    archived = form.archived(form.with_values(plain, archive.lists(GATHERED)), archive.lasting, ARCHIVED)
    document = json_object(archived)
    stamp, certificates, revocation, token = document["header"]["etsiU"]
    for members in ([stamp, certificates, token], [certificates, stamp, revocation, token]):
        verdict = archive.judged(compact_json(document | {"header": {"etsiU": members}}), NOW)
        found = [s for s in only(verdict).timestamps if s.kind == "archive"]
        assert [s.crypto for s in found] == ["unknown" if clear else "broken"]
        assert found[0].indication is not PASSED
        assert clear or only(verdict).level != "B-LTA", "it archives nothing where it stamps something else"
