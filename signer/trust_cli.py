"""`mohr trust show | check | keep`: trust bundles on a machine without a deployment. A composition root."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from pki.instants import format_instant
from pki.programs import ExitStatus
from signer.files import check_writable, read_file, write_file
from signer.trust.bundle import MAX_BUNDLE_OCTETS
from signer.trust.relied import load_bundle, load_files
from signer.trust.signed import KeptBundle, SignedBundle, is_kept, read_bundle, read_kept
from signer.validation.names import readable_name

OUTDATED: Final = 2

_file = click.argument("file", type=click.Path(path_type=Path))
_json = click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
_signers = click.option(
    "--signer",
    "signers",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="PEM",
    help="A certificate of the key that signs bundles; repeat for several.",
)


@click.command()
@_file
@_json
def show(*, file: Path, as_json: bool) -> None:
    """Show what a bundle says, whoever signed it.

    Example: mohr trust show pilot.trust.json
    """
    data, now = read_file(file, limit=2 * MAX_BUNDLE_OCTETS), datetime.now(UTC)
    _tell(read_kept(data, now).signed if is_kept(data) else read_bundle(data, now), now, as_json=as_json)


@click.command()
@_file
@_signers
@_json
@click.pass_context
def check(ctx: click.Context, *, file: Path, signers: tuple[Path, ...], as_json: bool) -> None:
    """Check a bundle's signature, form and dates. Exit 0 current, 1 refused, 2 outdated.

    Example: mohr trust check pilot.trust.json --signer seal.pem
    """
    now = datetime.now(UTC)
    signed = load_bundle(file, load_files(signers), now)
    _tell(signed, now, as_json=as_json)
    ctx.exit(OUTDATED if signed.bundle.stamp().is_outdated(now) else ExitStatus.OK)


@click.command()
@_file
@_signers
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="KEPT",
    help="The file that keeps the bundle; the one that it keeps already must be an earlier one.",
)
def keep(file: Path, signers: tuple[Path, ...], output: Path) -> None:
    """Keep a bundle to be relied on: the first by a signer that you name, later ones by whom the last one names.

    A bundle with an earlier number than the one that is kept, or with other content under the same, is refused.

    Example: mohr trust keep pilot.trust.json --signer seal.pem -o /etc/mohr/trust
    """
    check_writable(output)
    now, pinned = datetime.now(UTC), load_files(signers)
    if output.exists():
        held = read_kept(read_file(output, limit=2 * MAX_BUNDLE_OCTETS), now)
        signed = read_bundle(read_file(file, limit=MAX_BUNDLE_OCTETS), now)
        keys = frozenset(one.spki_sha256.hex() for one in pinned) or held.signed.next_signers
        kept = held.followed_by(signed.by(keys), now)
    else:
        kept = KeptBundle(signed=load_bundle(file, pinned, now), accepted=now)
    write_file(output, kept.octets())
    _tell(kept.signed, now, as_json=False)


def _tell(signed: SignedBundle, now: datetime, *, as_json: bool) -> None:
    said = describe(signed, now)
    if as_json:
        click.echo(json.dumps(said, ensure_ascii=False))
        return
    for name in ("name", "sequence", "issued", "next_update", "age_days", "outdated", "signer", "sha256"):
        click.echo(f"{name}: {said[name]}")
    for anchor in said["anchors"]:
        limits = ", ".join((*anchor["purposes"], *anchor["policies"]))
        click.echo(f"anchor: {anchor['subject']} {anchor['sha256']} ({limits})")
    for name, keys in said["clusters"].items():
        click.echo(f"cluster {name}: {', '.join(keys)}")
    click.echo(f"intermediates: {said['intermediates']}, CRLs: {said['crls']}, OCSP answers: {said['ocsp']}")


def describe(signed: SignedBundle, now: datetime) -> dict[str, Any]:
    """Say what a bundle holds, and how old it is."""
    bundle, stamp = signed.bundle, signed.bundle.stamp()
    return {
        "name": bundle.name,
        "sequence": bundle.sequence,
        "issued": format_instant(bundle.issued),
        "next_update": format_instant(bundle.next_update),
        "age_days": stamp.age(now).days,
        "outdated": stamp.is_outdated(now),
        "signer": signed.signer.spki_sha256.hex(),
        "next_signers": sorted(signed.next_signers),
        "sha256": stamp.sha256,
        "anchors": [
            {
                "subject": readable_name(anchor.certificate.subject_der),
                "sha256": anchor.certificate.sha256.hex(),
                "policies": sorted(anchor.limits.policies),
                "purposes": sorted(anchor.limits.purposes),
            }
            for anchor in bundle.anchors
        ],
        "intermediates": len(bundle.intermediates),
        "clusters": {name: sorted(keys) for name, keys in sorted(bundle.clusters.items())},
        "arc": bundle.arc,
        "crls": len(bundle.crls),
        "ocsp": len(bundle.ocsp_responses),
    }
