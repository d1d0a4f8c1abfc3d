"""What fuzzing and attacks found, each as the small input that shows it."""

import time
import weakref
from typing import Any

import pytest

from pki import der
from pki.certificates import Certificate
from pki.errors import InvalidInput, ServiceError
from pki.jose import strict_json
from signer.formats.pades import sign_pades
from signer.parsers.asic import parse_asic
from signer.parsers.cades import unwrap_pem
from signer.parsers.model import Format
from signer.parsers.pades import parse_pdf
from signer.validation.answers import Good
from signer.validation.crl import parse_crl
from signer.validation.evidence import Evidence
from signer.validation.existence import Existence
from signer.validation.path import CertificatePool
from signer.validation.reasons import Reason
from signer.validation.status import EmbeddedStatus
from signer.validation.verdict import Indication
from signer.validation.verify import verify_bytes
from tests.fuzz.seeds import packed
from tests.support.forge import CmsForge
from tests.support.pdf import page_pdf
from tests.support.pki import NOW, make_root, new_key
from tests.support.zoo import make_zoo

_MANIFEST = (
    b'<ASiCManifest xmlns="http://uri.etsi.org/02918/v1.2.1#" xmlns:ds="http://www.w3.org/2000/09/xmldsig#">'
    b'<SigReference URI="META-INF/signature%d.p7s"/>%s</ASiCManifest>'
)
_REFERENCE = (
    b'<DataObjectReference URI="f%d"><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/>'
    b"<ds:DigestValue>AAAA</ds:DigestValue></DataObjectReference>"
)


@pytest.mark.parametrize("end", [b"", b"\\"])
def test_a_json_string_without_an_end_is_read_once_and_not_from_each_of_its_quotes(end: bytes) -> None:
    started = time.process_time()
    with pytest.raises(ServiceError):
        strict_json(b'{"a":' + b"[" * 70 + b'"' + b'\\"' * 60_000 + end)
    assert time.process_time() - started < 5  # it took a minute


def test_white_space_after_a_pem_header_is_read_once() -> None:
    started = time.process_time()
    with pytest.raises(ServiceError):
        unwrap_pem(b"-----BEGIN CMS-----" + b" " * 60_000)
    assert time.process_time() - started < 5  # it took twenty seconds


def test_a_list_of_another_version_is_none() -> None:
    parts = list(der.parse(make_root().crl()).sequence())
    fields = [node.raw for node in parts[0].sequence()]
    for version in (0, 2, 9):
        with pytest.raises(InvalidInput, match="version"):
            parse_crl(der.sequence(der.sequence(der.integer(version), *fields[1:]), parts[1].raw, parts[2].raw))


def test_many_keys_of_an_issuers_name_and_many_lists_cost_a_check_each_and_not_each_pair_a_search() -> None:
    """Unsigned certificates and lists that anybody can add to a good file change neither its verdict nor its cost."""
    root = make_root()
    issuer = root.issue_ca()
    spoilt = [_of_its_own(issuer.certificate.der, number) for number in range(300)]
    lists = [_of_another_key(issuer.crl(number=number)) for number in range(60)]
    pool = CertificatePool([root.certificate, issuer.certificate, *map(Certificate.parse, spoilt)])
    evidence = Evidence(
        pool=pool,
        sources=(EmbeddedStatus(crls=(*lists, issuer.crl())),),
        anchors=frozenset({root.certificate}),
        existence=Existence(NOW),
    )
    started = time.process_time()
    answers = evidence.answers(issuer.issue().certificate, issuer.certificate, NOW)
    assert time.process_time() - started < 5  # it took half a minute
    assert [answer for answer in answers if isinstance(answer, Good)]


def _of_its_own(certificate: bytes, number: int) -> bytes:
    """Write a certificate as if it had issued itself, under another number."""
    tbs, *rest = der.parse(certificate).sequence()
    fields = [node.raw for node in tbs.sequence()]
    fields[1], fields[3] = der.integer(number + 1), fields[5]
    return der.sequence(der.sequence(*fields), *(node.raw for node in rest))


def _of_another_key(crl: bytes) -> bytes:
    tbs, algorithm, _ = der.parse(crl).sequence()
    return der.sequence(tbs.raw, algorithm.raw, der.bit_string(new_key().sign(b"")))


def test_many_signatures_over_one_large_content_are_too_much_to_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signer.validation.verify.MAX_DIGESTED_OCTETS", 100_000)
    world = make_zoo()
    few, many = (CmsForge(content=bytes(9_000), holder=world.clinician, signers=number).build() for number in (9, 12))
    assert verify_bytes(few, world.context()).indication is Indication.PASSED
    verdict = verify_bytes(many, world.context())
    assert [finding.reason for finding in verdict.findings] == [Reason.INPUT_TOO_LARGE]
    assert verdict.indication is Indication.INDETERMINATE


def test_many_manifests_that_name_the_same_files_are_too_much_to_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signer.parsers.asic.MAX_DIGESTED_OCTETS", 100_000)

    def manifest(number: int) -> bytes:
        return _MANIFEST % (number, b"".join(_REFERENCE % name for name in range(4)))

    files = {"mimetype": b"application/vnd.etsi.asic-e+zip", **{f"f{name}": bytes(4_000) for name in range(4)}}
    files |= {f"META-INF/ASiCManifest{number}.xml": manifest(number) for number in range(10)}
    with pytest.raises(InvalidInput, match="to digest"):
        parse_asic(packed(files))


@pytest.mark.parametrize("entries", [b"/W [0 0 0]", b"/W[ 0 0  00]"])
def test_entries_of_a_cross_reference_stream_that_have_no_octets_are_refused(entries: bytes) -> None:
    stream = b"<< /Type /XRef /Size 100000 %s /Root 2 0 R /Length 4 >>\nstream\nabcd\nendstream" % entries
    pdf = b"%%PDF-1.7\n1 0 obj\n%s\nendobj\nstartxref\n9\n%%%%EOF" % stream
    with pytest.raises(InvalidInput, match="too complex"):
        parse_pdf(pdf)


def test_fields_that_share_their_branches_come_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signer.bounded_pdf._MAX_OBJECTS", 1_000)
    branches = tuple(f"<< /T (a) /Kids [{number + 1} 0 R {number + 1} 0 R] >>" for number in range(6, 30))
    pdf = page_pdf(catalogue="/AcroForm << /Fields [6 0 R] >>", extra=(*branches, "<< /T (z) >>"))
    with pytest.raises(InvalidInput, match="too complex"):
        parse_pdf(pdf)


def test_memory_is_let_go_of_before_the_verdict_says_that_there_was_too_little(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[Any] = []

    def fill(_data: bytes, _form: object, _content: object) -> None:
        octets = bytearray(1)
        held.append(weakref.finalize(memoryview(octets), lambda: None))
        raise MemoryError

    monkeypatch.setattr("signer.validation.verify.parse", fill)
    monkeypatch.setattr("signer.validation.verify.detect", lambda _head: Format.CMS if not held else _alive(held))
    verdict = verify_bytes(b"\x30\x00", make_zoo().context())
    assert [finding.reason for finding in verdict.findings] == [Reason.VERIFICATION_ABORTED]


def _alive(held: list[Any]) -> Format | None:
    assert not held[0].alive
    return None


def test_a_token_without_an_end_is_not_copied_as_it_grows() -> None:
    pdf = page_pdf(catalogue="/AcroForm << /Fields [6 0 R] >>", extra=(f"<< /T {'1' * 1_000_000} >>",))
    with pytest.raises(InvalidInput, match="too complex"):
        parse_pdf(pdf)


def test_a_signed_pdf_that_is_cut_short_is_told_so_at_once() -> None:
    zoo = make_zoo()
    data = sign_pades(page_pdf(), zoo.clinician.key, zoo.clinician.chain, signed_at=NOW)
    for cut in (2, 9, 40, 400):  # its end was looked for again and again, until two million reads were used up
        (finding,) = verify_bytes(data[:-cut], zoo.context()).findings
        assert finding.reason is Reason.FORMAT_MALFORMED
        assert "cut short" in finding.detail
