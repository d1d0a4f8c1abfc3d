"""The Persian and English sentence for each error code. Total: a test compares it with `ErrorCode`."""

from typing import Final, NamedTuple

from pki.errors import ErrorCode, ServiceError


class Message(NamedTuple):
    """One sentence in both languages."""

    fa: str
    en: str


MESSAGES: Final[dict[ErrorCode, Message]] = {
    ErrorCode.INPUT_EMPTY: Message("ورودی خالی است.", "The input is empty."),
    ErrorCode.INPUT_TOO_LARGE: Message("ورودی از اندازهٔ مجاز بزرگ‌تر است.", "The input is larger than allowed."),
    ErrorCode.INPUT_MALFORMED: Message("ورودی ساختار درستی ندارد.", "The input is malformed."),
    ErrorCode.INPUT_FORMAT_UNKNOWN: Message("قالب فایل شناخته نشد.", "The file's format is not known."),
    ErrorCode.DER_MALFORMED: Message("ساختار ASN.1 نادرست است.", "The ASN.1 structure is malformed."),
    ErrorCode.JSON_MALFORMED: Message("ساختار JSON نادرست است.", "The JSON structure is malformed."),
    ErrorCode.CERTIFICATE_MALFORMED: Message("گواهی خوانده نشد.", "The certificate cannot be read."),
    ErrorCode.CSR_MALFORMED: Message("درخواست گواهی خوانده نشد.", "The certificate request cannot be read."),
    ErrorCode.CSR_PROOF_INVALID: Message(
        "اثبات در اختیار داشتن کلید در درخواست گواهی درست نیست.", "The request's proof of possession does not hold."
    ),
    ErrorCode.KEY_REFUSED: Message("این نوع کلید پذیرفته نمی‌شود.", "This kind of key is not accepted."),
    ErrorCode.KEY_URI_MALFORMED: Message("نشانی کلید نادرست است.", "The key URI is malformed."),
    ErrorCode.IDENTITY_INVALID: Message("شناسه نادرست است.", "The identifier is not valid."),
    ErrorCode.FILE_UNREADABLE: Message("فایل خوانده نشد.", "The file cannot be read."),
    ErrorCode.FILE_UNWRITABLE: Message("فایل نوشته نشد.", "The file cannot be written."),
    ErrorCode.USAGE: Message("فرمان درست نوشته نشده است.", "The command line is wrong."),
    ErrorCode.DOCUMENT_UNSIGNABLE: Message(
        "این سند با این قالب امضا نمی‌شود.", "This document cannot be signed in this format."
    ),
    ErrorCode.NOT_ALLOWED: Message("اجازهٔ این کار را ندارید.", "You may not do this."),
    ErrorCode.NOT_FOUND: Message("یافت نشد.", "Not found."),
    ErrorCode.CONFLICT: Message("وضعیت کنونی این کار را اجازه نمی‌دهد.", "The present state forbids this."),
    ErrorCode.FOUR_EYES: Message("این کار به دو شخص جدا نیاز دارد.", "This needs two different people."),
    ErrorCode.NOT_APPROVED: Message("پرونده هنوز تأیید نشده است.", "The file is not approved yet."),
    ErrorCode.PROFILE_UNKNOWN: Message("نمایهٔ گواهی شناخته نشد.", "The certificate profile is not known."),
    ErrorCode.LINT_FAILED: Message(
        "گواهی آماده‌شده با قواعد نمایه سازگار نیست.", "The prepared certificate breaks the rules of its profile."
    ),
    ErrorCode.STATE_ILLEGAL: Message("این تغییر وضعیت مجاز نیست.", "This change of state is not allowed."),
    ErrorCode.DEPLOYMENT_EXISTS: Message(
        "در این پوشه پیش‌تر استقراری ساخته شده است.", "A deployment already exists in this folder."
    ),
    ErrorCode.DEPLOYMENT_WAITING: Message(
        "این استقرار هنوز در انتظار گواهی‌های مرجع بالادست است.",
        "This deployment still waits for the certificates of its parent authority.",
    ),
    ErrorCode.DEPLOYMENT_MISSING: Message("در این پوشه استقراری نیست.", "There is no deployment in this folder."),
    ErrorCode.CRL_REGRESSION: Message(
        "فهرست ابطال تازه از فهرست پیشین عقب‌تر است و منتشر نشد.",
        "The new CRL falls behind the last one and was not published.",
    ),
    ErrorCode.ENROLMENT_UNPROVEN: Message(
        "آنچه ارائه شد حق دریافت گواهی را ثابت نمی‌کند.", "What was shown does not prove a right to a certificate."
    ),
    ErrorCode.OFFICER_UNKNOWN: Message(
        "گواهی ارائه‌شده از آنِ مأمور ثبت‌شده‌ای نیست.", "The certificate shown belongs to no enrolled officer."
    ),
    ErrorCode.OFFICER_SUSPENDED: Message("این مأمور اکنون اختیاری ندارد.", "This officer has no authority at present."),
    ErrorCode.SCOPE_EXCEEDED: Message(
        "این کار بیرون از حوزهٔ اختیار شماست.", "This is beyond what you are entrusted with."
    ),
    ErrorCode.IDEMPOTENCY_CONFLICT: Message(
        "این کلید تکرار پیش‌تر با درخواست دیگری آمده است.", "This idempotency key came with another request before."
    ),
    ErrorCode.REQUEST_IN_PROGRESS: Message(
        "همین درخواست هنوز در دست انجام است.", "The same request is still being carried out."
    ),
    ErrorCode.ACTIVATION_REFUSED: Message("رمز فعال‌سازی نادرست است.", "The activation code is wrong."),
    ErrorCode.ACTIVATION_LOCKED: Message(
        "فعال‌سازی پس از چند رمز نادرست قفل شد.", "Activation is locked after several wrong codes."
    ),
    ErrorCode.ACTIVATION_EXPIRED: Message("مهلت فعال‌سازی گذشته است.", "The time for activation is over."),
    ErrorCode.SUSPENSION_REFUSED: Message(
        "رمز تعلیق نادرست است، یا چند بار پیاپی نادرست وارد شده و تا یک ساعت پذیرفته نمی‌شود.",
        "The suspension code is wrong, or was given wrongly several times and is not taken for an hour.",
    ),
    ErrorCode.AUTHORITY_CLOSED: Message(
        "کلید این مرکز صدور افشا شده است و دیگر چیزی صادر نمی‌کند.",
        "This authority's key is compromised; it issues nothing any more.",
    ),
    ErrorCode.LINT_HOLD: Message(
        "گواهی تا بررسی دو مأمور نگه داشته شده است.", "The certificate is held until two officers have looked at it."
    ),
    ErrorCode.PROFILE_INVALID: Message(
        "تعریف نمایهٔ گواهی پذیرفتنی نیست.", "The certificate profile's definition is not acceptable."
    ),
    ErrorCode.PROFILE_RETIRED: Message(
        "با این نمایه دیگر گواهی صادر نمی‌شود.", "Nothing is issued by this profile any more."
    ),
    ErrorCode.IDENTITIES_INVALID: Message(
        "تعریف حرفه‌ها و شناسه‌ها پذیرفتنی نیست.", "The definition of professions and identifiers is not acceptable."
    ),
    ErrorCode.REGISTRY_REFUSED: Message("مرجع ثبت به این پرسش پاسخ منفی داد.", "The registry answered no."),
    ErrorCode.IDENTITY_DIFFERS: Message(
        "هویت درخواست با پرونده یکی نیست.", "The request's identity differs from the file's."
    ),
    ErrorCode.KEY_PROOF_INVALID: Message(
        "اثبات ساخته‌شدن کلید روی کارت پذیرفته نشد.", "The proof that the key was made on the card does not hold."
    ),
    ErrorCode.NONCE_INVALID: Message(
        "چالش درخواست ناشناخته، کهنه یا تکراری است.", "The request's nonce is unknown, stale or used."
    ),
    ErrorCode.RENEWAL_TOO_EARLY: Message(
        "زمان تمدید این گواهی هنوز نرسیده است.", "It is too early to renew this certificate."
    ),
    ErrorCode.BULK_MALFORMED: Message("پروندهٔ گروهی خوانده نشد.", "The bulk file cannot be read."),
    ErrorCode.CLOCK_SUSPECT: Message(
        "ساعت سامانه نامطمئن است و فعلاً چیزی امضا نمی‌شود.", "The clock cannot be trusted; nothing is signed for now."
    ),
    ErrorCode.STORAGE_LOW: Message(
        "فضای ذخیره‌سازی کم است و فعلاً گواهی صادر نمی‌شود.", "Storage is nearly full; nothing is issued for now."
    ),
    ErrorCode.RECOVERY_PENDING: Message(
        "پایگاه داده از پشتیبان برگشته و هنوز تطبیق داده نشده است؛ فعلاً چیزی صادر یا آزاد نمی‌شود.",
        "The database was restored and is not reconciled yet; nothing is issued or released for now.",
    ),
    ErrorCode.OVERLOADED: Message(
        "سامانه پرکار است؛ کمی بعد دوباره تلاش کنید.", "Too much is asked at once; try again shortly."
    ),
    ErrorCode.HSM_UNAVAILABLE: Message(
        "ماژول کلید پاسخ نمی‌دهد؛ کمی بعد دوباره تلاش کنید.", "The key device does not answer; try again shortly."
    ),
    ErrorCode.HSM_KEY_NOT_FOUND: Message("کلید در ماژول یافت نشد.", "The key is not in the device."),
    ErrorCode.HSM_KEY_EXISTS: Message("کلیدی با این نام در ماژول هست.", "A key of this name is already in the device."),
    ErrorCode.HSM_PURPOSE_REFUSED: Message(
        "این کلید برای امضای چنین داده‌ای نیست.", "This key is not for signing such data."
    ),
    ErrorCode.HSM_PIN_INCORRECT: Message("رمز ماژول کلید نادرست است.", "The key device's PIN is wrong."),
    ErrorCode.HSM_PROTOCOL: Message("پیام به امانت‌دار کلید نادرست است.", "The message to the custodian is malformed."),
    ErrorCode.HSM_RATE_EXCEEDED: Message(
        "این نقش کلید را بیش از اندازهٔ مجاز به کار برده است.", "This role uses the key more often than it may."
    ),
    ErrorCode.HSM_JOURNAL_GAP: Message("دفتر کاربرد کلیدها افتادگی دارد.", "The journal of key uses has a gap."),
    ErrorCode.SHARE_MALFORMED: Message("سهم راز درست نوشته نشده است.", "The share is not written correctly."),
    ErrorCode.SHARE_WRONG: Message("این سهم از این راز نیست.", "This share does not belong to this secret."),
    ErrorCode.CEREMONY_SCRIPT: Message(
        "دستور آیین کلید پذیرفتنی نیست.", "The key ceremony's script cannot be carried out."
    ),
    ErrorCode.CEREMONY_STOPPED: Message(
        "آیین کلید ناتمام ماند و می‌توان آن را از سر گرفت.", "The key ceremony stopped; it can be resumed."
    ),
    ErrorCode.READER_SERVICE_DOWN: Message("سرویس کارت‌خوان در دسترس نیست.", "The smart-card service is not running."),
    ErrorCode.READER_NOT_FOUND: Message("کارت‌خوان یافت نشد.", "No card reader was found."),
    ErrorCode.READER_BUSY: Message(
        "برنامهٔ دیگری کارت‌خوان را در اختیار دارد.", "Another program holds the card reader."
    ),
    ErrorCode.CARD_ABSENT: Message("کارتی در کارت‌خوان نیست.", "There is no card in the reader."),
    ErrorCode.CARD_REMOVED: Message("کارت از کارت‌خوان بیرون آمد.", "The card was removed."),
    ErrorCode.CARD_UNSUPPORTED: Message("این کارت پشتیبانی نمی‌شود.", "This card is not supported."),
    ErrorCode.CARD_PROTOCOL: Message("پاسخ کارت نادرست بود.", "The card's answer was malformed."),
    ErrorCode.CARD_SIGNATURE_MISMATCH: Message(
        "امضای کارت با گواهی آن نمی‌خواند.", "The card's signature does not match its certificate."
    ),
    ErrorCode.CARD_KEY_NOT_FOUND: Message("این کلید روی کارت نیست.", "This key is not on the card."),
    ErrorCode.CARD_KEY_EXISTS: Message(
        "در این جای کارت پیش‌تر کلیدی ساخته شده است.", "This place on the card already holds a key."
    ),
    ErrorCode.CARD_FULL: Message("جای خالی کافی روی کارت نیست.", "There is not enough free space on the card."),
    ErrorCode.PIN_INCORRECT: Message("رمز کارت نادرست است.", "The PIN is wrong."),
    ErrorCode.PIN_BLOCKED: Message("رمز کارت قفل شده است.", "The PIN is blocked."),
    ErrorCode.PIN_FORMAT: Message(
        "رمز کارت باید رقم و به اندازهٔ مجاز باشد.", "The PIN must be digits of the allowed length."
    ),
    ErrorCode.PIN_REQUIRED: Message("این کار رمز کارت می‌خواهد.", "This needs the card's PIN."),
    ErrorCode.PIN_LAST_TRY: Message(
        "تنها یک بار دیگر می‌توان رمز را آزمود؛ پیش از آن تأیید لازم است.",
        "Only one try is left for this PIN; it needs a confirmation first.",
    ),
    ErrorCode.CONSENT_REFUSED: Message("امضا کننده امضا را نپذیرفت.", "The signer declined."),
    ErrorCode.UNAVAILABLE: Message(
        "سرویس پاسخ نمی‌دهد؛ کمی بعد دوباره تلاش کنید.", "The service does not answer; try again shortly."
    ),
    ErrorCode.DATABASE_UNAVAILABLE: Message("پایگاه داده پاسخ نمی‌دهد.", "The database does not answer."),
    ErrorCode.TIMESTAMP_UNAVAILABLE: Message(
        "سرویس مهر زمانی پاسخ نمی‌دهد.", "The time-stamping service does not answer."
    ),
    ErrorCode.TIMESTAMP_INVALID: Message(
        "پاسخ سرویس مهر زمانی درست نیست.", "The time-stamping service's answer is not valid."
    ),
    ErrorCode.REGISTRY_SILENT: Message("سامانهٔ ثبت پاسخ نداد.", "The registry did not answer."),
    ErrorCode.GATE_CLOSED: Message(
        "شرط‌های اتصال مرکز برقرار نیست.", "The centre does not meet the conditions for connection."
    ),
    ErrorCode.ASSERTION_INVALID: Message("ادعای کارخواه پذیرفته نشد.", "The client assertion is not valid."),
    ErrorCode.ASSERTION_REPLAYED: Message("این ادعا پیش‌تر به کار رفته است.", "The client assertion was used before."),
    ErrorCode.TOKEN_INVALID: Message("توکن درست نیست.", "The token is not valid."),
    ErrorCode.TOKEN_EXPIRED: Message("توکن منقضی شده است.", "The token has expired."),
    ErrorCode.TOKEN_BINDING: Message("توکن به گواهی دیگری بسته شده است.", "The token is bound to another certificate."),
    ErrorCode.SCOPE_REFUSED: Message("این دامنهٔ دسترسی داده نمی‌شود.", "This scope is not granted."),
    ErrorCode.LEDGER_EDITED: Message("رویدادی در دفتر ویرایش شده است.", "An entry of the ledger was edited."),
    ErrorCode.LEDGER_REMOVED: Message("رویدادی از دفتر برداشته شده است.", "An entry of the ledger was removed."),
    ErrorCode.LEDGER_TRUNCATED: Message(
        "دفتر از نقطهٔ مهرشده کوتاه‌تر است.", "The ledger is shorter than its checkpoint."
    ),
    ErrorCode.LEDGER_FORKED: Message("دفتر با نقطهٔ مهرشده نمی‌خواند.", "The ledger does not match its checkpoint."),
    ErrorCode.CHECKPOINT_INVALID: Message("مهر دفتر درست نیست.", "The checkpoint is not valid."),
    ErrorCode.TRUST_REFUSED: Message(
        "به این بستهٔ اعتماد نمی‌توان تکیه کرد.", "This trust bundle is not to be relied on."
    ),
    ErrorCode.TRUST_ROLLBACK: Message(
        "این بستهٔ اعتماد از بسته‌ای که نگه داشته شده عقب‌تر است یا ادامهٔ آن نیست.",
        "This trust bundle lies behind the one that is kept, or does not continue it.",
    ),
    ErrorCode.METHOD_REFUSED: Message(
        "این روش درخواست در این نشانی پذیرفته نیست.", "This address refuses that method."
    ),
    ErrorCode.LENGTH_REQUIRED: Message(
        "درخواست باید اندازهٔ خود را از پیش بگوید.", "The request must announce its length (Content-Length)."
    ),
    ErrorCode.MEDIA_TYPE_REFUSED: Message(
        "نوع محتوای درخواست پذیرفته نیست.", "The request's content type is not accepted here."
    ),
    ErrorCode.CROSS_SITE_REFUSED: Message(
        "این درخواست از نشانی دیگری فرستاده شده و پذیرفته نشد.", "The request came from another site and was refused."
    ),
    ErrorCode.VERIFICATION_FAILED: Message("اثبات رمزنگاری درست نیست.", "The cryptographic proof does not hold."),
    ErrorCode.DEMO_DIFFERS: Message(
        "نتیجهٔ نمایش با انتظار نمی‌خواند.", "The demo's outcome differs from the expected one."
    ),
    ErrorCode.INTERNAL: Message("خطای داخلی رخ داد.", "An internal error occurred."),
}


def sentence(error: ServiceError) -> str:
    """Write an error for a person at a terminal: code, Persian, English and the detail, if any."""
    message = MESSAGES[error.code]
    detail = f" ({error.detail})" if error.detail else ""
    return f"{error.code}: {message.fa} | {message.en}{detail}"
