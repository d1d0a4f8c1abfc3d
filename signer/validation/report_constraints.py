"""What is asked of a signature, as data: the constraints of each building block.

Every `Reason` has one home here, so nothing that the engine finds is missing from the tree of checks.
"""

from typing import Final

from pki.messages import Message
from signer.parsers.model import Format
from signer.validation.reasons import Reason
from signer.validation.report_blocks import Block, Constraint, Level, fail_if, told

_NAMED: Final = (
    Constraint(
        name="format-known",
        block=Block.FORMAT,
        asks=Message("قالب فایل شناخته‌شده و پشتیبانی‌شده است.", "The format is known and supported."),
        reasons=(Reason.FORMAT_UNKNOWN, Reason.FORMAT_NOT_SUPPORTED),
    ),
    Constraint(
        name="within-limits",
        block=Block.FORMAT,
        asks=Message("اندازه، زمان و حافظه در حد مجاز است.", "Size, time and memory stay within their limits."),
        reasons=(Reason.INPUT_TOO_LARGE, Reason.VERIFICATION_ABORTED),
    ),
    Constraint(
        name="well-formed",
        block=Block.FORMAT,
        asks=Message("ساختار امضا درست است.", "The structure is well formed."),
        reasons=(
            Reason.FORMAT_MALFORMED,
            Reason.HEADER_REFUSED,
            Reason.BYTE_RANGE_REFUSED,
            Reason.TIMESTAMP_MALFORMED,
        ),
        stamps=True,
    ),
    Constraint(
        name="something-signed",
        block=Block.FORMAT,
        asks=Message("فایل امضایی دارد.", "The file carries a signature."),
        reasons=(Reason.NOTHING_SIGNED,),
    ),
    Constraint(
        name="attributes-sound",
        block=Block.FORMAT,
        asks=Message(
            "ویژگی‌های امضا هر یک یک بار و در جای خود آمده‌اند.",
            "Each attribute is there once, in its place, and agrees with the others.",
        ),
        reasons=(
            Reason.ATTRIBUTE_DUPLICATED,
            Reason.ATTRIBUTE_MISSING,
            Reason.ATTRIBUTE_MISPLACED,
            Reason.CONTENT_TYPE_MISMATCH,
            Reason.ALGORITHM_PROTECTION_MISMATCH,
        ),
    ),
    Constraint(
        name="document-unchanged",
        block=Block.FORMAT,
        asks=Message(
            "سند پس از امضا تنها به شیوهٔ مجاز ادامه یافته است.",
            "After signing, the document was continued only in permitted ways.",
        ),
        reasons=(Reason.DOCUMENT_CHANGED, Reason.DOCUMENT_EXTENDED, Reason.DOCUMENT_REVISION),
        formats=frozenset((Format.PADES,)),
    ),
    Constraint(
        name="container-covered",
        block=Block.FORMAT,
        asks=Message("همهٔ فایل‌های بسته امضا شده‌اند.", "Every file in the container is signed."),
        reasons=(Reason.FILE_NOT_SIGNED,),
        level=told,
        formats=frozenset((Format.ASIC,)),
    ),
    Constraint(
        name="encoding-canonical",
        block=Block.FORMAT,
        asks=Message("کدگذاری همان است که استاندارد می‌خواهد.", "The encoding is the one that the standard asks for."),
        reasons=(
            Reason.BER_ENCODING,
            Reason.SET_UNSORTED,
            Reason.PEM_WRAPPED,
            Reason.TRAILING_NEWLINE,
            Reason.CBOR_NOT_DETERMINISTIC,
        ),
        level=told,
    ),
    Constraint(
        name="embedded-certificates-readable",
        block=Block.FORMAT,
        asks=Message("همهٔ گواهی‌های همراه خواندنی‌اند.", "Every embedded certificate can be read."),
        reasons=(Reason.CERTIFICATE_UNREADABLE,),
        level=told,
    ),
    Constraint(
        name="signing-certificate-found",
        block=Block.IDENTIFICATION,
        asks=Message("گواهی امضاکننده یافت می‌شود.", "The signing certificate is found."),
        reasons=(Reason.SIGNING_CERTIFICATE_NOT_FOUND,),
        stamps=True,
    ),
    Constraint(
        name="signing-certificate-bound",
        block=Block.IDENTIFICATION,
        asks=Message("امضا به گواهی امضاکننده بسته شده است.", "The signature is bound to a certificate by its digest."),
        reasons=(Reason.SIGNING_CERTIFICATE_REFERENCE_MISSING,),
        stamps=True,
    ),
    Constraint(
        name="signing-certificate-agrees",
        block=Block.IDENTIFICATION,
        asks=Message(
            "گواهی یافته همان است که امضا به آن بسته شده.", "The certificate found is the one it is bound to."
        ),
        reasons=(Reason.SIGNING_CERTIFICATE_REFERENCE_MISMATCH,),
        stamps=True,
    ),
    Constraint(
        name="policy-known",
        block=Block.CONTEXT,
        asks=Message("سیاست اعتبارسنجی معین است.", "The validation policy is settled."),
    ),
    Constraint(
        name="anchors-given",
        block=Block.CONTEXT,
        asks=Message("دست‌کم یک ریشهٔ اعتماد داده شده است.", "At least one trust anchor is given."),
        reasons=(Reason.NO_ANCHOR_GIVEN,),
        stamps=True,
    ),
    Constraint(
        name="signature-policy",
        block=Block.CONTEXT,
        asks=Message(
            "سیاستی که امضا به آن اشاره می‌کند شناخته و همان است.",
            "The signature policy that the signature names, if any, is known and the one meant.",
        ),
        reasons=(Reason.SIGNATURE_POLICY_UNKNOWN, Reason.SIGNATURE_POLICY_MISMATCH, Reason.SIGNATURE_POLICY_IMPLIED),
    ),
    Constraint(
        name="path-found",
        block=Block.X509,
        asks=Message("زنجیرهٔ گواهی به ریشه‌ای معتمد می‌رسد.", "A path leads to a trusted anchor."),
        reasons=(Reason.ISSUER_NOT_FOUND,),
        stamps=True,
    ),
    Constraint(
        name="path-rules",
        block=Block.X509,
        asks=Message("زنجیره قواعد RFC 5280 را نگه می‌دارد.", "The path keeps the rules of RFC 5280 §6.1."),
        reasons=(Reason.PATH_RULE_BROKEN,),
        stamps=True,
    ),
    Constraint(
        name="purpose",
        block=Block.X509,
        asks=Message("گواهی برای همین کاربرد صادر شده است.", "The certificate was issued for this purpose."),
        reasons=(Reason.NOT_FOR_SIGNING, Reason.NOT_FOR_TIMESTAMPING),
        stamps=True,
    ),
    Constraint(
        name="certificate-policies",
        block=Block.X509,
        asks=Message("گواهی سیاست‌های خواسته‌شده را دارد.", "The certificate asserts the policies that are required."),
        reasons=(Reason.POLICY_NOT_ASSERTED,),
        level=fail_if(lambda policy: policy.required_policies),
    ),
    Constraint(
        name="path-admitted",
        block=Block.X509,
        asks=Message("زنجیره از مرکز صدوری پذیرفته می‌گذرد.", "The path runs through an admitted authority."),
        reasons=(Reason.ANCHOR_NOT_ADMITTED,),
        level=fail_if(lambda policy: policy.path_through or policy.cluster),
    ),
    Constraint(
        name="trust-current",
        block=Block.X509,
        asks=Message("بستهٔ اعتماد، اگر باشد، تازه است.", "The trust bundle behind the anchor, if any, is current."),
        reasons=(Reason.TRUST_OUTDATED,),
        level=fail_if(lambda policy: policy.require_current_trust or policy.max_trust_age, Level.INFORM),
        stamps=True,
    ),
    Constraint(
        name="certificate-in-force",
        block=Block.X509,
        asks=Message("گواهی در زمان ملاک در مدت اعتبار بود.", "The certificate was within its validity period."),
        reasons=(Reason.CERTIFICATE_EXPIRED, Reason.CERTIFICATE_NOT_YET_VALID),
        per_certificate=True,
        stamps=True,
    ),
    Constraint(
        name="certificate-algorithms",
        block=Block.X509,
        asks=Message(
            "کلید و امضای گواهی در زمان ملاک مطمئن بود.", "The certificate's key and signature were reliable."
        ),
        reasons=(Reason.ALGORITHM_WEAK,),
        per_certificate=True,
        stamps=True,
    ),
    Constraint(
        name="certificate-status-known",
        block=Block.X509,
        asks=Message("وضعیت ابطال گواهی معلوم است.", "The certificate's revocation status is known."),
        reasons=(
            Reason.STATUS_SIGNER_EXPIRED,
            Reason.STATUS_SILENT,
        ),
        per_certificate=True,
        stamps=True,
    ),
    Constraint(
        name="certificate-not-revoked",
        block=Block.X509,
        asks=Message("گواهی در زمان ملاک باطل یا معلق نبود.", "The certificate was neither revoked nor suspended."),
        reasons=(
            Reason.CERTIFICATE_REVOKED,
            Reason.CERTIFICATE_REVOKED_LATER,
            Reason.CERTIFICATE_ON_HOLD,
            Reason.CA_REVOKED,
            Reason.INVALIDITY_DATE_USED,
        ),
        per_certificate=True,
        stamps=True,
    ),
    Constraint(
        name="status-fresh",
        block=Block.FRESHNESS,
        asks=Message("وضعیت گواهی به‌اندازهٔ کافی تازه است.", "The status is fresh enough."),
        reasons=(Reason.STATUS_STALE,),
        per_certificate=True,
        stamps=True,
    ),
    Constraint(
        name="status-after-signature",
        block=Block.FRESHNESS,
        asks=Message("وضعیت پس از زمان اثبات‌شده گرفته شده است.", "The status was produced after the proven time."),
        reasons=(Reason.STATUS_BEFORE_SIGNATURE,),
        level=fail_if(lambda policy: policy.status_after_signature, Level.INFORM),
    ),
    Constraint(
        name="content-present",
        block=Block.CRYPTO,
        asks=Message("محتوای امضاشده در دست است.", "The signed content is at hand."),
        reasons=(Reason.CONTENT_ABSENT,),
        stamps=True,
    ),
    Constraint(
        name="content-intact",
        block=Block.CRYPTO,
        asks=Message("محتوا همان است که امضا شده است.", "The content is what was signed."),
        reasons=(Reason.DIGEST_MISMATCH, Reason.CONTENT_DIFFERS),
    ),
    Constraint(
        name="imprint-intact",
        block=Block.CRYPTO,
        asks=Message("مهر زمانی برای همین داده است.", "The time-stamp was made over these data."),
        reasons=(Reason.TIMESTAMP_IMPRINT_MISMATCH, Reason.TIMESTAMP_NOT_EVALUATED),
        signatures=False,
        stamps=True,
    ),
    Constraint(
        name="algorithm-supported",
        block=Block.CRYPTO,
        asks=Message("الگوریتم امضا پشتیبانی می‌شود.", "The algorithm is supported."),
        reasons=(Reason.ALGORITHM_UNSUPPORTED,),
        stamps=True,
    ),
    Constraint(
        name="signature-value",
        block=Block.CRYPTO,
        asks=Message("مقدار امضا با کلید گواهی می‌خواند.", "The signature value holds under the certificate's key."),
        reasons=(Reason.SIGNATURE_VALUE_INVALID,),
        stamps=True,
    ),
    Constraint(
        name="signature-algorithms",
        block=Block.ACCEPTANCE,
        asks=Message("درهم‌سازی و امضا در زمان ملاک مطمئن بود.", "The hashes of the signature were reliable."),
        reasons=(Reason.ALGORITHM_WEAK,),
        stamps=True,
    ),
    Constraint(
        name="profession-admitted",
        block=Block.ACCEPTANCE,
        asks=Message("حرفهٔ امضاکننده پذیرفته است.", "The signer's profession is admitted."),
        reasons=(Reason.PROFESSION_NOT_ADMITTED,),
        level=fail_if(lambda policy: policy.require_admission or policy.professions or policy.professions_for),
    ),
    Constraint(
        name="document-agrees",
        block=Block.ACCEPTANCE,
        asks=Message("کد از آنِ همین سند است.", "The code belongs to the document given."),
        reasons=(Reason.DOCUMENT_DIFFERS,),
        formats=frozenset((Format.COSE,)),
    ),
    Constraint(
        name="content-usable",
        block=Block.ACCEPTANCE,
        asks=Message("محتوا در مهلت استفادهٔ خود است.", "The content is within its own dates."),
        reasons=(Reason.CONTENT_EXPIRED, Reason.CONTENT_NOT_YET),
        level=told,
        formats=frozenset((Format.COSE,)),
    ),
    Constraint(
        name="counter-signatures",
        block=Block.ACCEPTANCE,
        asks=Message("امضاهای متقابل، اگر باشند، معتبرند.", "Counter-signatures, if any, are valid."),
        reasons=(Reason.COUNTERSIGNATURE_IGNORED, Reason.COUNTERSIGNATURE_NOT_EVALUATED),
        level=told,
    ),
    Constraint(
        name="claimed-time-readable",
        block=Block.TIME,
        asks=Message("زمان ادعایی خوانا و یگانه است.", "The claimed time is readable and one."),
        reasons=(Reason.CLAIMED_TIME_UNREADABLE, Reason.TWO_CLAIMED_TIMES),
        level=told,
    ),
    Constraint(
        name="claimed-time-plausible",
        block=Block.TIME,
        asks=Message(
            "زمان ادعایی در مدت اعتبار گواهی و پیش از زمان اثبات‌شده است.",
            "The claimed time lies within the certificate's validity and before the proven time.",
        ),
        reasons=(Reason.CLAIMED_BEFORE_CERTIFICATE, Reason.CLAIMED_AFTER_PROOF),
    ),
    Constraint(
        name="timestamp-order",
        block=Block.TIME,
        asks=Message("ترتیب مهرهای زمانی درست است.", "The time-stamps follow each other in order."),
        reasons=(Reason.TIMESTAMP_ORDER,),
    ),
    Constraint(
        name="timestamp-past",
        block=Block.TIME,
        asks=Message("مهر زمانی از آینده نیست.", "The time-stamp does not lie in the future."),
        reasons=(Reason.TIMESTAMP_IN_FUTURE,),
        signatures=False,
        stamps=True,
    ),
    Constraint(
        name="timestamps-valid",
        block=Block.POE,
        asks=Message("مهرهای زمانی امضا معتبرند.", "The signature's time-stamps are valid."),
        reasons=(Reason.TIMESTAMP_IGNORED,),
        level=told,
    ),
    Constraint(
        name="existence-proven",
        block=Block.POE,
        asks=Message(
            "وجود آنچه به آن تکیه می‌شود، پیش از آنکه از اعتبار بیفتد، اثبات شده است.",
            "What is relied on provably existed before it lost its force.",
        ),
        reasons=(Reason.EXISTENCE_NOT_PROVEN,),
        stamps=True,
    ),
    Constraint(
        name="time-proven",
        block=Block.POE,
        asks=Message("وجود امضا در زمانی گذشته اثبات شده است.", "It is proven that the signature existed at a time."),
        reasons=(Reason.NO_TIME_PROOF, Reason.TIME_PROOF_REQUIRED),
        level=fail_if(lambda policy: policy.require_time_proof, Level.INFORM),
    ),
)

_HOMELESS: Final = frozenset(Reason).difference(*(one.reasons for one in _NAMED))
CONSTRAINTS: Final = (
    *_NAMED,
    # What has no constraint of its own yet is told all the same.
    Constraint(
        name="nothing-else",
        block=Block.ACCEPTANCE,
        asks=Message("چیز دیگری یافت نشده است.", "Nothing else was found."),
        reasons=tuple(sorted(_HOMELESS)),
        stamps=True,
    ),
)
