"""What a trust bundle says, and its octets: one JAdES signature over one JSON object.

The JSON object: `format`, `name` (of the series), `sequence`, `issued`, `next_update`, `signers` (SHA-256 of the public
keys that may sign the next bundles), `anchors` (each `certificate`, `policies`, `purposes`), `intermediates`,
`clusters` (issuers by name: SHA-256 of certificates or public keys), `arc`, `crls`, `ocsp`. Certificates, lists and
answers are base64 of DER. Every member is there, and no other; `arc` may be null.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from pki.certificates import Certificate
from pki.errors import ErrorCode, InvalidInput, ServiceError
from pki.instants import format_instant, parse_instant
from pki.jose import compact_json, json_object
from signer.parsers.model import UNREADABLE
from signer.validation import ocsp
from signer.validation.anchors import AnchorLimits, BundleStamp, Clusters, Purpose
from signer.validation.answers import unreadable
from signer.validation.crl import parse_crl

FORMAT: Final = "mohr-trust/1"
MEDIA_TYPE: Final = "application/vnd.mohr.trust+json"
MAX_BUNDLE_OCTETS: Final = 32 * 1024 * 1024
MAX_ANCHORS: Final = 64
MAX_INTERMEDIATES: Final = 512
MAX_CLUSTERS: Final = 32
MAX_NAMED: Final = 256
MAX_EVIDENCE: Final = 128
MAX_SEQUENCE: Final = 2**53 - 1
MAX_LIFE: Final = timedelta(days=400)

_NAME: Final = re.compile("[a-z0-9][a-z0-9.-]{0,62}")
_SHA256: Final = re.compile("[0-9a-f]{64}")
_OID: Final = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]{0,38})){1,30}")
_MEMBERS: Final = frozenset(
    (
        "format",
        "name",
        "sequence",
        "issued",
        "next_update",
        "signers",
        "anchors",
        "intermediates",
        "clusters",
        "arc",
        "crls",
        "ocsp",
    )
)
_ANCHOR_MEMBERS: Final = frozenset(("certificate", "policies", "purposes"))

_UNLIMITED: Final = AnchorLimits()
_Read = TypeVar("_Read")


def refused(reason: str, detail: str) -> InvalidInput:
    """Make the error of a bundle that is not to be relied on; `reason` names the rule."""
    return InvalidInput(ErrorCode.TRUST_REFUSED, f"trust.{reason}: {detail}", reason=f"trust.{reason}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleAnchor:
    """One anchor, and how far it is trusted."""

    certificate: Certificate
    limits: AnchorLimits = _UNLIMITED


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustBundle:
    """What a bundle says. `signers` are SHA-256 of public keys, in hexadecimal; none: the key that signed this one."""

    name: str
    sequence: int
    issued: datetime
    next_update: datetime
    anchors: tuple[BundleAnchor, ...]
    signers: frozenset[str] = frozenset()
    intermediates: tuple[Certificate, ...] = ()
    clusters: Clusters = field(default_factory=dict)
    arc: str | None = None
    crls: tuple[bytes, ...] = field(default=(), repr=False)
    ocsp_responses: tuple[bytes, ...] = field(default=(), repr=False)

    def payload(self) -> bytes:
        """Write what is signed. The same bundle gives the same octets."""
        return compact_json(
            {
                "format": FORMAT,
                "name": self.name,
                "sequence": self.sequence,
                "issued": format_instant(self.issued),
                "next_update": format_instant(self.next_update),
                "signers": sorted(self.signers),
                "anchors": [
                    {
                        "certificate": _b64(anchor.certificate.der),
                        "policies": sorted(anchor.limits.policies),
                        "purposes": sorted(anchor.limits.purposes),
                    }
                    for anchor in self.anchors
                ],
                "intermediates": [_b64(certificate.der) for certificate in self.intermediates],
                "clusters": {name: sorted(self.clusters[name]) for name in sorted(self.clusters)},
                "arc": self.arc,
                "crls": [_b64(data) for data in self.crls],
                "ocsp": [_b64(data) for data in self.ocsp_responses],
            }
        )

    def stamp(self) -> BundleStamp:
        """Return what verdicts say of the bundle."""
        return BundleStamp(
            name=self.name,
            sequence=self.sequence,
            issued=self.issued,
            next_update=self.next_update,
            sha256=hashlib.sha256(self.payload()).hexdigest(),
        )


def parse_payload(data: bytes) -> TrustBundle:
    """Read what was signed; InvalidInput (`trust-refused`) for anything that is not exactly of the form."""
    try:
        bundle = _read(json_object(data))
    except UNREADABLE as error:
        if isinstance(error, ServiceError) and error.code is ErrorCode.TRUST_REFUSED:
            raise
        raise refused("form", unreadable(error)) from error
    if bundle.payload() != data:
        raise refused("form", "it is not written as bundles are")
    return bundle


def _read(members: dict[str, Any]) -> TrustBundle:
    if members.get("format") != FORMAT:
        raise refused("format", f"its format is not {FORMAT}")
    if members.keys() != _MEMBERS:
        odd = min(members.keys() ^ _MEMBERS)
        raise refused("form", f"the member {odd[:40]!r} is missing, or is none of a bundle's")
    issued, next_update = _instant(members["issued"]), _instant(members["next_update"])
    if not timedelta() < next_update - issued <= MAX_LIFE:
        raise refused("limits", f"it lives for more than {MAX_LIFE.days} days, or not at all")
    sequence = members["sequence"]
    if type(sequence) is not int or not 1 <= sequence <= MAX_SEQUENCE:
        raise refused("limits", f"its sequence is no number from 1 to {MAX_SEQUENCE}")
    anchors = _each(members["anchors"], "anchors", MAX_ANCHORS, _anchor)
    if not anchors or len({anchor.certificate for anchor in anchors}) != len(anchors):
        raise refused("form", "it has no anchor, or one twice")
    clusters = members["clusters"]
    if not isinstance(clusters, dict) or len(clusters) > MAX_CLUSTERS:
        raise refused("limits", f"clusters is no object of at most {MAX_CLUSTERS}")
    return TrustBundle(
        name=_text(members["name"], _NAME, "name"),
        sequence=sequence,
        issued=issued,
        next_update=next_update,
        signers=_texts(members["signers"], _SHA256, "signers"),
        anchors=anchors,
        intermediates=_each(members["intermediates"], "intermediates", MAX_INTERMEDIATES, _certificate),
        clusters={_text(name, _NAME, "a cluster"): _texts(keys, _SHA256, name) for name, keys in clusters.items()},
        arc=None if members["arc"] is None else _text(members["arc"], _OID, "arc"),
        crls=_each(members["crls"], "crls", MAX_EVIDENCE, _list),
        ocsp_responses=_each(members["ocsp"], "ocsp", MAX_EVIDENCE, _response),
    )


def _anchor(value: Any) -> BundleAnchor:
    if not isinstance(value, dict) or value.keys() != _ANCHOR_MEMBERS:
        raise refused("form", "an anchor is not of its form")
    try:
        purposes = frozenset(map(Purpose, _each(value["purposes"], "purposes", len(Purpose), str)))
    except ValueError as error:
        raise refused("form", "an anchor is for an unknown purpose") from error
    if not purposes:
        raise refused("form", "an anchor is for nothing")
    limits = AnchorLimits(policies=_texts(value["policies"], _OID, "policies"), purposes=purposes)
    return BundleAnchor(certificate=_certificate(value["certificate"]), limits=limits)


def _certificate(value: Any) -> Certificate:
    return Certificate.parse(_octets(value))


def _list(value: Any) -> bytes:
    data = _octets(value)
    parse_crl(data)
    return data


def _response(value: Any) -> bytes:
    data = _octets(value)
    ocsp.parse_response(data)
    return data


def _each(value: Any, name: str, limit: int, read: Callable[[Any], _Read]) -> tuple[_Read, ...]:
    if not isinstance(value, list) or len(value) > limit:
        raise refused("limits", f"{name} is not an array of at most {limit}")
    return tuple(map(read, value))


def _texts(value: Any, form: re.Pattern[str], name: str) -> frozenset[str]:
    return frozenset(_each(value, name[:40], MAX_NAMED, lambda item: _text(item, form, name)))


def _text(value: Any, form: re.Pattern[str], name: str) -> str:
    if not isinstance(value, str) or not form.fullmatch(value):
        raise refused("form", f"{name[:40]} is not of its form")
    return value


def _instant(value: Any) -> datetime:
    if not isinstance(value, str):
        raise refused("form", "an instant is no text")
    return parse_instant(value)


def _octets(value: Any) -> bytes:
    if not isinstance(value, str):
        raise refused("form", "base64 is no text")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise refused("form", "not base64") from error


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def key_digests(certificates: Sequence[Certificate]) -> frozenset[str]:
    """Return how bundles name public keys."""
    return frozenset(certificate.spki_sha256.hex() for certificate in certificates)
