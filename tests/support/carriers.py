"""One act of signing in every format that can carry it, so that a case is written once and judged in all of them.

What is wrong with an act is a member of it; what a carrier does not know (a compact JWS has no place for time-stamps)
it refuses with `CannotCarry`.
"""

import base64
import hashlib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from io import BytesIO
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from pki import der, oids
from pki.certificates import Certificate
from pki.jose import b64url, compact_json
from signer.formats.pades import sign_pades
from signer.samples import sample_pdf
from tests.support.forge import ECDSA_SHA256, CmsForge, Held, attribute
from tests.support.zoo import SIGNED_AT, Zoo

CONTENT: Final = b"a paper that was signed, long enough to be changed somewhere"
_CONTENT_STAMP: Final = "1.2.840.113549.1.9.16.2.20"
_POLICY: Final = "1.2.840.113549.1.9.16.2.15"
_DATA_FILE: Final = "paper.txt"
_MANIFEST: Final = "META-INF/ASiCManifest001.xml"
_SIGNATURE: Final = "META-INF/signature001.p7s"

Stamp = Callable[..., bytes]
"""What makes a token over octets, with `unsigned` attributes."""


class CannotCarry(Exception):
    """The format has no place for what the act asks."""


@dataclass(frozen=True, kw_only=True)
class Act:
    """Somebody signs `CONTENT`; `shipped` is what is delivered in its place, None that nothing is.

    `reference` is whom the signed reference names, if not the holder, and `unreferenced` leaves it out; the stamps make
    tokens over the octets that the format stamps; `policy` is a signature policy's OID with its digest; `spoil` changes
    the value, and `torn` the file.
    """

    holder: Held
    shipped: bytes | None = CONTENT
    reference: Certificate | None = None
    unreferenced: bool = False
    certificates: tuple[Certificate, ...] | None = None
    stamp: Stamp | None = None
    content_stamp: Stamp | None = None
    archive_stamp: Stamp | None = None
    policy: tuple[str, bytes] | None = None
    spoil: Callable[[bytes], bytes] = lambda value: value
    digest: str = "sha256"
    torn: Callable[[bytes], bytes] = lambda data: data

    @property
    def named(self) -> Certificate:
        """The certificate that the signed reference names."""
        return self.reference or self.holder.certificate

    @property
    def embedded(self) -> tuple[Certificate, ...]:
        """The certificates that travel along."""
        return (self.holder.certificate,) if self.certificates is None else self.certificates


@dataclass(frozen=True, kw_only=True)
class Carried:
    """A file, and the content to give beside it."""

    data: bytes
    content: bytes | None = None


# -- CMS ---------------------------------------------------------------------------------------------

_HASHES: Final = {"sha256": oids.SHA256, "sha1": oids.SHA1, "md5": oids.MD5}


def _is_rsa(act: Act) -> bool:
    return isinstance(act.holder.certificate.public_key, rsa.RSAPublicKey)


def cms(act: Act, content: bytes, *, detached: bool, shipped: bytes | None = None) -> bytes:
    """Sign `content`; an enveloping CMS holds `shipped` in its place, if given."""
    extra = []
    if act.content_stamp is not None:
        extra.append(attribute(_CONTENT_STAMP, act.content_stamp(content)))
    if act.policy is not None:
        name, digest = act.policy
        hashed = der.sequence(der.sequence(der.oid(oids.SHA256)), der.octet_string(digest))
        extra.append(attribute(_POLICY, der.sequence(der.oid(name), hashed)))
    forge = CmsForge(
        content=content,
        holder=act.holder,
        detached=detached,
        signing_time=SIGNED_AT,
        reference=act.named,
        without=(oids.ATTR_SIGNING_CERTIFICATE_V2,) if act.unreferenced else (),
        certificates=act.embedded,
        extra=tuple(extra),
        hash_oid=_HASHES[act.digest],
        digest_name=act.digest,
        algorithm=der.sequence(der.oid(oids.SHA256_WITH_RSA), der.null()) if _is_rsa(act) else ECDSA_SHA256,
    )
    value = act.spoil(act.holder.key.sign(der.tlv(der.SET, *forge.attributes())))
    unsigned = () if act.stamp is None else (attribute(oids.ATTR_SIGNATURE_TIMESTAMP, act.stamp(value)),)
    forge = replace(forge, spoil=lambda _value: value, unsigned=unsigned)
    if act.archive_stamp is not None:
        forge = replace(forge, unsigned=(*unsigned, _archived(forge, act.archive_stamp)))
    made = forge.build()
    if shipped is None or shipped == content:
        return made
    if len(shipped) != len(content):
        raise CannotCarry
    return made.replace(content, shipped)


def _archived(forge: CmsForge, stamp: Stamp) -> bytes:
    """Make an archive-time-stamp-v3 over all that there is (EN 319 122-1 §5.5.3)."""

    def hashed(*octets: bytes) -> bytes:
        return der.octet_string(hashlib.sha256(b"".join(octets)).digest())

    certificates = der.sequence(*(hashed(one.der) for one in forge.certificates or ()))
    parts = [der.parse(one).sequence() for one in forge.unsigned]
    attributes = der.sequence(*(hashed(kind.raw, value.raw) for kind, values in parts for value in values.set_of()))
    index = der.sequence(der.sequence(der.oid(oids.SHA256)), certificates, der.sequence(), attributes)
    fields = [node.raw for node in der.parse(forge.signer_info()).sequence() if node.tag != 0xA1]
    imprinted = (der.oid(forge.content_type), hashlib.sha256(forge.content).digest(), *fields, index)
    token = stamp(b"".join(imprinted), unsigned=(attribute("0.4.0.19122.1.5", index),))
    return attribute(oids.ATTR_ARCHIVE_TIMESTAMP_V3, token)


def _cades(_zoo: Zoo, act: Act) -> Carried:
    if act.shipped is None:
        raise CannotCarry
    return Carried(data=cms(act, CONTENT, detached=False, shipped=act.shipped))


def _cades_detached(_zoo: Zoo, act: Act) -> Carried:
    return Carried(data=cms(act, CONTENT, detached=True), content=act.shipped)


@lru_cache(maxsize=1)
def _prepared_pdf(zoo: Zoo) -> tuple[bytes, int, int]:
    """Return a signed PDF and where its value stands: another value of the same octets takes its place."""
    pdf = sign_pades(sample_pdf(), zoo.clinician.key, zoo.clinician.chain, signed_at=SIGNED_AT)
    start = pdf.index(b"/Contents <") + len(b"/Contents <")
    return pdf, start, pdf.index(b">", start)


def _pades(zoo: Zoo, act: Act) -> Carried:
    if act.shipped is None:
        raise CannotCarry
    pdf, start, end = _prepared_pdf(zoo)
    value = cms(act, pdf[: start - 1] + pdf[end + 1 :], detached=True).hex().encode()
    made = pdf[:start] + value.ljust(end - start, b"0") + pdf[end:]
    if act.shipped != CONTENT:
        at = made.index(b" Tj") - 3
        made = made[:at] + bytes((made[at] ^ 1,)) + made[at + 1 :]
    return Carried(data=made)


# -- ASiC --------------------------------------------------------------------------------------------


def _packed(kind: str, files: dict[str, bytes]) -> bytes:
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w") as container:
        container.writestr("mimetype", f"application/vnd.etsi.{kind}+zip")
        for name, data in files.items():
            container.writestr(name, data)
    return stream.getvalue()


def _asic_s(_zoo: Zoo, act: Act) -> Carried:
    if act.shipped is None:
        raise CannotCarry
    files = {_DATA_FILE: act.shipped, "META-INF/signature.p7s": cms(act, CONTENT, detached=True)}
    return Carried(data=_packed("asic-s", files))


def _asic_e(_zoo: Zoo, act: Act) -> Carried:
    digest = base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()
    manifest = (
        '<ASiCManifest xmlns="http://uri.etsi.org/02918/v1.2.1#" xmlns:ds="http://www.w3.org/2000/09/xmldsig#">'
        f'<SigReference URI="{_SIGNATURE}"/><DataObjectReference URI="{_DATA_FILE}">'
        '<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/>'
        f"<ds:DigestValue>{digest}</ds:DigestValue></DataObjectReference></ASiCManifest>"
    ).encode()
    files = {} if act.shipped is None else {_DATA_FILE: act.shipped}
    files |= {_MANIFEST: manifest, _SIGNATURE: cms(act, manifest, detached=True)}
    return Carried(data=_packed("asic-e", files))


# -- JWS ---------------------------------------------------------------------------------------------


def _jws(act: Act) -> dict[str, Any]:
    key = act.holder.certificate.public_key
    if act.digest != "sha256" or (isinstance(key, ec.EllipticCurvePublicKey) and key.key_size != 256):
        raise CannotCarry  # JOSE has no names for it
    payload = b64url(CONTENT)
    header: dict[str, Any] = {
        "alg": "RS256" if _is_rsa(act) else "ES256",
        "cty": "text/plain",
        "sigT": SIGNED_AT.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "crit": ["sigT"],
    }
    if not act.unreferenced:
        header["x5t#S256"] = b64url(act.named.sha256)
    certificates = [base64.b64encode(one.der).decode() for one in act.embedded]
    outside = {"x5c": certificates} if act.unreferenced and certificates else {}
    if certificates and not outside:
        header["x5c"] = certificates
    if act.content_stamp is not None:
        header["adoTst"] = _container(act.content_stamp(payload.encode()))
    if act.policy is not None:
        name, digest = act.policy
        hashed = {"digAlg": "S256", "digVal": base64.b64encode(digest).decode()}
        header["sigPId"] = {"id": {"id": f"urn:oid:{name}"}, **hashed}
    protected = b64url(compact_json(header))
    value = act.spoil(act.holder.key.sign(f"{protected}.{payload}".encode()))
    signature = b64url(value if _is_rsa(act) else _raw(value))
    components = []
    if act.stamp is not None:
        components.append(b64url(compact_json({"sigTst": _container(act.stamp(signature.encode()))})))
    if act.archive_stamp is not None:
        covered = f"{payload}.{protected}.{signature}.{''.join(components)}".encode()
        components.append(b64url(compact_json({"arcTst": _container(act.archive_stamp(covered))})))
    if components:
        outside["etsiU"] = components
    members: dict[str, Any] = {"protected": protected, "signature": signature}
    if act.shipped is not None:
        members["payload"] = b64url(act.shipped)
    return members | ({"header": outside} if outside else {})


def _container(token: bytes) -> dict[str, Any]:
    return {"tstTokens": [{"val": base64.b64encode(token).decode()}]}


def _raw(value: bytes) -> bytes:
    """Turn an X.509 value into `r || s`; what is none stays as it is."""
    if value[:1] != b"\x30":
        return value
    r, s = (node.integer() for node in der.parse(value).sequence())
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _jws_compact(_zoo: Zoo, act: Act) -> Carried:
    members = _jws(act)
    if "header" in members:
        raise CannotCarry
    return Carried(data=".".join((members["protected"], members.get("payload", ""), members["signature"])).encode())


def _jws_json(_zoo: Zoo, act: Act) -> Carried:
    return Carried(data=compact_json(_jws(act)))


def carry(zoo: Zoo, act: Act, form: str) -> Carried:
    """Make the file of an act in a format; CannotCarry when the format has no place for it."""
    carried = CARRIERS[form](zoo, act)
    return replace(carried, data=act.torn(carried.data))


CARRIERS: Final[dict[str, Callable[[Zoo, Act], Carried]]] = {
    "JWS compact": _jws_compact,
    "JWS JSON": _jws_json,
    "CAdES": _cades,
    "CAdES detached": _cades_detached,
    "PAdES": _pades,
    "ASiC-S": _asic_s,
    "ASiC-E": _asic_e,
}
