"""ASiC containers with CAdES: verdicts on good and changed ones, and manifests that no reader should take."""

from __future__ import annotations

import hashlib
import zipfile
from base64 import b64encode
from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pki.errors import InvalidInput
from signer.formats.cades import sign_cades
from signer.parsers.asic import parse_asic
from signer.parsers.asic_manifest import read_manifest
from signer.parsers.detect import detect
from signer.parsers.model import Format
from signer.validation.reasons import Reason
from signer.validation.verdict import Crypto, FileVerdict, Indication, SubIndication
from signer.validation.verify import verify_bytes
from tests.support.forge import forge_token
from tests.support.long_term import Cades, Values, authority
from tests.support.pki import NOW
from tests.support.zoo import SIGNED_AT, Zoo, make_zoo

SIMPLE, EXTENDED = b"application/vnd.etsi.asic-s+zip", b"application/vnd.etsi.asic-e+zip"
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
STAMP, SIGNATURE = "META-INF/timestamp.tst", "META-INF/signature001.p7s"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
FILES = {"scan.txt": b"a scan", "نسخه.json": b'{"dose":1}'}


@pytest.fixture(scope="module")
def zoo() -> Zoo:
    return make_zoo()


def packed(files: dict[str, bytes], mimetype: bytes | None = EXTENDED) -> bytes:
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w") as container:
        if mimetype is not None:
            container.writestr("mimetype", mimetype)
        for name, data in files.items():
            container.writestr(name, data, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def manifest(signature: str, files: dict[str, bytes], method: str = SHA256, name: str = "sha256") -> bytes:
    references = "".join(
        f'<DataObjectReference URI="{file}"><ds:DigestMethod Algorithm="{method}"/>'
        f"<ds:DigestValue>{b64encode(hashlib.new(name, data).digest()).decode()}</ds:DigestValue></DataObjectReference>"
        for file, data in files.items()
    )
    spaces = 'xmlns="http://uri.etsi.org/02918/v1.2.1#" xmlns:ds="http://www.w3.org/2000/09/xmldsig#"'
    return f'<ASiCManifest {spaces}><SigReference URI="{signature}"/>{references}</ASiCManifest>'.encode()


def signed(zoo: Zoo, content: bytes) -> bytes:
    return sign_cades(content, zoo.clinician.key, zoo.clinician.chain, signed_at=SIGNED_AT)


def extended(zoo: Zoo, files: dict[str, bytes] = FILES, **others: bytes) -> dict[str, bytes]:
    about = manifest(SIGNATURE, files)
    return {**files, "META-INF/ASiCManifest001.xml": about, SIGNATURE: signed(zoo, about), **others}


def judged(zoo: Zoo, data: bytes) -> FileVerdict:
    return verify_bytes(data, zoo.context())


def reasons(verdict: FileVerdict) -> set[Reason]:
    found = {finding.reason for finding in verdict.findings}
    return found | {finding.reason for one in verdict.signatures for finding in one.findings}


@pytest.mark.parametrize(
    ("method", "name"),
    [("2007/05/xmldsig-more#sha3-256", "sha3_256"), ("2007/05/xmldsig-more#sha3-512", "sha3_512")],
)
def test_a_manifest_may_name_any_hash_of_today(zoo: Zoo, method: str, name: str) -> None:
    about = manifest(SIGNATURE, FILES, f"http://www.w3.org/{method}", name)
    files = {**FILES, "META-INF/ASiCManifest001.xml": about, SIGNATURE: signed(zoo, about)}
    for changed, expected in (({}, Indication.PASSED), ({"scan.txt": b"another"}, Indication.FAILED)):
        assert verify_bytes(packed(files | changed), zoo.context()).indication is expected


def test_a_simple_container_is_judged_over_its_file(zoo: Zoo) -> None:
    files = {"scan.txt": b"a scan", "META-INF/signature.p7s": signed(zoo, b"a scan")}
    for data in (packed(files, SIMPLE), packed(files, None)):
        verdict = judged(zoo, data)
        assert (verdict.format, verdict.indication) == (Format.ASIC, Indication.PASSED)
        assert [covered.what for covered in verdict.signatures[0].covered] == ["scan.txt"]


def test_an_extended_container_is_judged_over_manifest_and_files(zoo: Zoo) -> None:
    verdict = judged(zoo, packed(extended(zoo)))
    assert verdict.indication is Indication.PASSED
    covered = [one.what for one in verdict.signatures[0].covered]
    assert covered == ["META-INF/ASiCManifest001.xml", *FILES]


@pytest.mark.parametrize("name", [*FILES, "META-INF/ASiCManifest001.xml"])
def test_a_changed_file_is_found(zoo: Zoo, name: str) -> None:
    files = extended(zoo)
    files[name] = files[name].replace(b"a", b"b", 1) if b"a" in files[name] else files[name] + b" "
    verdict = judged(zoo, packed(files))
    assert verdict.indication is Indication.FAILED
    assert verdict.signatures[0].crypto is Crypto.BROKEN


def test_a_file_that_was_taken_away_leaves_the_signature_undecided(zoo: Zoo) -> None:
    files = extended(zoo)
    del files["scan.txt"]
    verdict = judged(zoo, packed(files))
    assert (verdict.indication, verdict.sub_indication) == (
        Indication.INDETERMINATE,
        SubIndication.SIGNED_DATA_NOT_FOUND,
    )


def test_a_file_that_was_put_in_is_told(zoo: Zoo) -> None:
    verdict = judged(zoo, packed({**extended(zoo), "more.txt": b"not signed"}))
    (told,) = [finding for finding in verdict.findings if finding.reason is Reason.FILE_NOT_SIGNED]
    assert told.detail == "more.txt"


def test_a_simple_container_of_two_files_is_malformed(zoo: Zoo) -> None:
    files = {"one": b"1", "two": b"2", "META-INF/signature.p7s": signed(zoo, b"1")}
    assert judged(zoo, packed(files, SIMPLE)).sub_indication is SubIndication.FORMAT_FAILURE


def test_a_signature_that_no_manifest_names_never_passes(zoo: Zoo) -> None:
    files = extended(zoo)
    for broken in (b"bla", b"<ASiCManifest/>", b""):
        verdict = judged(zoo, packed({**files, "META-INF/ASiCManifest001.xml": broken}))
        assert verdict.indication is Indication.FAILED
        assert verdict.signatures[0].crypto is Crypto.BROKEN
    del files["META-INF/ASiCManifest001.xml"]
    verdict = judged(zoo, packed(files))
    assert verdict.sub_indication is SubIndication.FORMAT_FAILURE


def test_a_manifest_whose_signature_is_not_there_never_passes(zoo: Zoo) -> None:
    files = extended(zoo)
    del files[SIGNATURE]
    assert judged(zoo, packed({**files, STAMP: b""})).sub_indication is SubIndication.FORMAT_FAILURE


def test_a_signature_with_a_content_of_its_own_covers_no_file(zoo: Zoo) -> None:
    holder = zoo.clinician
    own = sign_cades(b"another", holder.key, holder.chain, signed_at=SIGNED_AT, detached=False)
    verdict = judged(zoo, packed({"scan.txt": b"a scan", "META-INF/signature.p7s": own}, SIMPLE))
    assert verdict.indication is Indication.FAILED


def stamped(zoo: Zoo, files: dict[str, bytes]) -> dict[str, bytes]:
    about = manifest(STAMP, {name: data for name, data in files.items() if name != "mimetype"})
    token = zoo.stamper(NOW).stamp(hashlib.sha256(about).digest())
    return {**files, "META-INF/ASiCArchiveManifest.xml": about, STAMP: token}


def test_a_time_stamp_over_an_archive_manifest_proves_when_the_signature_was_there(zoo: Zoo) -> None:
    verdict = judged(zoo, packed(stamped(zoo, extended(zoo))))
    assert verdict.indication is Indication.PASSED
    assert verdict.timestamps[0].indication is Indication.PASSED
    assert verdict.signatures[0].proven_at is not None


def test_a_time_stamp_over_a_manifest_whose_files_changed_proves_nothing(zoo: Zoo) -> None:
    files = stamped(zoo, extended(zoo))
    files["scan.txt"] = b"another scan"
    verdict = judged(zoo, packed(files))
    assert verdict.timestamps[0].indication is Indication.FAILED
    assert verdict.signatures[0].proven_at is None


def test_an_archive_manifest_saves_what_the_signature_file_holds(zoo: Zoo) -> None:
    """The signer has no certificate any more; its status, and the first authority's, lies in files that are covered."""
    gathered, renewed, later = SIGNED_AT + HOUR, NOW + 300 * DAY, NOW + 730 * DAY
    lists: dict[str, Any] = {"this_update": gathered, "next_update": gathered + 400 * DAY}
    values = Values(
        certificates=(zoo.intermediate.certificate,), crls=(zoo.root.crl(**lists), zoo.intermediate.crl(**lists))
    )
    files = extended(zoo)
    files[SIGNATURE] = Cades().with_values(files[SIGNATURE], values)
    once = stamped(zoo, files)
    about = manifest("META-INF/timestamp2.tst", {name: once[name] for name in (SIGNATURE, STAMP, *FILES)})
    lasting = authority(zoo.intermediate, later + DAY)
    token = forge_token(hashlib.sha256(about).digest(), lasting, renewed)
    twice = {**once, "META-INF/ASiCArchiveManifest002.xml": about, "META-INF/timestamp2.tst": token}
    fresh: dict[str, Any] = {"this_update": later - HOUR, "next_update": later + DAY}
    status = replace(zoo.status(), crls=(zoo.root.crl(**fresh), zoo.intermediate.crl(**fresh)))
    context = zoo.context(at=later, status_sources=(status,))
    verdict = verify_bytes(packed(twice), context)
    assert (verdict.indication, verdict.signatures[0].proven_at) == (Indication.PASSED, NOW)
    assert verdict.signatures[0].level == "B-LTA"
    verdict = verify_bytes(packed(once), context)
    assert verdict.sub_indication is SubIndication.OUT_OF_BOUNDS_NOT_REVOKED


def test_an_xml_signature_is_recognised_and_not_judged(zoo: Zoo) -> None:
    verdict = judged(zoo, packed({**extended(zoo), "META-INF/signatures.xml": b"<XAdESSignatures/>"}))
    assert verdict.indication is Indication.INDETERMINATE
    assert Reason.FORMAT_NOT_SUPPORTED in reasons(verdict)


# -- the manifest -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "strange",
    [
        b"",
        b"<a/>",
        b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        b'<?xml version="1.0" encoding="utf-99"?><a/>',
        manifest(SIGNATURE, {}),
        manifest("", {"a": b""}),
        manifest(SIGNATURE, {"": b""}),
        manifest(SIGNATURE, {"a": b""}).replace(b"<SigReference", b'<SigReference URI="b"/><SigReference'),
        manifest(SIGNATURE, {"a": b""}).replace(b"<ds:DigestValue>", b"<ds:DigestValue>!"),
        manifest(SIGNATURE, {"a": b"", "b": b""}).replace(b'URI="b"', b'URI="a"'),
        manifest(SIGNATURE, {"a": b""}).replace(b"</ASiC", b'<ASiCManifestExtensions Critical="true"/></ASiC'),
        manifest(SIGNATURE, {"a": b""}).replace(b"v1.2.1", b"v9.9.9"),
        b"<a>" * 40,
    ],
)
def test_a_manifest_that_two_readers_could_understand_differently_is_refused(strange: bytes) -> None:
    with pytest.raises(InvalidInput):
        read_manifest(strange)


def test_a_digest_under_an_unknown_hash_is_no_match(zoo: Zoo) -> None:
    about = manifest(SIGNATURE, FILES, "urn:unknown")
    files = {**FILES, "META-INF/ASiCManifest.xml": about, SIGNATURE: signed(zoo, about)}
    verdict = judged(zoo, packed(files))
    assert verdict.indication is Indication.INDETERMINATE
    assert verdict.signatures[0].crypto is Crypto.UNKNOWN


@settings(max_examples=200)
@given(data=st.binary(max_size=200) | st.text(alphabet='<>/="ab :&;!', max_size=200).map(str.encode))
def test_no_manifest_raises_but_invalid_input(data: bytes) -> None:
    try:
        read_manifest(data)
    except InvalidInput:
        return


def test_real_containers_of_another_program(vectors: Path) -> None:
    """Files of EU DSS (see the vectors' own README for where they come from)."""
    for path in sorted((vectors / "asic").iterdir()):
        data = path.read_bytes()
        assert detect(data) is Format.ASIC
        parsed = parse_asic(data)
        broken = "broken" in path.name
        assert bool([note for note in parsed.notes if note.reason is Reason.FORMAT_MALFORMED]) == broken


def test_a_container_beside_a_file_that_it_does_not_hold_fails(zoo: Zoo) -> None:
    data = packed(extended(zoo))
    for content, fits in ((FILES["scan.txt"], True), (b"another scan", False)):
        verdict = verify_bytes(data, zoo.context(content=content))
        assert (verdict.indication, verdict.sub_indication) == (
            (Indication.PASSED, None) if fits else (Indication.FAILED, SubIndication.HASH_FAILURE)
        )


def test_a_simple_container_may_name_its_files_type(zoo: Zoo) -> None:
    files = {"scan.txt": b"a scan", "META-INF/signature.p7s": signed(zoo, b"a scan")}
    assert judged(zoo, packed(files, b"text/plain")).indication is Indication.PASSED


def test_a_manifest_of_early_writers_is_read(zoo: Zoo) -> None:
    about = manifest(SIGNATURE, FILES, "http://www.w3.org/2000/09/xmldsig#sha256").replace(b"/02918/", b"/2918/")
    files = {**FILES, "META-INF/asicmanifest.xml": about, SIGNATURE: signed(zoo, about)}
    assert judged(zoo, packed(files)).indication is Indication.PASSED
