import hashlib
from pathlib import Path

import pytest
from asn1crypto import cms as asn1_cms
from hypothesis import given
from hypothesis import strategies as st

from pki import der, oids
from pki.errors import ErrorCode, InvalidInput, ServiceError
from pki.keys import SignatureAlgorithm
from signer.formats.cades import add_signature_timestamp, sign_cades
from signer.formats.signing import MAX_DOCUMENT_OCTETS
from signer.timestamps.client import LocalTimeStamper
from tests.support.openssl import openssl
from tests.support.pki import NOW, TrustPath, make_path

CONTENT = "نسخهٔ الکترونیکی\n".encode() * 40


def verify(folder: Path, path: TrustPath, cms: bytes, content: bytes | None) -> tuple[bool, str]:
    """Let OpenSSL judge: signature, path to the root, and the ESS reference (`-cades`)."""
    (folder / "root.pem").write_text(path.root.pem)
    (folder / "signature.p7s").write_bytes(cms)
    detached: list[str | Path] = []
    if content is not None:
        (folder / "content").write_bytes(content)
        detached = ["-content", folder / "content"]
    result = openssl(
        *("cms", "-verify", "-cades", "-binary", "-inform", "DER", "-in", folder / "signature.p7s", *detached),
        *("-CAfile", folder / "root.pem", "-purpose", "any", "-attime", str(int(NOW.timestamp()))),
        *("-out", folder / "out"),
    )
    return result.returncode == 0, result.stderr


@pytest.mark.real
@pytest.mark.parametrize("detached", [True, False], ids=["detached", "enveloping"])
@pytest.mark.parametrize(
    "algorithm",
    [SignatureAlgorithm.ES256, SignatureAlgorithm.ES384, SignatureAlgorithm.RS256, SignatureAlgorithm.PS256],
    ids=str,
)
def test_openssl_verifies_our_signature(tmp_path: Path, algorithm: SignatureAlgorithm, detached: bool) -> None:
    path = make_path(algorithm)
    signer = path.clinician
    cms = sign_cades(CONTENT, signer.key, signer.chain, signed_at=NOW, detached=detached)
    good, message = verify(tmp_path, path, cms, CONTENT if detached else None)
    assert good, message
    assert (tmp_path / "out").read_bytes() == CONTENT


@pytest.mark.real
def test_openssl_refuses_one_flipped_bit_of_content(tmp_path: Path, path: TrustPath) -> None:
    cms = sign_cades(CONTENT, path.clinician.key, path.clinician.chain, signed_at=NOW)
    changed = bytes((CONTENT[0] ^ 1,)) + CONTENT[1:]
    good, message = verify(tmp_path, path, cms, changed)
    assert not good
    assert "verification failure" in message


@pytest.mark.real
def test_openssl_verifies_signature_and_token_of_level_t(
    tmp_path: Path, path: TrustPath, stamper: LocalTimeStamper
) -> None:
    signer = path.clinician
    stamped = add_signature_timestamp(sign_cades(CONTENT, signer.key, signer.chain, signed_at=NOW), stamper)
    good, message = verify(tmp_path, path, stamped, CONTENT)
    assert good, message
    info = asn1_cms.ContentInfo.load(stamped, strict=True)["content"]["signer_infos"][0]
    (attribute,) = info["unsigned_attrs"]
    assert attribute["type"].dotted == oids.ATTR_SIGNATURE_TIMESTAMP
    (tmp_path / "token").write_bytes(attribute["values"][0].dump())
    (tmp_path / "value").write_bytes(info["signature"].native)
    result = openssl(
        *("ts", "-verify", "-token_in", "-in", tmp_path / "token", "-data", tmp_path / "value"),
        *("-CAfile", tmp_path / "root.pem", "-attime", str(int(NOW.timestamp()))),
    )
    assert "Verification: OK" in result.stdout, result.stderr


def signer_info(cms: bytes) -> tuple[der.Node, ...]:
    return der.parse(cms).sequence()[1].inner().sequence()[-1].set_of()[0].sequence()


def test_a_timestamp_leaves_every_signed_octet_as_it_was(path: TrustPath, stamper: LocalTimeStamper) -> None:
    cms = sign_cades(CONTENT, path.clinician.key, path.clinician.chain, signed_at=NOW, detached=False)
    stamped = add_signature_timestamp(cms, stamper)
    before, after = signer_info(cms), signer_info(stamped)
    assert [node.raw for node in after[: len(before)]] == [node.raw for node in before]
    assert len(after) == len(before) + 1
    outer = [node.raw for node in der.parse(cms).sequence()[1].inner().sequence()[:-1]]
    assert [node.raw for node in der.parse(stamped).sequence()[1].inner().sequence()[:-1]] == outer


def test_a_second_timestamp_joins_the_first(path: TrustPath, stamper: LocalTimeStamper) -> None:
    cms = sign_cades(CONTENT, path.clinician.key, path.clinician.chain, signed_at=NOW)
    twice = add_signature_timestamp(add_signature_timestamp(cms, stamper), stamper)
    attributes = [node.raw for node in signer_info(twice)[-1].children()]
    assert len(attributes) == 2
    assert attributes == sorted(attributes)


class NumberStamper:
    """Gives falling numbers for tokens."""

    def __init__(self) -> None:
        self.next = 9

    def stamp(self, digest_sha256: bytes) -> bytes:
        del digest_sha256
        self.next -= 1
        return der.integer(self.next)


def test_unsigned_attributes_are_kept_in_der_order(path: TrustPath) -> None:
    cms, numbers = sign_cades(CONTENT, path.clinician.key, path.clinician.chain, signed_at=NOW), NumberStamper()
    twice = add_signature_timestamp(add_signature_timestamp(cms, numbers), numbers)
    values = [node.sequence()[1].set_of()[0].integer() for node in signer_info(twice)[-1].children()]
    assert values == [7, 8]


def test_the_token_is_over_the_signature_value(path: TrustPath, stamper: LocalTimeStamper) -> None:
    stamped = add_signature_timestamp(
        sign_cades(CONTENT, path.clinician.key, path.clinician.chain, signed_at=NOW), stamper
    )
    value = signer_info(stamped)[-2].octets()
    assert hashlib.sha256(value).digest() in signer_info(stamped)[-1].raw


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", ErrorCode.INPUT_EMPTY), (bytes(MAX_DOCUMENT_OCTETS + 1), ErrorCode.INPUT_TOO_LARGE)],
    ids=["empty", "oversized"],
)
def test_content_has_bounds(path: TrustPath, content: bytes, code: ErrorCode) -> None:
    with pytest.raises(InvalidInput) as refused:
        sign_cades(content, path.clinician.key, path.clinician.chain, signed_at=NOW)
    assert refused.value.code is code


class CountingStamper:
    """Gives no token; counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def stamp(self, digest_sha256: bytes) -> bytes:
        assert len(digest_sha256) == 32
        self.asked += 1
        return der.sequence(der.null())


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_and_never_stamped(data: bytes) -> None:
    stamper = CountingStamper()
    with pytest.raises(ServiceError):
        add_signature_timestamp(data, stamper)
    assert not stamper.asked


@pytest.fixture(scope="module")
def signed(path: TrustPath) -> bytes:
    return sign_cades(b"x", path.clinician.key, path.clinician.chain, signed_at=NOW)


@given(data=st.data())
def test_a_mutated_signature_raises_nothing_but_ours(signed: bytes, data: st.DataObject) -> None:
    cms = bytearray(signed)
    for _ in range(data.draw(st.integers(1, 3))):
        cms[data.draw(st.integers(0, len(cms) - 1))] = data.draw(st.integers(0, 255))
    try:
        add_signature_timestamp(bytes(cms), CountingStamper())
    except ServiceError as error:
        assert error.code in (ErrorCode.DER_MALFORMED, ErrorCode.INPUT_MALFORMED)


@given(st.integers(0, 1500))
def test_a_truncated_signature_is_refused(signed: bytes, size: int) -> None:
    with pytest.raises(InvalidInput):
        add_signature_timestamp(signed[: min(size, len(signed) - 1)], CountingStamper())


def test_two_signers_are_refused(path: TrustPath, stamper: LocalTimeStamper) -> None:
    cms = sign_cades(b"x", path.clinician.key, path.clinician.chain, signed_at=NOW)
    kind, wrapped = der.parse(cms).sequence()
    *before, infos = wrapped.inner().sequence()
    doubled = der.tlv(der.SET, infos.set_of()[0].raw, infos.set_of()[0].raw)
    body = der.sequence(*(node.raw for node in before), doubled)
    with pytest.raises(InvalidInput, match="one signer expected"):
        add_signature_timestamp(der.sequence(kind.raw, der.context(0, body)), stamper)
