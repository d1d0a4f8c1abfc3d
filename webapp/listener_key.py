"""The mutual-TLS listener's key: in a file of the server's, in no backup, and so made anew where it was lost."""

from typing import Final
from urllib.parse import urlsplit

from ca.officers.identity import Officer
from ca.own_certificates import LISTENER
from ca.profiles import ProfileName
from hsm.provider import spki_of
from hsm.soft import UnsafeSoftKey
from pki.certificates import Certificate
from pki.csr import build_csr
from pki.errors import ErrorCode, NotFound, ServiceError, Unavailable
from pki.jose import compact_json
from pki.keys import SignatureAlgorithm
from webapp.atomic_files import write_atomically
from webapp.compose import Parts
from webapp.own_certificates import shown_certificate, write_listener_chain

_OWNER_ONLY: Final = 0o600


def make_listener(parts: Parts, actor: str) -> None:
    """Make the key of the mutual-TLS listener and its certificate, marked as issued without approvals."""
    host = str(urlsplit(parts.settings.exchange_url).hostname)
    registration = {
        "kind": "system",
        "organization": parts.settings.organization,
        "common_name": host,
        "hosts": [host],
    }
    file = parts.authority.submit_file(compact_json(registration), Officer.of_deployment(actor))
    key = UnsafeSoftKey.generate(SignatureAlgorithm.ES256)
    write_atomically(parts.deployment.tls_key, key.private_pem(), mode=_OWNER_ONLY)
    issued = parts.authority.issue(ProfileName.TLS_SERVER, file.id, build_csr(key, host), actor, unapproved=True)
    parts.authority.name_listener(issued.serial_hex)
    write_listener_chain(parts, issued.der)


def mend_listener(parts: Parts, actor: str) -> bool:
    """Make the listener another key where the one of its certificate is not there; whether that was needed.

    A certificate that is not of the register is the deployer's own, and so is its key.
    """
    shown = shown_certificate(parts)
    if parts.authority.named_certificate(LISTENER) is None or (shown is not None and not _is_ours(parts, shown)):
        return False
    if shown is not None and _kept_key(parts) == shown.spki_der:
        return False
    make_listener(parts, actor)
    return True


def _is_ours(parts: Parts, shown: Certificate) -> bool:
    try:
        record = parts.authority.get(shown.serial_hex)
    except NotFound:
        return False
    return record.der == shown.der and record.profile == ProfileName.TLS_SERVER


def _kept_key(parts: Parts) -> bytes | None:
    """Return the public half (SubjectPublicKeyInfo, DER) of the key in the file; None where there is none.

    Unavailable (`file-unreadable`) for a file that this user may not read.
    """
    try:
        return spki_of(UnsafeSoftKey.from_pem(parts.deployment.tls_key.read_bytes()).public_key())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unavailable(ErrorCode.FILE_UNREADABLE, parts.deployment.tls_key.name) from error
    except ServiceError:  # cut short, or no key
        return None
