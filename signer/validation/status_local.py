"""Trust and status from a deployment's public folder, with no server running.

`HOME/public/root.pem`, `HOME/public/ca/NAME.cer`, `HOME/public/crl/NAME/SHARD.crl`: what the CA publishes. What its
identifiers mean is read from `HOME/mohr.toml` and `HOME/identities.toml`, where they are there and may be read.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pki.certificates import Certificate, load_certificates
from pki.errors import ErrorCode, NotFound
from pki.identity_file import parse_identities, pilot_identities
from pki.identity_scheme import IdentityScheme
from pki.oids import OidArc
from signer.parsers.model import UNREADABLE
from signer.validation import crl
from signer.validation.anchors import HEALTH, Clusters
from signer.validation.answers import Silent, StatusAnswer, unreadable
from signer.validation.crl import MAX_CRL_OCTETS, Crl
from signer.validation.crl_judgement import ListSigners, OriginalList, judge_lists
from signer.validation.policy import Policy
from signer.validation.remembered import Remembered
from signer.validation.status import NOBODY_ELSE, urls_of

MAX_FILES: Final = 4096
MAX_CERTIFICATE_FILE: Final = 1024 * 1024
MAX_REMEMBERED: Final = 64 * 1024 * 1024

_SHARD: Final = re.compile(r".*/crl/([A-Za-z0-9][A-Za-z0-9._-]*)/([A-Za-z0-9][A-Za-z0-9._-]*\.crl)")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalTrust:
    """The anchors and issuers of one deployment, and what its identifiers mean."""

    anchors: tuple[Certificate, ...]
    intermediates: tuple[Certificate, ...]
    arc: OidArc
    identities: IdentityScheme

    @property
    def clusters(self) -> Clusters:
        """A deployment's own issuers are those of its health cluster; authorities above them are not."""
        authorities = [one for one in self.intermediates if one.is_ca and not one.self_issued]
        above = {authority.issuer_der for authority in authorities}
        return {HEALTH: frozenset(one.spki_sha256.hex() for one in authorities if one.subject_der not in above)}

    def reading(self, policy: Policy) -> Policy:
        """Return a policy that reads identifiers as the deployment means them, unless it has an arc of its own."""
        return replace(policy, arc=self.arc, identities=self.identities) if policy.arc == OidArc() else policy


def load_trust(home: Path) -> LocalTrust:
    """Read a deployment's root and issuing certificates; NotFound when the folder holds no root.

    InvalidInput (`identities-invalid`) for an identity scheme that the deployment itself would not take.
    """
    public = home / "public"
    root = public / "root.pem"
    if not root.is_file():
        raise NotFound(ErrorCode.DEPLOYMENT_MISSING, str(home))
    intermediates: list[Certificate] = []
    for path in sorted((public / "ca").glob("*.cer"))[:MAX_FILES]:
        intermediates.extend(load_certificates(_read(path, MAX_CERTIFICATE_FILE)))
    anchors = load_certificates(_read(root, MAX_CERTIFICATE_FILE))
    arc = _arc_of(home)
    own = _optional(home / "identities.toml")
    return LocalTrust(
        anchors=anchors,
        intermediates=tuple(intermediates),
        arc=arc,
        identities=pilot_identities() if own is None else parse_identities(own, arc.arc),
    )


def _arc_of(home: Path) -> OidArc:
    try:
        arc = tomllib.loads((_optional(home / "mohr.toml") or b"").decode()).get("oid_arc")
    except (ValueError, RecursionError):
        return OidArc()
    return OidArc(arc=arc) if isinstance(arc, str) else OidArc()


def _optional(path: Path) -> bytes | None:
    """Read a file beside the public folder, which a relying party need not have nor be allowed to read."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_CERTIFICATE_FILE)
    except OSError:
        return None


def _read(path: Path, limit: int) -> bytes:
    try:
        if path.stat().st_size > limit:
            raise NotFound(ErrorCode.FILE_UNREADABLE, f"{path.name} is too large")
        return path.read_bytes()
    except OSError as error:
        raise NotFound(ErrorCode.FILE_UNREADABLE, path.name) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalStatus:
    """CRLs in a folder `{ca}/{shard}.crl`; files are read when asked for and again when they change."""

    folder: Path
    _read_before: Remembered[Path, tuple[tuple[int, int, int], Crl]] = field(
        default_factory=lambda: Remembered(entries=MAX_FILES, octets=MAX_REMEMBERED)
    )

    def answers(
        self, certificate: Certificate, issuer: Certificate, at: datetime, others: ListSigners = NOBODY_ELSE
    ) -> Iterable[StatusAnswer]:
        """Yield an answer for each list of the certificate's issuer, its own shard first."""
        lists: list[OriginalList] = []
        for path in self._candidates(certificate):
            origin = f"local CRL {path.parent.name}/{path.name}"
            try:
                lists.append(OriginalList(crl=self._load(path), origin=origin))
            except (*UNREADABLE, OSError) as error:
                yield Silent(origin=origin, detail=unreadable(error))
        yield from judge_lists(lists, certificate, issuer, at, others)

    def _candidates(self, certificate: Certificate) -> Iterator[Path]:
        """Yield the files that the certificate's distribution points name; without any, all of them."""
        named = False
        for url in urls_of(lambda: certificate.crl_urls):
            match = _SHARD.fullmatch(urlsplit(url).path)
            path = self.folder / match[1] / match[2] if match else None
            if path is not None and path.is_file():
                named = True
                yield path
                delta = path.with_name(f"{path.stem}.delta.crl")
                if delta.is_file():
                    yield delta
        if not named:
            yield from sorted(self.folder.glob("*/*.crl"))[:MAX_FILES]

    def _load(self, path: Path) -> Crl:
        found = path.stat() if path.is_file() else None
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino) if found else (0, 0, 0)
        before = self._read_before.get(path)
        if before is not None and before[0] == stamp:
            return before[1]
        read = crl.parse_crl(_read(path, MAX_CRL_OCTETS))
        self._read_before.keep(path, (stamp, read), stamp[1])
        return read
