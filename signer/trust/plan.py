"""What a deployer writes to have a bundle made: a TOML file that names files beside it.

```toml
name = "pilot"
days = 30                       # until the next one is due
intermediates = ["issuers.pem"]
signers = ["next-seal.pem"]     # who may sign the next ones; the same key where it is left out
crls = ["root.crl"]
ocsp = []
arc = "1.3.6.1.4.1.32473.364"

[clusters]
health = ["health-ca.pem"]      # named by their keys

[[anchors]]
file = "root.pem"
policies = []                   # certificate policies that paths must assert; any where it is left out
purposes = ["documents", "time-stamps"]
```
"""

import tomllib
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from pki.certificates import Certificate, load_certificates
from pki.errors import ErrorCode, InvalidInput
from pki.strict_table import StrictTable
from signer.files import read_file
from signer.trust.bundle import MAX_LIFE, BundleAnchor, TrustBundle, key_digests
from signer.validation.anchors import AnchorLimits, Purpose
from signer.validation.status_local import load_trust

MAX_PLAN_OCTETS: Final = 256 * 1024
MAX_PART_OCTETS: Final = 16 * 1024 * 1024
DEFAULT_LIFE: Final = timedelta(days=30)


def _refuse(member: str, rule: str) -> InvalidInput:
    return InvalidInput(ErrorCode.INPUT_MALFORMED, f"plan: {member} {rule}")


def read_plan(path: Path, *, sequence: int, issued: datetime) -> TrustBundle:
    """Read a plan and the files that it names; InvalidInput names the member that is wrong."""
    try:
        members = tomllib.loads(read_file(path, limit=MAX_PLAN_OCTETS).decode())
    except (ValueError, RecursionError) as error:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, f"plan: not TOML: {error}") from error
    table = StrictTable("", members, _refuse)

    def octets(name: str, _member: str) -> bytes:
        return read_file(path.parent / name, limit=MAX_PART_OCTETS)

    def certificates(member: str, of: StrictTable = table) -> tuple[Certificate, ...]:
        files = of.listed(member, lambda name, at: load_certificates(octets(name, at)), [])
        return tuple(certificate for file in files for certificate in file)

    anchors = table.typed("anchors", list, "is an array of tables", [])
    clusters = StrictTable("clusters", table.tables("clusters"), _refuse)
    bundle = TrustBundle(
        name=table.text("name"),
        sequence=sequence,
        issued=issued,
        next_update=issued + timedelta(days=table.number("days", 1, MAX_LIFE.days, DEFAULT_LIFE.days)),
        signers=key_digests(certificates("signers")),
        anchors=tuple(_anchor(number, one, path.parent) for number, one in enumerate(anchors)),
        intermediates=certificates("intermediates"),
        clusters={name: key_digests(certificates(name, clusters)) for name in members.get("clusters", {})},
        arc=table.take("arc"),
        crls=table.listed("crls", octets, []),
        ocsp_responses=table.listed("ocsp", octets, []),
    )
    clusters.end()
    table.end()
    return bundle


def _anchor(number: int, members: Any, folder: Path) -> BundleAnchor:
    table = StrictTable(f"anchors[{number}]", members, _refuse)
    found = load_certificates(read_file(folder / table.text("file"), limit=MAX_PART_OCTETS))
    if len(found) != 1:
        raise _refuse(table.at("file"), "is one certificate")
    limits = AnchorLimits(
        policies=frozenset(table.listed("policies", lambda name, _: name, [])),
        purposes=frozenset(table.listed_words("purposes", Purpose)) or frozenset(Purpose),
    )
    table.end()
    return BundleAnchor(certificate=found[0], limits=limits)


def of_deployment(home: Path, *, sequence: int, issued: datetime, life: timedelta = DEFAULT_LIFE) -> TrustBundle:
    """Return what a deployment's public folder says of itself; its lists are left to those who publish them."""
    local = load_trust(home)
    return TrustBundle(
        name="deployment",
        sequence=sequence,
        issued=issued,
        next_update=issued + life,
        anchors=tuple(BundleAnchor(certificate=anchor) for anchor in local.anchors),
        intermediates=tuple(one for one in local.intermediates if one.is_ca and not one.self_issued),
        clusters=local.clusters,
        arc=local.arc.arc,
    )


def with_lists(bundle: TrustBundle, home: Path) -> TrustBundle:
    """Return the same with the lists that the deployment has published."""
    lists = (read_file(path, limit=MAX_PART_OCTETS) for path in sorted((home / "public" / "crl").glob("*/*.crl")))
    return replace(bundle, crls=(*bundle.crls, *lists))
