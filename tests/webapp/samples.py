"""Verdicts of the shape `mohr verify --json` prints, one for each thing a page must be able to say."""

from typing import Any

SERIAL = "4c1f0a77d2b94e10"
SHA = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def reason(code: str, sub: str, fa: str, en: str) -> dict[str, Any]:
    indication = "TOTAL-FAILED" if sub in ("HASH_FAILURE", "REVOKED") else "INDETERMINATE"
    found = {"code": code, "text_fa": fa, "text_en": en, "indication": indication, "sub_indication": sub}
    return found | {"detail": "technical-detail", "object": None}


STATUS_SILENT = reason(
    "status-silent",
    "TRY_LATER",
    "وضعیت گواهی معلوم نشد؛ بعداً دوباره بررسی کنید.",
    "The certificate's status is not known now; try later.",
)
DIGEST = reason(
    "digest-mismatch",
    "HASH_FAILURE",
    "محتوا با آنچه امضا شده یکی نیست؛ محتوا تغییر کرده است.",
    "The content is not what was signed; it was changed.",
)
REVOKED = reason(
    "certificate-revoked", "REVOKED", "گواهی امضاکننده باطل شده بود.", "The signer's certificate was revoked."
)
NO_ISSUER = reason(
    "issuer-not-found",
    "NO_CERTIFICATE_CHAIN_FOUND",
    "زنجیرهٔ گواهی به هیچ ریشهٔ معتمدی نمی‌رسد.",
    "The certificate chain ends at no trusted anchor.",
)


def status(serial: str, answer: str = "good", **changes: Any) -> dict[str, Any]:
    found = {"serial": serial, "status": answer, "source": "local CRL persons/0.crl", "as_of": "2026-11-22T08:31:00Z"}
    return found | {"next_update": "2026-11-23T08:31:00Z", "revoked_at": None, "reason": None} | changes


def stamp(**changes: Any) -> dict[str, Any]:
    return {
        "id": "t1",
        "kind": "signature",
        "time": "2026-11-22T09:00:00Z",
        "indication": "TOTAL-PASSED",
        "sub_indication": None,
        "crypto": "intact",
        "authority": "C=IR, O=Mohr pilot, CN=Mohr Time-stamping",
        "serial": "9f21",
        "policy": "1.3.6.1.4.1.32473.364.4.1",
        "covers": ["s1"],
        "status": [],
        "reasons": [],
    } | changes


def signature(**changes: Any) -> dict[str, Any]:
    return {
        "id": "s1",
        "format": "JAdES",
        "level": "B-T",
        "indication": "TOTAL-PASSED",
        "sub_indication": None,
        "care": "valid",
        "assurance": "A3",
        "crypto": "intact",
        "best_signature_time": "2026-11-22T09:00:00Z",
        "time_proof": "timestamp",
        "signer": {
            "subject": "C=IR, GN=مریم, SN=کریمی, CN=مریم کریمی, serialNumber=PNOIR-0000012343",
            "issuer": "C=IR, O=Mohr pilot, CN=Mohr Persons CA",
            "serial": SERIAL,
            "not_before": "2026-11-01T00:00:00Z",
            "not_after": "2028-11-01T00:00:00Z",
            "identity": {"council_number": "123456", "profession": "physician"},
        },
        "algorithm": "ES256",
        "claimed_signing_time": "2026-11-22T08:59:58Z",
        "chain": [
            {"subject": "C=IR, GN=مریم, SN=کریمی, CN=مریم کریمی", "serial": SERIAL, "sha256": SHA},
            {"subject": "C=IR, O=Mohr pilot, CN=Mohr Persons CA", "serial": "0b", "sha256": SHA},
            {"subject": "C=IR, O=Mohr pilot, CN=Mohr Pilot Root", "serial": "01", "sha256": SHA},
        ],
        "covered": [{"what": "payload", "sha256": SHA, "bytes": 9612}],
        "timestamps": [stamp()],
        "status": [status(SERIAL), status("0b")],
        "reasons": [],
    } | changes


def verdict(*signatures: dict[str, Any], **changes: Any) -> dict[str, Any]:
    worst = min(signatures, key=lambda one: ("invalid", "deferred", "valid").index(one["care"])) if signatures else None
    return {
        "file": "rx.json",
        "format": "JAdES",
        "indication": worst["indication"] if worst else "INDETERMINATE",
        "sub_indication": worst["sub_indication"] if worst else None,
        "validated_at": "2026-11-22T09:05:00Z",
        "policy": "default",
        "offline": True,
        "signatures": list(signatures),
        "timestamps": [],
        "reasons": [],
    } | changes


DEFERRED = signature(
    indication="INDETERMINATE",
    sub_indication="TRY_LATER",
    care="deferred",
    assurance="A2",
    reasons=[STATUS_SILENT],
    status=[status(SERIAL, "silent", source="no source was asked", as_of=None, next_update=None), status("0b")],
)
BROKEN = signature(
    indication="TOTAL-FAILED",
    sub_indication="HASH_FAILURE",
    care="invalid",
    assurance="A0",
    crypto="broken",
    reasons=[DIGEST],
)
SAMPLES: dict[str, dict[str, Any]] = {
    "valid": verdict(signature()),
    "deferred": verdict(DEFERRED),
    "broken": verdict(BROKEN),
    "revoked": verdict(
        signature(
            indication="TOTAL-FAILED",
            sub_indication="REVOKED",
            care="invalid",
            assurance="A0",
            reasons=[REVOKED],
            status=[status(SERIAL, "revoked", revoked_at="2026-11-21T10:00:00Z", reason="keyCompromise")],
        )
    ),
    "refused": verdict(
        signature(
            indication="INDETERMINATE",
            sub_indication="NO_CERTIFICATE_CHAIN_FOUND",
            care="invalid",
            assurance="A0",
            level="B",
            time_proof="claimed",
            reasons=[NO_ISSUER],
            chain=[],
            status=[],
            timestamps=[],
        ),
        format="CMS",
    ),
    "several": verdict(signature(), DEFERRED | {"id": "s2"}, signature(id="s3"), format="PAdES"),
    "unsigned": verdict(format="PAdES"),
    "unknown-format": verdict(format=None),
    "malformed": verdict(indication="TOTAL-FAILED", sub_indication="FORMAT_FAILURE"),
    "stamp": verdict(format="RFC 3161", indication="TOTAL-PASSED", timestamps=[stamp(kind="token", covers=[])]),
}
