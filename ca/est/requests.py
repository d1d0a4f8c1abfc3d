"""What a request wishes, held against the certificate that it is to renew (RFC 7030 §4.2.2)."""

from cryptography import x509

from pki import der, oids
from pki.certificates import Certificate, name_attributes
from pki.csr import Csr
from pki.errors import ErrorCode, InvalidInput


def check_same_identity(csr: Csr, certificate: Certificate) -> None:
    """Refuse a request for another subject or other alternative names; InvalidInput (`identity-differs`).

    Names are equal by their attributes in order, however their text is encoded; alternative names in any order.
    """
    request = x509.load_der_x509_csr(csr.der)
    if name_attributes(request.subject.public_bytes()) != certificate.subject_attributes:
        raise InvalidInput(
            ErrorCode.IDENTITY_DIFFERS, "the subject is not the certificate's", reason="est.subject-differs"
        )
    if _wished_names(request) != _names_of(certificate):
        raise InvalidInput(
            ErrorCode.IDENTITY_DIFFERS, "the alternative names are not the certificate's", reason="est.san-differs"
        )


def _wished_names(request: x509.CertificateSigningRequest) -> frozenset[bytes]:
    try:
        wished = request.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return frozenset()
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise InvalidInput(ErrorCode.CSR_MALFORMED, "the requested extensions cannot be read") from error
    return _general_names(wished.value.public_bytes())


def _names_of(certificate: Certificate) -> frozenset[bytes]:
    found = certificate.extensions.get(oids.SUBJECT_ALT_NAME)
    return frozenset() if found is None else _general_names(found.value)


def _general_names(value: bytes) -> frozenset[bytes]:
    return frozenset(name.raw for name in der.parse(value).sequence())
