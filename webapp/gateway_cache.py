"""What a gateway knows of an issuer while it is offline: one file with metadata, keys and when they were fetched."""

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pki.errors import ErrorCode, InvalidInput, Unavailable, VerificationFailed
from pki.instants import format_instant, parse_instant
from pki.jose import json_object
from pki.jwks import KeySet
from webapp.atomic_files import write_atomically
from webapp.http_client import ask

FILE: Final = "issuer.json"
FORMAT: Final = "mohr-gateway-cache/1"
MAX_OCTETS: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownIssuer:
    """An issuer as it was when it was last asked."""

    issuer: str
    keys: KeySet
    metadata: Mapping[str, Any]

    @property
    def sole_audience(self) -> str | None:
        """The one resource the issuer protects (RFC 9728 §4), None when it names none or several."""
        named = self.metadata.get("protected_resources")
        return named[0] if isinstance(named, list) and len(named) == 1 and isinstance(named[0], str) else None


def metadata_url(issuer: str) -> str:
    """Return where an issuer's metadata is (RFC 8414 §3: the well-known part comes before the issuer's path)."""
    parts = urlsplit(issuer)
    return f"{parts.scheme}://{parts.netloc}/.well-known/oauth-authorization-server{parts.path}"


def fetch_metadata(issuer: str, tls: ssl.SSLContext | None) -> dict[str, Any]:
    """Ask an issuer for its metadata; VerificationFailed when the document names another issuer (RFC 8414 §3.3)."""
    found = _document(metadata_url(issuer), tls)
    if found.get("issuer") != issuer:
        raise VerificationFailed(ErrorCode.VERIFICATION_FAILED, "the metadata is of another issuer")
    return found


def fetch(issuer: str, folder: Path, now: datetime, tls: ssl.SSLContext | None = None) -> KnownIssuer:
    """Ask an issuer for metadata and keys and replace the cached file as a whole; on any failure it stays as it is."""
    metadata = fetch_metadata(issuer, tls)
    address = metadata.get("jwks_uri")
    if not isinstance(address, str):
        raise VerificationFailed(ErrorCode.VERIFICATION_FAILED, "the metadata names no keys")
    jwks = _document(address, tls)
    keys = KeySet.from_members(jwks.get("keys"), now)
    if not keys.keys:
        raise VerificationFailed(ErrorCode.VERIFICATION_FAILED, "the issuer publishes no key")
    members = {
        "format": FORMAT,
        "issuer": issuer,
        "fetched_at": format_instant(now),
        "metadata": metadata,
        "jwks": jwks,
    }
    try:
        write_atomically(folder / FILE, json.dumps(members, ensure_ascii=False, indent=1).encode())
    except OSError as error:
        raise Unavailable(ErrorCode.UNAVAILABLE, "the cache folder cannot be written") from error
    return KnownIssuer(issuer=issuer, keys=keys, metadata=metadata)


def _document(url: str, tls: ssl.SSLContext | None) -> dict[str, Any]:
    answer = ask(url, tls=tls)
    if answer.status != 200:
        raise Unavailable(ErrorCode.UNAVAILABLE, f"the issuer answers {answer.status}")
    return json_object(answer.body)


def load(folder: Path) -> KnownIssuer | None:
    """Return what is cached, None when nothing is; InvalidInput when the file cannot be read or is not ours."""
    try:
        with (folder / FILE).open("rb") as file:
            data = file.read(MAX_OCTETS + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidInput(ErrorCode.FILE_UNREADABLE, FILE) from error
    if len(data) > MAX_OCTETS:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, FILE)
    members = json_object(data)
    issuer, fetched, metadata, jwks = (members.get(name) for name in ("issuer", "fetched_at", "metadata", "jwks"))
    if members.get("format") != FORMAT or not isinstance(issuer, str) or not isinstance(fetched, str):
        raise InvalidInput(ErrorCode.INPUT_FORMAT_UNKNOWN, FILE)
    if not isinstance(metadata, dict) or not isinstance(jwks, dict):
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, FILE)
    keys = KeySet.from_members(jwks.get("keys"), parse_instant(fetched))
    return KnownIssuer(issuer=issuer, keys=keys, metadata=metadata)
