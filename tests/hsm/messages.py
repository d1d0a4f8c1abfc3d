"""One well-formed message of each kind, and the parts to build malformed ones."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256

from pki import cbor, der, oids
from pki.jose import b64url, compact_json
from pki.keys import SignatureAlgorithm, algorithm_identifier

START = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2028, 1, 1, tzinfo=UTC)
SERIAL = der.integer(int.from_bytes(b"\x31" + bytes(range(15)), "big"))
SHA256_OF_NOTHING = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")


def name(common_name: str) -> bytes:
    return der.sequence(der.set_of([der.sequence(der.oid(oids.COMMON_NAME), der.utf8(common_name))]))


ISSUER = name("Pilot CA")


def extension(oid: str, value: bytes, *, critical: bool = False) -> bytes:
    return der.sequence(der.oid(oid), *([der.boolean(True)] if critical else []), der.octet_string(value))


def basic_constraints(*, ca: bool) -> bytes:
    return extension(oids.BASIC_CONSTRAINTS, der.sequence(*([der.boolean(True)] if ca else [])), critical=True)


def key_usage(bits: int) -> bytes:
    return extension(oids.KEY_USAGE, der.tlv(der.BIT_STRING, bytes((0, bits))), critical=True)


LEAF_EXTENSIONS = (basic_constraints(ca=False), key_usage(0xC0))


def tbs_certificate(
    spki: bytes,
    *,
    version: bytes = der.context(0, der.integer(2)),
    serial: bytes = SERIAL,
    algorithm: bytes = algorithm_identifier(SignatureAlgorithm.ES256),
    issuer: bytes = ISSUER,
    validity: bytes = der.sequence(der.time(START), der.time(END)),
    subject: bytes = name("Physician"),
    extensions: tuple[bytes, ...] = LEAF_EXTENSIONS,
) -> bytes:
    tail = der.context(3, der.sequence(*extensions)) if extensions else b""
    return der.sequence(version, serial, algorithm, issuer, validity, subject, spki, tail)


def tbs_cert_list(
    *,
    version: bytes = der.integer(1),
    algorithm: bytes = algorithm_identifier(SignatureAlgorithm.ES256),
    issuer: bytes = ISSUER,
    this_update: bytes = der.time(START),
    next_update: bytes = der.time(END),
    entries: bytes = b"",
    extensions: tuple[bytes, ...] = (extension(oids.CRL_NUMBER, der.integer(7)),),
) -> bytes:
    tail = der.context(0, der.sequence(*extensions))
    return der.sequence(version, algorithm, issuer, this_update, next_update, entries, tail)


def point(url: bytes) -> bytes:
    """Write the extension that names a list's distribution point: lists of one have numbers of their own."""
    place = der.context(0, der.context(0, der.context(6, url, constructed=False)))
    return extension(oids.ISSUING_DISTRIBUTION_POINT, der.sequence(place), critical=True)


def request_info(spki: bytes) -> bytes:
    return der.sequence(der.integer(0), name("Physician"), spki, der.context(0))


def single_response(issuer_name_hash: bytes, *, status: bytes = der.context(0, constructed=False)) -> bytes:
    identifier = der.sequence(
        der.sequence(der.oid(oids.SHA1), der.null()),
        der.octet_string(issuer_name_hash),
        der.octet_string(bytes(20)),
        SERIAL,
    )
    update, following = der.generalized_time(START), der.context(0, der.generalized_time(END))
    return der.sequence(identifier, status, update, following)


def response_data(*responses: bytes, produced_at: bytes = der.generalized_time(START)) -> bytes:
    return der.sequence(der.context(2, der.octet_string(bytes(20))), produced_at, der.sequence(*responses))


def attribute(oid: str, *values: bytes) -> bytes:
    return der.sequence(der.oid(oid), der.set_of(values))


def signed_attributes(content_type: str, *more: bytes) -> bytes:
    return der.set_of(
        [
            attribute(oids.ATTR_CONTENT_TYPE, der.oid(content_type)),
            attribute(oids.ATTR_MESSAGE_DIGEST, der.octet_string(SHA256_OF_NOTHING)),
            *more,
        ]
    )


TIMESTAMP_POLICY = "1.3.6.1.4.1.32473.364.4.1"
SIGNING_CERTIFICATE = der.sequence(der.sequence(der.sequence(der.octet_string(SHA256_OF_NOTHING))))


def tst_info(
    *rest: bytes,
    version: bytes = der.integer(1),
    policy: str = TIMESTAMP_POLICY,
    hash_algorithm: str = oids.SHA256,
    imprint: bytes = SHA256_OF_NOTHING,
    serial: bytes = der.integer(2**126 + 5),
    generated: bytes = der.generalized_time(START),
) -> bytes:
    hashed = der.sequence(der.sequence(der.oid(hash_algorithm)), der.octet_string(imprint))
    return der.sequence(version, der.oid(policy), hashed, serial, generated, *rest)


def stamp_attributes(content: bytes, *, names_certificate: bool = True, digest: bytes | None = None) -> bytes:
    """Attributes of a time-stamp over `content`."""
    named = [attribute(oids.ATTR_SIGNING_CERTIFICATE_V2, SIGNING_CERTIFICATE)] if names_certificate else []
    return der.set_of(
        [
            attribute(oids.ATTR_CONTENT_TYPE, der.oid(oids.TST_INFO)),
            attribute(oids.ATTR_MESSAGE_DIGEST, der.octet_string(digest or sha256(content).digest())),
            *named,
        ]
    )


def cose(
    *,
    context: str = "Signature1",
    header: dict[cbor.Key, cbor.Value] | None = None,
    external: bytes = b"",
    payload: bytes = b"\xa1\x06\x00",
) -> bytes:
    protected = cbor.encode({1: -7} if header is None else header)
    return cbor.encode([context, protected, external, payload])


def jws(header: dict[str, object], payload: bytes = b'{"iss":"mohr"}') -> bytes:
    return f"{b64url(compact_json(header))}.{b64url(payload)}".encode()


NOTE = b"log.example/pilot\n5\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
