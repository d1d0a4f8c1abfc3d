"""Verdicts of the shape `mohr verify --json` prints, one for each thing a page must be able to say."""

from typing import Any

SHA = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def reason(code: str, fa: str, en: str) -> dict[str, str]:
    return {"code": code, "text_fa": fa, "text_en": en}


STATUS_SILENT = reason(
    "status-silent",
    "وضعیت گواهی معلوم نشد؛ بعداً دوباره بررسی کنید.",
    "The certificate's status is not known now; try later.",
)
DIGEST = reason(
    "digest-mismatch",
    "محتوا با آنچه امضا شده یکی نیست؛ محتوا تغییر کرده است.",
    "The content is not what was signed; it was changed.",
)
REVOKED = reason("certificate-revoked", "گواهی امضاکننده باطل شده بود.", "The signer's certificate was revoked.")
NO_ISSUER = reason(
    "issuer-not-found",
    "زنجیرهٔ گواهی به هیچ ریشهٔ معتمدی نمی‌رسد.",
    "The certificate chain ends at no trusted anchor.",
)


def signature(**changes: Any) -> dict[str, Any]:
    return {
        "id": "s1",
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
            "serial": "4c1f0a77d2b94e10",
            "identity": {"council_number": "123456", "profession": "physician"},
        },
        "covered": [{"what": "payload", "sha256": SHA, "bytes": 9612}],
        "reasons": [],
    } | changes


def verdict(*signatures: dict[str, Any], **changes: Any) -> dict[str, Any]:
    worst = min(signatures, key=lambda one: ("invalid", "deferred", "valid").index(one["care"])) if signatures else None
    return {
        "file": "rx.json",
        "format": "JAdES",
        "indication": worst["indication"] if worst else "INDETERMINATE",
        "sub_indication": worst["sub_indication"] if worst else None,
        "signatures": list(signatures),
        "timestamps": [],
        "reasons": [],
    } | changes


DEFERRED = signature(
    indication="INDETERMINATE", sub_indication="TRY_LATER", care="deferred", assurance="A2", reasons=[STATUS_SILENT]
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
            indication="TOTAL-FAILED", sub_indication="REVOKED", care="invalid", assurance="A0", reasons=[REVOKED]
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
        ),
        format="CMS",
    ),
    "several": verdict(signature(), DEFERRED | {"id": "s2"}, signature(id="s3"), format="PAdES"),
    "unsigned": verdict(format="PAdES"),
    "unknown-format": verdict(format=None),
    "malformed": verdict(indication="TOTAL-FAILED", sub_indication="FORMAT_FAILURE"),
}
