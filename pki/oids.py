"""Every object identifier Mohr issues, requires or reads, with its source.

Mohr's own arc is configuration (`OidArc`): pilots and tests live under 1.3.6.1.4.1.32473 (RFC 5612),
a deployer sets its own. The national policy identifiers are never asserted from here.
"""

from dataclasses import dataclass
from typing import Final

# Attribute types of names (RFC 5280 appendix A, X.520)
COMMON_NAME: Final = "2.5.4.3"
SURNAME: Final = "2.5.4.4"
SERIAL_NUMBER: Final = "2.5.4.5"
COUNTRY: Final = "2.5.4.6"
LOCALITY: Final = "2.5.4.7"
STATE: Final = "2.5.4.8"
ORGANIZATION: Final = "2.5.4.10"
ORGANIZATIONAL_UNIT: Final = "2.5.4.11"
TITLE: Final = "2.5.4.12"
GIVEN_NAME: Final = "2.5.4.42"
PSEUDONYM: Final = "2.5.4.65"
ORGANIZATION_IDENTIFIER: Final = "2.5.4.97"  # ETSI EN 319 412-1 §5.1.4

# Certificate and CRL extensions (RFC 5280 §4.2, §5.2, §5.3)
SUBJECT_DIRECTORY_ATTRIBUTES: Final = "2.5.29.9"
SUBJECT_KEY_IDENTIFIER: Final = "2.5.29.14"
KEY_USAGE: Final = "2.5.29.15"
PRIVATE_KEY_USAGE_PERIOD: Final = "2.5.29.16"
SUBJECT_ALT_NAME: Final = "2.5.29.17"
BASIC_CONSTRAINTS: Final = "2.5.29.19"
CRL_NUMBER: Final = "2.5.29.20"
CRL_REASON: Final = "2.5.29.21"
INVALIDITY_DATE: Final = "2.5.29.24"
DELTA_CRL_INDICATOR: Final = "2.5.29.27"
ISSUING_DISTRIBUTION_POINT: Final = "2.5.29.28"
CERTIFICATE_ISSUER: Final = "2.5.29.29"
NAME_CONSTRAINTS: Final = "2.5.29.30"
CRL_DISTRIBUTION_POINTS: Final = "2.5.29.31"
CERTIFICATE_POLICIES: Final = "2.5.29.32"
POLICY_MAPPINGS: Final = "2.5.29.33"
AUTHORITY_KEY_IDENTIFIER: Final = "2.5.29.35"
POLICY_CONSTRAINTS: Final = "2.5.29.36"
EXTENDED_KEY_USAGE: Final = "2.5.29.37"
FRESHEST_CRL: Final = "2.5.29.46"
INHIBIT_ANY_POLICY: Final = "2.5.29.54"
AUTHORITY_INFO_ACCESS: Final = "1.3.6.1.5.5.7.1.1"
QC_STATEMENTS: Final = "1.3.6.1.5.5.7.1.3"
ADMISSION: Final = "1.3.36.8.3.3"  # ISIS-MTT / Common PKI part 9
OCSP_NO_CHECK: Final = "1.3.6.1.5.5.7.48.1.5"  # RFC 6960 §4.2.2.2.1
ACCESS_OCSP: Final = "1.3.6.1.5.5.7.48.1"
ACCESS_CA_ISSUERS: Final = "1.3.6.1.5.5.7.48.2"

# Healthcare role, an attribute of the subject directory attributes (ISO 17090-2 §7.3)
HC_ROLE: Final = "1.0.17090.0.1"

# Qualified certificate statements (RFC 3739 §3.2.6, ETSI EN 319 412-5 §4, EN 319 412-1 §5.1)
QCS_SYNTAX_V2: Final = "1.3.6.1.5.5.7.11.2"
QCS_SEMANTICS_NATURAL: Final = "0.4.0.194121.1.1"
QCS_SEMANTICS_LEGAL: Final = "0.4.0.194121.1.2"
QCS_COMPLIANCE: Final = "0.4.0.1862.1.1"
QCS_SSCD: Final = "0.4.0.1862.1.4"
QCS_TYPE: Final = "0.4.0.1862.1.6"
QCS_TYPE_ESIGN: Final = "0.4.0.1862.1.6.1"
QCS_TYPE_ESEAL: Final = "0.4.0.1862.1.6.2"
QCS_LEGISLATION: Final = "0.4.0.1862.1.7"

# Extended key usages (RFC 5280 §4.2.1.12, RFC 9336)
EKU_SERVER_AUTH: Final = "1.3.6.1.5.5.7.3.1"
EKU_CLIENT_AUTH: Final = "1.3.6.1.5.5.7.3.2"
EKU_TIME_STAMPING: Final = "1.3.6.1.5.5.7.3.8"
EKU_OCSP_SIGNING: Final = "1.3.6.1.5.5.7.3.9"
EKU_DOCUMENT_SIGNING: Final = "1.3.6.1.5.5.7.3.36"
EKU_SMARTCARD_LOGON: Final = "1.3.6.1.4.1.311.20.2.2"  # MS-PKCA §2.1.1
EKU_ANY: Final = "2.5.29.37.0"

# Certificate policies (RFC 5280 §4.2.1.4)
ANY_POLICY: Final = "2.5.29.32.0"
POLICY_USER_NOTICE: Final = "1.3.6.1.5.5.7.2.2"

# Algorithms
MD5: Final = "1.2.840.113549.2.5"
SHA1: Final = "1.3.14.3.2.26"
SHA224: Final = "2.16.840.1.101.3.4.2.4"
SHA256: Final = "2.16.840.1.101.3.4.2.1"
SHA384: Final = "2.16.840.1.101.3.4.2.2"
SHA512: Final = "2.16.840.1.101.3.4.2.3"
SHA3_224: Final = "2.16.840.1.101.3.4.2.7"
SHA3_256: Final = "2.16.840.1.101.3.4.2.8"
SHA3_384: Final = "2.16.840.1.101.3.4.2.9"
SHA3_512: Final = "2.16.840.1.101.3.4.2.10"
SHA512_256: Final = "2.16.840.1.101.3.4.2.6"
SHAKE128: Final = "2.16.840.1.101.3.4.2.11"
SHAKE256: Final = "2.16.840.1.101.3.4.2.12"
SHAKE128_LEN: Final = "2.16.840.1.101.3.4.2.17"
SHAKE256_LEN: Final = "2.16.840.1.101.3.4.2.18"
MGF1: Final = "1.2.840.113549.1.1.8"
EC_PUBLIC_KEY: Final = "1.2.840.10045.2.1"
SECP256R1: Final = "1.2.840.10045.3.1.7"
SECP384R1: Final = "1.3.132.0.34"
RSA_ENCRYPTION: Final = "1.2.840.113549.1.1.1"
RSASSA_PSS: Final = "1.2.840.113549.1.1.10"
SHA256_WITH_RSA: Final = "1.2.840.113549.1.1.11"
SHA384_WITH_RSA: Final = "1.2.840.113549.1.1.12"
SHA512_WITH_RSA: Final = "1.2.840.113549.1.1.13"
ECDSA_WITH_SHA256: Final = "1.2.840.10045.4.3.2"
ECDSA_WITH_SHA384: Final = "1.2.840.10045.4.3.3"
ECDSA_WITH_SHA512: Final = "1.2.840.10045.4.3.4"
ED25519: Final = "1.3.101.112"
ED448: Final = "1.3.101.113"

# Certificate requests (RFC 2986, RFC 2985 §5.4.2)
EXTENSION_REQUEST: Final = "1.2.840.113549.1.9.14"

# CMS and CAdES (RFC 5652, RFC 5035, RFC 6211, RFC 2634, ETSI EN 319 122-1)
CMS_DATA: Final = "1.2.840.113549.1.7.1"
CMS_SIGNED_DATA: Final = "1.2.840.113549.1.7.2"
TST_INFO: Final = "1.2.840.113549.1.9.16.1.4"
ATTR_CONTENT_TYPE: Final = "1.2.840.113549.1.9.3"
ATTR_MESSAGE_DIGEST: Final = "1.2.840.113549.1.9.4"
ATTR_SIGNING_TIME: Final = "1.2.840.113549.1.9.5"
ATTR_COUNTERSIGNATURE: Final = "1.2.840.113549.1.9.6"
ATTR_CONTENT_HINTS: Final = "1.2.840.113549.1.9.16.2.4"
ATTR_SIGNING_CERTIFICATE: Final = "1.2.840.113549.1.9.16.2.12"
ATTR_SIGNATURE_TIMESTAMP: Final = "1.2.840.113549.1.9.16.2.14"
ATTR_COMMITMENT_TYPE: Final = "1.2.840.113549.1.9.16.2.16"
ATTR_SIGNING_CERTIFICATE_V2: Final = "1.2.840.113549.1.9.16.2.47"
ATTR_ALGORITHM_PROTECTION: Final = "1.2.840.113549.1.9.52"
ATTR_ARCHIVE_TIMESTAMP_V3: Final = "0.4.0.1733.2.4"
COMMITMENT_PROOF_OF_ORIGIN: Final = "1.2.840.113549.1.9.16.6.1"

NATIONAL_ARC: Final = "2.16.364"  # its policies (2.16.364.101.1.1) are asserted by those whom the root licensed
UUID_ARC: Final = "2.25"  # linters cannot read its long arcs
PILOT_ARC: Final = "1.3.6.1.4.1.32473.364"


@dataclass(frozen=True, slots=True, kw_only=True)
class OidArc:
    """Mohr's identifiers under one organisation's arc; profiles take their type OIDs from here."""

    arc: str = PILOT_ARC

    @property
    def certificate_policy(self) -> str:
        """The one policy every certificate asserts: pilot, internal use only (by-law art. 11)."""
        return f"{self.arc}.1.0"

    @property
    def unapproved_pilot_policy(self) -> str:
        """Asserted in place of it when the pilot switch skipped the two approvals."""
        return f"{self.arc}.1.9"

    def profile_type(self, group: int, number: int) -> str:
        """Return the type OID of a profile, `A.group.number` (each certificate asserts exactly one)."""
        return f"{self.arc}.2.{group}.{number}"

    def profession(self, number: int) -> str:
        """Return the OID of a profession or institution kind."""
        return f"{self.arc}.3.{number}"

    def technical_role(self, number: int) -> str:
        """Return the OID of a technical role of information systems."""
        return f"{self.arc}.7.{number}"

    @property
    def timestamp_policy(self) -> str:
        """The policy under which the time-stamping authority issues tokens (RFC 3161 §2.4.2)."""
        return f"{self.arc}.4.1"

    @property
    def connection_token(self) -> str:
        """Type of the otherName that names a centre's connection token (UTF8String: its id)."""
        return f"{self.arc}.6.1"

    @property
    def signature_policy(self) -> str:
        """The signature policy named in documents."""
        return f"{self.arc}.5.1"
