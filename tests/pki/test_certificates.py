import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from pki import ber, der, oids
from pki.certificates import Certificate, load_certificates, pem
from pki.errors import ErrorCode, InvalidInput, ServiceError, VerificationFailed
from pki.identity import build_name

NOW = dt.datetime(2026, 11, 22, 9, tzinfo=dt.UTC)


def _make(common_name: str = "علی نمونه", *, key: ec.EllipticCurvePrivateKey | None = None) -> bytes:
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = build_name((NameOID.COUNTRY_NAME, "IR"), (NameOID.COMMON_NAME, common_name))
    point = x509.DistributionPoint([x509.UniformResourceIdentifier("http://ca.example/crl/1.crl")], None, None, None)
    access = x509.AccessDescription(
        AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier("http://ca.example/ocsp")
    )
    admission = x509.Admission(
        None,
        None,
        [x509.ProfessionInfo(None, ["پزشک"], [x509.ObjectIdentifier("1.3.6.1.4.1.32473.364.3.1")], "12345", None)],
    )
    uri = x509.UniformResourceIdentifier("urn:mohr:hix:1")
    other = x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.32473.364.6.1"), der.utf8("a-token"))
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .serial_number(0x0ABC)
        .not_valid_before(NOW)
        .not_valid_after(NOW + dt.timedelta(days=30))
        .public_key(key.public_key())
        .add_extension(x509.KeyUsage(False, True, False, False, False, False, False, False, False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.CRLDistributionPoints([point]), critical=False)
        .add_extension(x509.AuthorityInformationAccess([access]), critical=False)
        .add_extension(x509.SubjectAlternativeName([uri, other]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.Admissions(None, [admission]), critical=False)
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def test_a_certificate_says_what_was_put_in() -> None:
    certificate = Certificate.parse(_make())
    assert certificate.subject == "C=IR, CN=علی نمونه"
    assert certificate.serial_hex == "0abc"
    assert (certificate.not_before, certificate.not_after) == (NOW, NOW + dt.timedelta(days=30))
    assert certificate.key_usage == frozenset({"nonRepudiation"})
    assert certificate.extended_key_usage == ("1.3.6.1.5.5.7.3.2",)
    assert not certificate.is_ca
    assert certificate.crl_urls == ("http://ca.example/crl/1.crl",)
    assert certificate.ocsp_urls == ("http://ca.example/ocsp",)
    assert certificate.issuer_urls == ()
    assert certificate.san_uris == ("urn:mohr:hix:1",)
    assert certificate.san_other_names == (("1.3.6.1.4.1.32473.364.6.1", "a-token"),)
    assert certificate.admission is not None
    assert certificate.admission.registration_number == "12345"
    assert certificate.admission.profession_items == ("پزشک",)
    certificate.verify_signed_by(certificate)


def test_another_issuers_key_does_not_verify() -> None:
    with pytest.raises(VerificationFailed):
        Certificate.parse(_make()).verify_signed_by(Certificate.parse(_make()))


def test_brackets_in_a_printable_string_are_read() -> None:
    """Iranian CAs write `CN=Name [Sign]` as PrintableString; X.680 forbids it, the field does it."""
    data = _make("Sample Person <Sign>")
    utf8 = der.utf8("Sample Person <Sign>")
    dirty = data.replace(utf8, bytes([der.PRINTABLE_STRING]) + utf8[1:]).replace(b"<Sign>", b"[Sign]")
    assert dirty != data
    assert Certificate.parse(dirty).subject.endswith("CN=Sample Person [Sign]")


def test_pem_files_with_several_certificates_are_read_in_order() -> None:
    one, two = _make("one"), _make("two")
    loaded = load_certificates(f"# chain\n{pem(one)}{pem(two)}".encode())
    assert [certificate.der for certificate in loaded] == [one, two]


@given(st.binary(max_size=120), st.integers(0, 700))
def test_broken_certificates_never_raise_anything_but_ours(noise: bytes, at: int) -> None:
    good = _make_once()
    for data in (noise, good[:at], good[:at] + noise + good[at + len(noise) :]):
        try:
            certificate = Certificate.parse(data)
            _ = (
                certificate.key_usage,
                certificate.policies,
                certificate.admission,
                certificate.crl_urls,
                certificate.subject,
            )
            _ = (certificate.san_uris, certificate.is_ca, certificate.ocsp_urls, certificate.public_key)
        except ServiceError as error:
            assert error.code


_ONCE: list[bytes] = []


def _make_once() -> bytes:
    if not _ONCE:
        _ONCE.append(_make())
    return _ONCE[0]


def _with(*extensions: bytes, subject: bytes | None = None) -> bytes:
    """Put other extensions, and another subject, into a certificate; its signature holds no longer."""
    certificate = der.parse(_make_once())
    fields = [child.raw for child in certificate.sequence()[0].sequence()]
    fields[-1] = der.context(3, der.sequence(*extensions))
    fields[5] = subject or fields[5]
    return der.sequence(der.sequence(*fields), *(child.raw for child in certificate.sequence()[1:]))


def _extension(name: str, value: bytes) -> bytes:
    return der.sequence(der.oid(name), der.octet_string(value))


def test_a_repeated_extension_is_refused() -> None:
    extension = _extension("2.5.29.14", der.octet_string(b"1"))
    with pytest.raises(InvalidInput) as caught:
        Certificate.parse(_with(extension, extension))
    assert caught.value.code is ErrorCode.CERTIFICATE_MALFORMED


def test_a_critical_extension_is_not_made_harmless_by_another_member() -> None:
    name, value = der.oid("1.3.6.1.4.1.32473.9"), der.octet_string(b"1")
    with pytest.raises(InvalidInput):
        Certificate.parse(_with(der.sequence(name, der.boolean(True), der.null(), value)))


_EMPTY = der.sequence()


@pytest.mark.parametrize(
    ("field", "name", "value"),
    [
        ("policies", oids.CERTIFICATE_POLICIES, der.sequence(_EMPTY)),
        ("ocsp_urls", oids.AUTHORITY_INFO_ACCESS, der.sequence(_EMPTY)),
        ("issuer_urls", oids.AUTHORITY_INFO_ACCESS, der.sequence(der.sequence(*[der.oid(oids.ACCESS_OCSP)] * 3))),
        ("san_other_names", oids.SUBJECT_ALT_NAME, der.sequence(der.context(0, der.null()))),
        ("admission", oids.ADMISSION, _EMPTY),
        ("admission", oids.ADMISSION, der.sequence(der.sequence(_EMPTY))),
    ],
)
def test_an_extension_of_another_form_is_refused_when_it_is_read(field: str, name: str, value: bytes) -> None:
    certificate = Certificate.parse(_with(_extension(name, value)))
    with pytest.raises(InvalidInput) as caught:
        getattr(certificate, field)
    assert caught.value.code is ErrorCode.CERTIFICATE_MALFORMED


@pytest.mark.parametrize("field", ["subject", "subject_attributes"])
def test_a_name_of_another_form_is_refused_when_it_is_read(field: str) -> None:
    certificate = Certificate.parse(_with(subject=der.sequence(der.set_of([_EMPTY]))))
    with pytest.raises(InvalidInput):
        getattr(certificate, field)


def test_a_pem_mark_before_much_white_space_is_passed_over_quickly() -> None:
    with pytest.raises(InvalidInput):
        load_certificates(b"-----BEGIN CERTIFICATE-----" + b" " * 2_000_000)


def test_brainpool_signers_of_real_prescriptions_are_read(vectors: Path) -> None:
    files = sorted((vectors / "cms-prescriptions").glob("*.p7m"))
    assert files
    encoded, was_ber = ber.normalise(files[0].read_bytes())
    assert was_ber
    signed_data = der.parse(encoded).sequence()[1].inner().sequence()
    certificates = next(node for node in signed_data if node.tag == 0xA0)
    signer = Certificate.parse(certificates.children()[0].raw)
    assert signer.admission is not None
    assert signer.admission.registration_number
    assert isinstance(signer.public_key, ec.EllipticCurvePublicKey)
    assert signer.public_key.curve.name == "brainpoolP256r1"
