import hashlib

import pytest
from asn1crypto import cms as asn1_cms
from asn1crypto import tsp
from hypothesis import given
from hypothesis import strategies as st

from hsm.soft import UnsafeSoftKey
from pki import der, oids
from pki.errors import ErrorCode, InvalidInput
from pki.keys import PublicKey, SignatureAlgorithm
from signer.errors import SignerMismatch
from signer.formats.cms import sign_digest, signed_attributes
from tests.support.pki import NOW, TrustPath, make_path

DIGEST = hashlib.sha256(b"content").digest()


class RecordingKey:
    """Keeps what it was asked to sign; may answer with something else."""

    def __init__(self, key: UnsafeSoftKey, answer: bytes | None = None) -> None:
        self.key, self.answer, self.messages = key, answer, list[bytes]()

    @property
    def algorithm(self) -> SignatureAlgorithm:
        return self.key.algorithm

    def public_key(self) -> PublicKey:
        return self.key.public_key()

    def sign(self, message: bytes) -> bytes:
        self.messages.append(message)
        return self.key.sign(message) if self.answer is None else self.answer


def read(data: bytes) -> asn1_cms.SignedData:
    info = asn1_cms.ContentInfo.load(data, strict=True)
    assert info.dump(force=True) == data, "asn1crypto writes the same DER"
    return info["content"]


def test_the_structure_is_what_an_independent_reader_expects(path: TrustPath) -> None:
    signer = path.clinician
    data = read(
        sign_digest(DIGEST, signer.key, signer.chain, signed_at=NOW, commitment=oids.COMMITMENT_PROOF_OF_ORIGIN)
    )
    assert data["version"].native == "v1"
    assert data["encap_content_info"]["content_type"].native == "data"
    assert data["encap_content_info"]["content"].native is None
    assert {choice.chosen.dump() for choice in data["certificates"]} == {c.der for c in signer.chain}
    (info,) = data["signer_infos"]
    assert info["version"].native == "v1"
    assert info["sid"].chosen["serial_number"].native == signer.certificate.serial
    values = {attribute["type"].dotted: attribute["values"] for attribute in info["signed_attrs"]}
    assert set(values) == {
        oids.ATTR_CONTENT_TYPE,
        oids.ATTR_MESSAGE_DIGEST,
        oids.ATTR_SIGNING_TIME,
        oids.ATTR_SIGNING_CERTIFICATE_V2,
        oids.ATTR_ALGORITHM_PROTECTION,
        oids.ATTR_COMMITMENT_TYPE,
    }
    assert values[oids.ATTR_MESSAGE_DIGEST][0].native == DIGEST
    assert values[oids.ATTR_SIGNING_TIME][0].native == NOW
    protection = values[oids.ATTR_ALGORITHM_PROTECTION][0]
    assert protection["digest_algorithm"]["algorithm"].native == "sha256"
    assert protection["signature_algorithm"]["algorithm"].native == "sha256_ecdsa"
    (reference,) = tsp.SigningCertificateV2.load(values[oids.ATTR_SIGNING_CERTIFICATE_V2][0].dump())["certs"]
    assert reference["cert_hash"].native == signer.certificate.sha256
    assert reference["issuer_serial"]["serial_number"].native == signer.certificate.serial
    assert reference["issuer_serial"]["issuer"][0].chosen.untag().dump() == signer.certificate.issuer_der
    # ESSCertIDv2: SHA-256 is the DEFAULT, which DER leaves out (RFC 5035 §3).
    assert reference.contents[0] == der.OCTET_STRING


def test_content_other_than_data_makes_version_3(path: TrustPath) -> None:
    kind = "1.3.6.1.4.1.32473.1"
    data = read(sign_digest(DIGEST, path.tsa.key, path.tsa.chain, content_type=kind, content=b"x"))
    assert data["version"].native == "v3"
    assert data["encap_content_info"]["content_type"].native == kind
    assert data["encap_content_info"]["content"].native == b"x"


def test_certificates_may_be_left_out(path: TrustPath) -> None:
    data = read(sign_digest(DIGEST, path.clinician.key, path.clinician.chain, certificates=()))
    assert data["certificates"].native is None


def test_the_key_sees_the_whole_set_of_attributes_and_never_a_digest(path: TrustPath) -> None:
    key = RecordingKey(path.clinician.key)
    sign_digest(DIGEST, key, path.clinician.chain, signed_at=NOW)
    (message,) = key.messages
    attributes = [attribute.raw for attribute in der.parse(message).set_of()]
    assert attributes == sorted(attributes)
    assert any(DIGEST in attribute for attribute in attributes)


def test_another_persons_key_is_refused_before_it_signs(path: TrustPath) -> None:
    key = RecordingKey(path.tsa.key)
    with pytest.raises(SignerMismatch):
        sign_digest(DIGEST, key, path.clinician.chain)
    assert not key.messages


def test_no_certificate_is_refused_before_the_key_signs(path: TrustPath) -> None:
    key = RecordingKey(path.clinician.key)
    with pytest.raises(SignerMismatch):
        sign_digest(DIGEST, key, ())
    assert not key.messages


def test_a_wrong_signature_from_the_device_never_leaves(path: TrustPath) -> None:
    key = RecordingKey(path.clinician.key, answer=path.clinician.key.sign(b"something else"))
    with pytest.raises(SignerMismatch):
        sign_digest(DIGEST, key, path.clinician.chain)


def test_ed25519_signs_no_documents(path: TrustPath) -> None:
    with pytest.raises(InvalidInput) as refused:
        signed_attributes(DIGEST, path.clinician.certificate, SignatureAlgorithm.EDDSA)
    assert refused.value.code is ErrorCode.KEY_REFUSED


@pytest.mark.parametrize("algorithm", [SignatureAlgorithm.ES384, SignatureAlgorithm.RS256, SignatureAlgorithm.PS256])
def test_every_algorithm_names_its_hash_twice(algorithm: SignatureAlgorithm) -> None:
    signer = make_path(algorithm).clinician
    (info,) = read(sign_digest(DIGEST, signer.key, signer.chain))["signer_infos"]
    expected = "sha384" if algorithm is SignatureAlgorithm.ES384 else "sha256"
    assert info["digest_algorithm"]["algorithm"].native == expected
    protection = next(a for a in info["signed_attrs"] if a["type"].dotted == oids.ATTR_ALGORITHM_PROTECTION)
    assert protection["values"][0]["digest_algorithm"]["algorithm"].native == expected
    assert protection["values"][0]["signature_algorithm"].dump()[2:] == info["signature_algorithm"].dump()[2:]


@given(content=st.binary(max_size=300), detached=st.booleans())
def test_any_content_survives_the_round_trip(path: TrustPath, content: bytes, detached: bool) -> None:
    digest = hashlib.sha256(content).digest()
    signed = sign_digest(digest, path.clinician.key, path.clinician.chain, content=None if detached else content)
    encapsulated = der.parse(signed).sequence()[1].inner().sequence()[2].sequence()
    assert encapsulated[0].oid() == oids.CMS_DATA
    assert [node.inner().octets() for node in encapsulated[1:]] == ([] if detached else [content])
