"""How a custodian reaches a Transit engine of HashiCorp Vault or OpenBao: the `device` member of its settings.

No secret is in here: role id, secret id and token are in files of their own, which only the custodian's
user may read. Without `ca_file` the server's certificate is checked against the authorities that `requests`
brings along, not against the machine's.
"""

import ipaddress
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum, unique
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from hsm.errors import ConfigurationInvalid
from hsm.settings_file import check_members

DEFAULT_BATCH: Final = 100
MAX_BATCH: Final = 1_000
_PATH: Final = re.compile(r"[A-Za-z0-9_-]{1,64}(?:/[A-Za-z0-9_-]{1,64}){0,7}")

_MEMBERS: Final[dict[str, type]] = {
    "kind": str,
    "url": str,
    "mount": str,
    "ca_file": str,
    "namespace": str,
    "auth": dict,
    "marshaling": str,
    "batch": int,
}


@unique
class Marshaling(StrEnum):
    """How the server writes an ECDSA signature: `r || s` in base64url, or DER in base64."""

    JWS = "jws"
    ASN1 = "asn1"


@dataclass(frozen=True, slots=True, kw_only=True)
class AppRoleFiles:
    """Where the two halves of an AppRole credential are, and where the server mounts that login."""

    mount: str
    role_id_file: Path
    secret_id_file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFile:
    """Where a token is that somebody else obtained, and perhaps replaces from time to time."""

    token_file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitSettings:
    """Validated settings. `batch` is the most inputs that one request carries."""

    url: str
    auth: AppRoleFiles | TokenFile
    mount: str = "transit"
    ca_file: Path | None = None
    namespace: str | None = None
    marshaling: Marshaling = Marshaling.JWS
    batch: int = DEFAULT_BATCH

    def __post_init__(self) -> None:
        _check_url(self.url)
        _check_path("mount", self.mount)
        if self.namespace is not None:
            _check_path("namespace", self.namespace)
        if isinstance(self.auth, AppRoleFiles):
            _check_path("the mount of approle", self.auth.mount)
        if not 1 <= self.batch <= MAX_BATCH:
            raise ConfigurationInvalid(f"batch is a number from 1 to {MAX_BATCH}")

    def member(self) -> dict[str, Any]:
        """Return the `device` member that `parse_transit_settings` reads back as the same settings."""
        if isinstance(self.auth, AppRoleFiles):
            role_id, secret_id = str(self.auth.role_id_file), str(self.auth.secret_id_file)
            approle = {"mount": self.auth.mount, "role_id_file": role_id, "secret_id_file": secret_id}
            auth: dict[str, Any] = {"approle": approle}
        else:
            auth = {"token_file": str(self.auth.token_file)}
        member = {"kind": "transit", "url": self.url, "mount": self.mount, "auth": auth}
        if self.ca_file is not None:
            member["ca_file"] = str(self.ca_file)
        if self.namespace is not None:
            member["namespace"] = self.namespace
        return member | {"marshaling": str(self.marshaling), "batch": self.batch}


def parse_transit_settings(member: Mapping[str, Any], folder: Path) -> TransitSettings:
    """Validate a `device` member of kind `transit`; relative paths start at `folder`. ConfigurationInvalid."""
    _check_members("device", member, _MEMBERS, required={"kind", "url", "auth"})
    if member["kind"] != "transit":
        raise ConfigurationInvalid("the device is not of kind transit")
    try:
        marshaling = Marshaling(member.get("marshaling", Marshaling.JWS))
    except ValueError as error:
        raise ConfigurationInvalid("marshaling is jws or asn1") from error
    return TransitSettings(
        url=member["url"],
        auth=_auth(member["auth"], folder),
        mount=member.get("mount", "transit"),
        ca_file=folder / member["ca_file"] if "ca_file" in member else None,
        namespace=member.get("namespace"),
        marshaling=marshaling,
        batch=member.get("batch", DEFAULT_BATCH),
    )


def _auth(member: Mapping[str, Any], folder: Path) -> AppRoleFiles | TokenFile:
    _check_members("auth", member, {"approle": dict, "token_file": str}, required=set())
    if len(member) != 1:
        raise ConfigurationInvalid("auth holds either approle or token_file")
    if "token_file" in member:
        return TokenFile(token_file=folder / member["token_file"])
    files = member["approle"]
    members = {"mount": str, "role_id_file": str, "secret_id_file": str}
    _check_members("approle", files, members, required={"role_id_file", "secret_id_file"})
    return AppRoleFiles(
        mount=files.get("mount", "approle"),
        role_id_file=folder / files["role_id_file"],
        secret_id_file=folder / files["secret_id_file"],
    )


def _check_members(where: str, member: Mapping[str, Any], known: Mapping[str, type], required: Collection[str]) -> None:
    check_members(member, known, required=required, where=where)
    if "" in member.values():
        raise ConfigurationInvalid(f"{where}: a member is empty")


def _check_path(what: str, path: str) -> None:
    if not _PATH.fullmatch(path):
        raise ConfigurationInvalid(f"{what} is a path of letters, digits, '_' and '-'")


def _check_url(url: str) -> None:
    """Refuse a URL that is not just an origin, and one without TLS that leaves this machine."""
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationInvalid("url is malformed") from error
    if not host or not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigurationInvalid("url is malformed")
    if parts.username is not None or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ConfigurationInvalid("url is the server's address alone: no credential, path or query")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise ConfigurationInvalid("url begins with https://; http:// is for this machine's own loopback alone")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
