"""Why a verdict is what it is: a closed set of codes, each with its Persian and English sentence."""

from enum import StrEnum, unique
from typing import Final

from pki.messages import Message


@unique
class Reason(StrEnum):
    """Stable names of findings; ETSI's own names are sub-indications, everything finer is here."""

    # The file
    FORMAT_UNKNOWN = "format-unknown"
    FORMAT_NOT_SUPPORTED = "format-not-supported"
    FORMAT_MALFORMED = "format-malformed"
    INPUT_TOO_LARGE = "input-too-large"
    VERIFICATION_ABORTED = "verification-aborted"
    NOTHING_SIGNED = "nothing-signed"
    FILE_NOT_SIGNED = "file-not-signed"
    # The container
    ATTRIBUTE_DUPLICATED = "attribute-duplicated"
    ATTRIBUTE_MISSING = "attribute-missing"
    ATTRIBUTE_MISPLACED = "attribute-misplaced"
    CONTENT_TYPE_MISMATCH = "content-type-mismatch"
    ALGORITHM_PROTECTION_MISMATCH = "algorithm-protection-mismatch"
    HEADER_REFUSED = "header-refused"
    BYTE_RANGE_REFUSED = "byte-range-refused"
    DOCUMENT_CHANGED = "document-changed"
    BER_ENCODING = "ber-encoding"
    SET_UNSORTED = "set-unsorted"
    PEM_WRAPPED = "pem-wrapped"
    TRAILING_NEWLINE = "trailing-newline"
    CERTIFICATE_UNREADABLE = "certificate-unreadable"
    TWO_CLAIMED_TIMES = "two-claimed-times"
    CLAIMED_TIME_UNREADABLE = "claimed-time-unreadable"
    DOCUMENT_EXTENDED = "document-extended"
    DOCUMENT_REVISION = "document-revision"
    CBOR_NOT_DETERMINISTIC = "cbor-not-deterministic"
    COUNTERSIGNATURE_NOT_EVALUATED = "countersignature-not-evaluated"
    COUNTERSIGNATURE_IGNORED = "countersignature-ignored"
    SIGNATURE_POLICY_IMPLIED = "signature-policy-implied"
    SIGNATURE_POLICY_UNKNOWN = "signature-policy-unknown"
    SIGNATURE_POLICY_MISMATCH = "signature-policy-mismatch"
    # Cryptography
    DIGEST_MISMATCH = "digest-mismatch"
    CONTENT_DIFFERS = "content-differs"
    DOCUMENT_DIFFERS = "document-differs"
    SIGNATURE_VALUE_INVALID = "signature-value-invalid"
    ALGORITHM_UNSUPPORTED = "algorithm-unsupported"
    ALGORITHM_WEAK = "algorithm-weak"
    CONTENT_ABSENT = "content-absent"
    # What the content says of itself
    CONTENT_EXPIRED = "content-expired"
    CONTENT_NOT_YET = "content-not-yet"
    # The signing certificate
    SIGNING_CERTIFICATE_NOT_FOUND = "signing-certificate-not-found"
    SIGNING_CERTIFICATE_REFERENCE_MISSING = "signing-certificate-reference-missing"
    SIGNING_CERTIFICATE_REFERENCE_MISMATCH = "signing-certificate-reference-mismatch"
    # The path
    NO_ANCHOR_GIVEN = "no-anchor-given"
    ISSUER_NOT_FOUND = "issuer-not-found"
    PATH_RULE_BROKEN = "path-rule-broken"
    NOT_FOR_SIGNING = "not-for-signing"
    NOT_FOR_TIMESTAMPING = "not-for-timestamping"
    POLICY_NOT_ASSERTED = "policy-not-asserted"
    ANCHOR_NOT_ADMITTED = "anchor-not-admitted"
    PROFESSION_NOT_ADMITTED = "profession-not-admitted"
    TRUST_OUTDATED = "trust-outdated"
    # Time
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_NOT_YET_VALID = "certificate-not-yet-valid"
    CLAIMED_BEFORE_CERTIFICATE = "claimed-before-certificate"
    CLAIMED_AFTER_PROOF = "claimed-after-proof"
    NO_TIME_PROOF = "no-time-proof"
    TIME_PROOF_REQUIRED = "time-proof-required"
    TIMESTAMP_MALFORMED = "timestamp-malformed"
    TIMESTAMP_IMPRINT_MISMATCH = "timestamp-imprint-mismatch"
    TIMESTAMP_NOT_EVALUATED = "timestamp-not-evaluated"
    TIMESTAMP_IN_FUTURE = "timestamp-in-future"
    TIMESTAMP_IGNORED = "timestamp-ignored"
    TIMESTAMP_ORDER = "timestamp-order"
    EXISTENCE_NOT_PROVEN = "existence-not-proven"
    # Status
    CERTIFICATE_REVOKED = "certificate-revoked"
    CERTIFICATE_REVOKED_LATER = "certificate-revoked-later"
    CERTIFICATE_ON_HOLD = "certificate-on-hold"
    CA_REVOKED = "ca-revoked"
    INVALIDITY_DATE_USED = "invalidity-date-used"
    STATUS_SILENT = "status-silent"
    STATUS_STALE = "status-stale"
    STATUS_SIGNER_EXPIRED = "status-signer-expired"
    STATUS_BEFORE_SIGNATURE = "status-before-signature"


REASONS: Final[dict[Reason, Message]] = {
    Reason.FORMAT_UNKNOWN: Message(
        "این فایل قالب هیچ امضای شناخته‌شده‌ای را ندارد.", "The file has no known signature format."
    ),
    Reason.FORMAT_NOT_SUPPORTED: Message(
        "قالب امضا شناخته شد، ولی این نسخه هنوز آن را بررسی نمی‌کند.",
        "The signature format is recognised, but this version does not verify it yet.",
    ),
    Reason.FORMAT_MALFORMED: Message("ساختار امضا نادرست است.", "The signature's structure is malformed."),
    Reason.INPUT_TOO_LARGE: Message("فایل از اندازهٔ مجاز بزرگ‌تر است.", "The file is larger than allowed."),
    Reason.VERIFICATION_ABORTED: Message(
        "بررسی این فایل بیش از زمان یا حافظهٔ مجاز می‌خواست و ناتمام ماند.",
        "Checking this file took more time or memory than allowed and was broken off.",
    ),
    Reason.NOTHING_SIGNED: Message("این فایل امضایی ندارد.", "The file carries no signature."),
    Reason.FILE_NOT_SIGNED: Message(
        "یکی از فایل‌های درون این بسته امضا نشده است.", "A file in this container is not signed."
    ),
    Reason.ATTRIBUTE_DUPLICATED: Message(
        "یکی از ویژگی‌های امضاشده بیش از یک بار آمده است.", "A signed attribute appears more than once."
    ),
    Reason.ATTRIBUTE_MISSING: Message("یکی از ویژگی‌های الزامی امضا نیست.", "A required attribute is missing."),
    Reason.ATTRIBUTE_MISPLACED: Message(
        "ویژگی‌ای که باید امضا می‌شد بیرون از امضا آمده است.", "An attribute that must be signed stands unsigned."
    ),
    Reason.CONTENT_TYPE_MISMATCH: Message(
        "نوع محتوای امضاشده با محتوای فایل نمی‌خواند.", "The signed content type differs from the content's."
    ),
    Reason.ALGORITHM_PROTECTION_MISMATCH: Message(
        "الگوریتم اعلام‌شده با الگوریتم حفاظت‌شده نمی‌خواند.",
        "The declared algorithm differs from the protected one (RFC 6211).",
    ),
    Reason.HEADER_REFUSED: Message("سرآیند امضا پذیرفتنی نیست.", "The signature's header is not acceptable."),
    Reason.BYTE_RANGE_REFUSED: Message(
        "محدودهٔ امضاشدهٔ PDF درست نیست.", "The PDF's signed byte range is not acceptable."
    ),
    Reason.DOCUMENT_CHANGED: Message("سند پس از امضا تغییر کرده است.", "The document was changed after signing."),
    Reason.BER_ENCODING: Message(
        "فایل به صورت BER است؛ نتیجه عوض نمی‌شود.", "The file uses BER, not DER; the verdict is unaffected."
    ),
    Reason.SET_UNSORTED: Message(
        "ترتیب ویژگی‌های امضا استاندارد نیست؛ نتیجه عوض نمی‌شود.",
        "Signed attributes are not in DER order; the verdict is unaffected.",
    ),
    Reason.CBOR_NOT_DETERMINISTIC: Message(
        "کدگذاری CBOR یگانه نیست؛ نتیجه عوض نمی‌شود.",
        "The CBOR is not in its deterministic encoding; the verdict is unaffected.",
    ),
    Reason.PEM_WRAPPED: Message("امضا در پوشش متنی (PEM) است.", "The signature is wrapped in text (PEM)."),
    Reason.TRAILING_NEWLINE: Message("در پایان فایل سطر خالی هست.", "The file ends with a line break."),
    Reason.CERTIFICATE_UNREADABLE: Message(
        "یکی از گواهی‌های همراه خوانده نشد.", "An embedded certificate cannot be read."
    ),
    Reason.TWO_CLAIMED_TIMES: Message(
        "دو زمان ادعایی ناهمسان در امضا هست.", "The signature claims two different times."
    ),
    Reason.CLAIMED_TIME_UNREADABLE: Message(
        "زمان ادعایی امضا خوانا نیست.", "The claimed signing time is not a readable instant."
    ),
    Reason.DOCUMENT_EXTENDED: Message(
        "پس از این امضا تنها امضا، دادهٔ اعتبارسنجی یا مقدارهای مجاز فرم افزوده شده است.",
        "After this signature only signatures, validation data or form values that it allows were added.",
    ),
    Reason.DOCUMENT_REVISION: Message(
        "آنچه یکی از ویرایش‌های پس از این امضا در فایل نوشته است.",
        "What one of the revisions after this signature wrote into the file.",
    ),
    Reason.COUNTERSIGNATURE_IGNORED: Message(
        "یک امضای متقابل معتبر نبود و به حساب نیامد.", "A counter-signature did not validate and does not count."
    ),
    Reason.COUNTERSIGNATURE_NOT_EVALUATED: Message(
        "امضای متقابل بررسی نشد.", "A counter-signature is present and was not evaluated."
    ),
    Reason.SIGNATURE_POLICY_IMPLIED: Message(
        "امضا سیاست خود را به زمینه واگذاشته است؛ همین سیاستِ بررسی به کار رفت.",
        "The signature leaves its policy to the context; the policy of this check was applied.",
    ),
    Reason.SIGNATURE_POLICY_UNKNOWN: Message(
        "امضا زیر سیاستی است که این بررسی آن را نمی‌شناسد.", "The signature names a policy that is not known here."
    ),
    Reason.SIGNATURE_POLICY_MISMATCH: Message(
        "سندِ سیاست امضا همان نیست که امضاکننده دیده است.",
        "The signature policy's document is not the one that the signer named.",
    ),
    Reason.DIGEST_MISMATCH: Message(
        "محتوا با آنچه امضا شده یکی نیست؛ محتوا تغییر کرده است.", "The content is not what was signed; it was changed."
    ),
    Reason.CONTENT_DIFFERS: Message(
        "محتوای داده‌شده با محتوای درون امضا یکی نیست.", "The content given differs from the content inside."
    ),
    Reason.DOCUMENT_DIFFERS: Message(
        "این کد برای سند دیگری است.", "The code belongs to another document than the one given."
    ),
    Reason.CONTENT_EXPIRED: Message(
        "مهلت استفاده از این محتوا گذشته است؛ خود امضا سر جایش است.",
        "The content may no longer be used; the signature itself is unaffected.",
    ),
    Reason.CONTENT_NOT_YET: Message(
        "زمان استفاده از این محتوا هنوز نرسیده است.", "The content may not be used yet, or is dated in the future."
    ),
    Reason.SIGNATURE_VALUE_INVALID: Message("مقدار امضا درست نیست.", "The signature value is not valid."),
    Reason.ALGORITHM_UNSUPPORTED: Message(
        "الگوریتم امضا پشتیبانی نمی‌شود؛ درستی امضا معلوم نیست.",
        "The algorithm is not supported; whether the signature holds is unknown.",
    ),
    Reason.ALGORITHM_WEAK: Message(
        "الگوریتم یا طول کلید دیگر مطمئن شمرده نمی‌شود.", "The algorithm or key size is no longer reliable."
    ),
    Reason.CONTENT_ABSENT: Message(
        "محتوای امضاشده در فایل نیست؛ آن را جداگانه بدهید.", "The signed content is not in the file; supply it."
    ),
    Reason.SIGNING_CERTIFICATE_NOT_FOUND: Message(
        "گواهی امضاکننده یافت نشد.", "The signer's certificate is not found."
    ),
    Reason.SIGNING_CERTIFICATE_REFERENCE_MISSING: Message(
        "امضا به گواهی امضاکننده بسته نشده است.", "The signature is not bound to the signer's certificate."
    ),
    Reason.SIGNING_CERTIFICATE_REFERENCE_MISMATCH: Message(
        "امضا به گواهی دیگری بسته شده است.", "The signature is bound to another certificate."
    ),
    Reason.NO_ANCHOR_GIVEN: Message(
        "هیچ ریشهٔ اعتمادی داده نشده است.", "No trust anchor was given, so nobody can be trusted."
    ),
    Reason.ISSUER_NOT_FOUND: Message(
        "زنجیرهٔ گواهی به هیچ ریشهٔ معتمدی نمی‌رسد.", "The certificate chain ends at no trusted anchor."
    ),
    Reason.PATH_RULE_BROKEN: Message(
        "زنجیرهٔ گواهی یکی از قواعد صدور را نقض می‌کند.", "The certificate chain breaks a rule of path validation."
    ),
    Reason.NOT_FOR_SIGNING: Message("این گواهی برای امضای سند نیست.", "The certificate is not for signing documents."),
    Reason.NOT_FOR_TIMESTAMPING: Message(
        "این گواهی برای مهر زمانی نیست.", "The certificate is not for time-stamping alone."
    ),
    Reason.POLICY_NOT_ASSERTED: Message(
        "گواهی سیاست لازم را ندارد.", "The certificate does not assert a required policy."
    ),
    Reason.ANCHOR_NOT_ADMITTED: Message(
        "این مسیر اعتماد در سیاست انتخاب‌شده پذیرفته نیست.", "The policy does not admit this trust path."
    ),
    Reason.PROFESSION_NOT_ADMITTED: Message(
        "حرفهٔ امضاکننده در سیاست انتخاب‌شده پذیرفته نیست.", "The policy does not admit the signer's profession."
    ),
    Reason.TRUST_OUTDATED: Message(
        "بستهٔ اعتمادی که این نتیجه بر آن استوار است کهنه شده است؛ بستهٔ تازه بگیرید.",
        "The trust bundle behind this verdict is outdated; get a newer one.",
    ),
    Reason.CERTIFICATE_EXPIRED: Message("مدت اعتبار گواهی گذشته است.", "A certificate of the path has expired."),
    Reason.CERTIFICATE_NOT_YET_VALID: Message(
        "اعتبار گواهی هنوز آغاز نشده است.", "A certificate of the path is not valid yet."
    ),
    Reason.CLAIMED_BEFORE_CERTIFICATE: Message(
        "زمان ادعایی امضا پیش از آغاز اعتبار گواهی است.", "The claimed time lies before the certificate's validity."
    ),
    Reason.CLAIMED_AFTER_PROOF: Message(
        "زمان ادعایی امضا پس از مهر زمانی است.", "The claimed time lies after the proven time."
    ),
    Reason.TIME_PROOF_REQUIRED: Message(
        "این سیاست اثبات زمان را لازم می‌داند و فایل آن را ندارد.",
        "This policy demands proof of the time, which the file lacks.",
    ),
    Reason.NO_TIME_PROOF: Message(
        "زمان امضا تنها ادعای امضاکننده است.", "The signing time is only the signer's claim."
    ),
    Reason.TIMESTAMP_MALFORMED: Message("مهر زمانی خوانده نشد.", "The time-stamp cannot be read."),
    Reason.TIMESTAMP_IMPRINT_MISMATCH: Message(
        "مهر زمانی برای دادهٔ دیگری است.", "The time-stamp belongs to other data."
    ),
    Reason.TIMESTAMP_NOT_EVALUATED: Message(
        "این مهر زمانی بررسی نشد و به حساب نیامد.", "This time-stamp was not evaluated and does not count."
    ),
    Reason.TIMESTAMP_IN_FUTURE: Message("مهر زمانی از آینده است.", "The time-stamp lies in the future."),
    Reason.TIMESTAMP_IGNORED: Message(
        "مهر زمانی معتبر نبود و به حساب نیامد.", "A time-stamp did not validate and does not count."
    ),
    Reason.TIMESTAMP_ORDER: Message("ترتیب مهرهای زمانی درست نیست.", "The order of the time-stamps is wrong."),
    Reason.EXISTENCE_NOT_PROVEN: Message(
        "ثابت نشد که گواهی‌ها و پاسخ‌های وضعیت، پیش از نامعتبر شدنشان وجود داشته‌اند.",
        "It is not proven that certificates and status existed before something of the path went bad.",
    ),
    Reason.CERTIFICATE_REVOKED: Message("گواهی امضاکننده باطل شده بود.", "The signer's certificate was revoked."),
    Reason.CERTIFICATE_REVOKED_LATER: Message(
        "گواهی پس از زمان اثبات‌شدهٔ امضا باطل شده است؛ امضا معتبر می‌ماند.",
        "The certificate was revoked after the proven signing time; the signature stands.",
    ),
    Reason.CERTIFICATE_ON_HOLD: Message("گواهی امضاکننده تعلیق شده است.", "The signer's certificate is suspended."),
    Reason.CA_REVOKED: Message("گواهی مرکز صدور باطل شده است.", "A CA certificate of the path was revoked."),
    Reason.INVALIDITY_DATE_USED: Message(
        "تاریخ بی‌اعتباری اعلام‌شده ملاک ابطال شد.", "The declared invalidity date counts as the revocation time."
    ),
    Reason.STATUS_SILENT: Message(
        "وضعیت گواهی معلوم نشد؛ بعداً دوباره بررسی کنید.", "The certificate's status is not known now; try later."
    ),
    Reason.STATUS_SIGNER_EXPIRED: Message(
        "گواهی پاسخ‌دهندهٔ وضعیت منقضی شده و ثابت نشده که پاسخ پیش از آن داده شده است.",
        "The status responder's certificate has expired, and it is not proven that the answer is older.",
    ),
    Reason.STATUS_STALE: Message(
        "آخرین وضعیت گواهی تازه نیست؛ بعداً دوباره بررسی کنید.", "The last known status is too old; try later."
    ),
    Reason.STATUS_BEFORE_SIGNATURE: Message(
        "وضعیت گواهی پیش از امضا گرفته شده است.", "The status was produced before the signature."
    ),
}
