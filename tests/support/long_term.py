"""Signatures raised to LT and LTA by hand, in each format, as ETSI EN 319 122-1, TS 119 182-1 and EN 319 142-1 say.

PDF goes through pyHanko; CMS and JSON are built here, so that one thing can be missing or late.
"""

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BytesIO
from typing import Any, Protocol

from asn1crypto import cms as asn1_cms
from asn1crypto import crl as asn1_crl
from asn1crypto import ocsp as asn1_ocsp
from asn1crypto import x509 as asn1_x509
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.signers.pdf_signer import PdfTimeStamper
from pyhanko.sign.timestamps import TimeStamper
from pyhanko.sign.validation.dss import DocumentSecurityStore

from pki import der, oids
from pki.certificates import Certificate
from pki.jose import b64url, canonical_json, compact_json, json_object
from signer.formats import cades as cades_format
from signer.formats import jades as jades_format
from signer.formats.cades import sign_cades
from signer.formats.jades import sign_jades
from signer.formats.pades import sign_pades
from signer.samples import sample_pdf
from signer.timestamps.authority import TimestampAuthority
from signer.timestamps.client import LocalTimeStamper
from tests.support.clock import FakeClock
from tests.support.forge import attribute, forge_token
from tests.support.pki import ARC, Holder, Issuer

CERTIFICATE_VALUES = "1.2.840.113549.1.9.16.2.23"
REVOCATION_VALUES = "1.2.840.113549.1.9.16.2.24"
ARCHIVE_V2 = "1.2.840.113549.1.9.16.2.48"
CADES_C_TIMESTAMP = "1.2.840.113549.1.9.16.2.25"
REFERENCES_TIMESTAMP = "1.2.840.113549.1.9.16.2.26"
REFERENCES = ("1.2.840.113549.1.9.16.2.21", "1.2.840.113549.1.9.16.2.22")
HASH_INDEX_V3 = "0.4.0.19122.1.5"
CONTENT = b'{"resourceType":"Bundle"}'

_SHA256 = der.sequence(der.oid(oids.SHA256))


@dataclass(frozen=True, kw_only=True)
class Values:
    """Validation data to put into a file."""

    certificates: Sequence[Certificate] = ()
    crls: Sequence[bytes] = ()
    responses: Sequence[bytes] = ()


def authority(issuer: Issuer, until: datetime) -> Holder:
    """Issue a time-stamping certificate that lasts until an instant."""
    return issuer.issue(
        "Archive TSA",
        usage=("digital_signature",),
        extended=(oids.EKU_TIME_STAMPING,),
        extended_critical=True,
        not_after=until,
    )


class LongTerm(Protocol):
    """How one format is raised."""

    def signed(self, by: Holder, at: datetime, stamper: LocalTimeStamper | None) -> bytes:
        """Sign, with a signature time-stamp where there is a stamper."""
        ...

    def with_values(self, data: bytes, values: Values) -> bytes:
        """Add certificates and status."""
        ...

    def archived(self, data: bytes, tsa: Holder, at: datetime) -> bytes:
        """Add an archive time-stamp over everything that is there."""
        ...


# -- CAdES ------------------------------------------------------------------------------------------


def rebuilt(cms: bytes, change: Callable[[list[bytes], list[bytes]], None]) -> bytes:
    """Write a CMS of one signer again after `change` of the SignedData's fields and the unsigned attributes."""
    kind, wrapped = der.parse(cms).sequence()
    *fields, infos = wrapped.inner().sequence()
    signer = infos.children()[0].sequence()
    unsigned = [node.raw for node in signer[-1].children()] if signer[-1].tag == 0xA1 else []
    kept = [node.raw for node in signer if node.tag != 0xA1]
    outer = [node.raw for node in fields]
    change(outer, unsigned)
    info = der.sequence(*kept, der.tlv(0xA1, *unsigned))
    return der.sequence(kind.raw, der.context(0, der.sequence(*outer, der.tlv(der.SET, info))))


def revocation_values(values: Values) -> bytes:
    """Encode RevocationValues (RFC 5126 §6.3.4) with basic OCSP responses."""
    basic = [der.parse(one).sequence()[1].inner().sequence()[1].octets() for one in values.responses]
    return der.sequence(
        der.context(0, der.sequence(*values.crls)) if values.crls else b"",
        der.context(1, der.sequence(*basic)) if basic else b"",
    )


def hash_index(cms: bytes) -> bytes:
    """Encode an ATSHashIndexV3 over everything that a CMS holds (EN 319 122-1 §5.5.2)."""

    def hashes(parts: Sequence[bytes]) -> bytes:
        return der.sequence(*(der.octet_string(hashlib.sha256(part).digest()) for part in parts))

    *fields, infos = der.parse(cms).sequence()[1].inner().sequence()
    sets = {node.tag: [child.raw for child in node.children()] for node in fields if node.tag in (0xA0, 0xA1)}
    last = infos.children()[0].sequence()[-1]
    unsigned = [node.children() for node in last.children()] if last.tag == 0xA1 else []
    spelled = [kind.raw + value.raw for kind, values in unsigned for value in values.children()]
    return der.sequence(_SHA256, hashes(sets.get(0xA0, [])), hashes(sets.get(0xA1, [])), hashes(spelled))


class Cades:
    """CAdES with its values as attributes and archive-time-stamp-v3."""

    def signed(self, by: Holder, at: datetime, stamper: LocalTimeStamper | None) -> bytes:
        plain = sign_cades(CONTENT, by.key, by.chain, signed_at=at, detached=False)
        return plain if stamper is None else cades_format.add_signature_timestamp(plain, stamper)

    def with_values(self, data: bytes, values: Values) -> bytes:
        def change(_fields: list[bytes], unsigned: list[bytes]) -> None:
            if values.certificates:
                unsigned.append(attribute(CERTIFICATE_VALUES, der.sequence(*(one.der for one in values.certificates))))
            unsigned.append(attribute(REVOCATION_VALUES, revocation_values(values)))

        return rebuilt(data, change)

    def archived(self, data: bytes, tsa: Holder, at: datetime) -> bytes:
        index = hash_index(data)
        signer = der.parse(data).sequence()[1].inner().sequence()[-1].children()[0]
        fields = b"".join(node.raw for node in signer.sequence() if node.tag != 0xA1)
        stamped = der.oid(oids.CMS_DATA) + hashlib.sha256(CONTENT).digest() + fields + index
        token = forge_token(hashlib.sha256(stamped).digest(), tsa, at, unsigned=(attribute(HASH_INDEX_V3, index),))
        return self.with_attribute(data, attribute(oids.ATTR_ARCHIVE_TIMESTAMP_V3, token))

    def with_attribute(self, data: bytes, value: bytes) -> bytes:
        """Add an unsigned attribute."""
        return rebuilt(data, lambda _fields, unsigned: unsigned.append(value))


class CadesLists(Cades):
    """CAdES whose values are members of the SignedData itself, OCSP in RFC 5940's form."""

    def with_values(self, data: bytes, values: Values) -> bytes:
        def change(fields: list[bytes], _unsigned: list[bytes]) -> None:
            held = [node.raw for node in der.parse(fields[3]).children()]
            fields[3] = der.tlv(0xA0, *held, *(one.der for one in values.certificates if one.der not in held))
            others = [der.tlv(0xA1, der.oid("1.3.6.1.5.5.7.16.2"), one) for one in values.responses]
            fields.insert(4, der.tlv(0xA1, *values.crls, *others))

        return rebuilt(data, change)


class CadesSecond(Cades):
    """CAdES with archive-time-stamp-v2 (TS 101 733 §6.4.1)."""

    def archived(self, data: bytes, tsa: Holder, at: datetime) -> bytes:
        _version, _digests, *fields, infos = der.parse(data).sequence()[1].inner().sequence()
        stamped = b"".join(node.raw for node in (*fields, *infos.children()[0].sequence()))
        token = forge_token(hashlib.sha256(stamped).digest(), tsa, at)
        return self.with_attribute(data, attribute(ARCHIVE_V2, token))


# -- JAdES ------------------------------------------------------------------------------------------


def _b64(data: bytes) -> dict[str, str]:
    return {"val": base64.b64encode(data).decode()}


class Jades:
    """JAdES with base64url components, or with clear ones over RFC 8785."""

    def __init__(self, *, clear: bool = False) -> None:
        self.clear = clear

    def signed(self, by: Holder, at: datetime, stamper: LocalTimeStamper | None) -> bytes:
        plain = sign_jades(CONTENT, by.key, by.chain, signed_at=at)
        if stamper is None:
            return plain
        token = stamper.stamp(hashlib.sha256(json_object(plain)["signature"].encode()).digest())
        if not self.clear:
            return jades_format.add_signature_timestamp(plain, stamper)
        return self.with_component(plain, {"sigTst": {"tstTokens": [_b64(token)]}})

    def with_component(self, data: bytes, component: dict[str, Any]) -> bytes:
        """Add a component to etsiU."""
        document = json_object(data)
        header = document.setdefault("header", {})
        header.setdefault("etsiU", []).append(component if self.clear else b64url(compact_json(component)))
        return compact_json(document)

    def with_values(self, data: bytes, values: Values) -> bytes:
        if values.certificates:
            data = self.with_component(data, {"xVals": [{"x509Cert": _b64(one.der)} for one in values.certificates]})
        revocation = {
            "crlVals": [_b64(one) for one in values.crls],
            "ocspVals": [_b64(one) for one in values.responses],
        }
        return self.with_component(data, {"rVals": {name: held for name, held in revocation.items() if held}})

    def archived(self, data: bytes, tsa: Holder, at: datetime) -> bytes:
        document = json_object(data)
        members = document.get("header", {}).get("etsiU", [])
        before = b"".join(canonical_json(one) if self.clear else one.encode() for one in members)
        parts = (document[name].encode() for name in ("payload", "protected", "signature"))
        token = forge_token(hashlib.sha256(b".".join((*parts, before))).digest(), tsa, at)
        container: dict[str, Any] = {"tstTokens": [_b64(token)]}
        if self.clear:
            container["canonAlg"] = "https://www.rfc-editor.org/rfc/rfc8785"
        return self.with_component(data, {"arcTst": container})


# -- PAdES ------------------------------------------------------------------------------------------


class _Stamper(TimeStamper):
    """A pyHanko time-stamper whose clock stands still."""

    def __init__(self, tsa: Holder, at: datetime) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped upstream
        clock = FakeClock(at)
        authority = TimestampAuthority(tsa.key, tsa.chain, ARC.timestamp_policy, timedelta(seconds=1), clock)
        self._local = LocalTimeStamper(authority)

    async def async_timestamp(self, message_digest: bytes, _md_algorithm: str) -> Any:
        return asn1_cms.ContentInfo.load(self._local.stamp(message_digest))


class Pades:
    """PAdES with a document security store and document time-stamps, written by pyHanko.

    `only_vri`: the store's own arrays are called what no reader knows, so that its VRI dictionary alone holds them.
    """

    def __init__(self, *, only_vri: bool = False) -> None:
        self.only_vri = only_vri

    def signed(self, by: Holder, at: datetime, stamper: LocalTimeStamper | None) -> bytes:
        return sign_pades(sample_pdf(), by.key, by.chain, signed_at=at, stamper=stamper)

    def with_values(self, data: bytes, values: Values) -> bytes:
        stream = BytesIO(data)
        contents = PdfFileReader(stream).embedded_regular_signatures[0].pkcs7_content.hex().encode()
        DocumentSecurityStore.add_dss(
            stream,
            contents if self.only_vri else None,
            certs=[asn1_x509.Certificate.load(one.der) for one in values.certificates],
            crls=[asn1_crl.CertificateList.load(one) for one in values.crls],
            ocsps=[asn1_ocsp.OCSPResponse.load(one) for one in values.responses],
            force_write=True,
        )
        if not self.only_vri:
            return stream.getvalue()
        return stream.getvalue().replace(b"/Certs", b"/CertX").replace(b"/CRLs", b"/CRLX")

    def archived(self, data: bytes, tsa: Holder, at: datetime) -> bytes:
        writer = IncrementalPdfFileWriter(BytesIO(data))
        output = PdfTimeStamper(_Stamper(tsa, at)).timestamp_pdf(writer, "sha256", bytes_reserved=8192)
        return bytes(output.getvalue())
