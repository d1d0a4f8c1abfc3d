"""`mohr ca profiles`: what certificates are issued by, and whether a deployer's own set would be taken."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import click

from ca.profile_file import MAX_OCTETS, parse_profiles, pilot_profiles, profile_body, profile_members
from ca.profile_register import ProfileRegister
from ca.profile_rules import check_roles
from ca.profiles import CertificateProfile, ProfileSet
from pki.identity_file import pilot_identities
from pki.identity_scheme import IdentityScheme
from pki.oids import PILOT_ARC, OidArc
from signer.files import read_file
from webapp.commands.options import answer, file_argument, home_option
from webapp.compose import RealClock, authority_settings, identities_of, opened_database
from webapp.deployment import Deployment


def _set_of(deployment: Deployment) -> tuple[ProfileSet, OidArc]:
    """Return what a deployment issues by; where there is none, what a pilot would."""
    if not deployment.exists():
        return pilot_profiles(), OidArc()
    settings = authority_settings(deployment.settings())
    return settings.profiles, settings.oids


def _identities_of(deployment: Deployment) -> tuple[str, IdentityScheme]:
    if not deployment.exists():
        return PILOT_ARC, pilot_identities()
    settings = deployment.settings()
    return settings.oid_arc, identities_of(settings)


def _members(profile: CertificateProfile) -> dict[str, Any]:
    return {
        "profile": str(profile.name),
        "version": profile.version,
        "status": str(profile.status),
        "issuer": None if profile.issuer is None else str(profile.issuer),
        "holder": str(profile.holder),
        "key_usage": sorted(str(usage) for usage in profile.key_usage),
    }


@click.group("profiles", invoke_without_command=True)
@click.pass_context
@home_option
def profiles(context: click.Context, deployment: Deployment) -> None:
    """List the certificate profiles, a JSON object a line. Example: mohr ca profiles."""
    context.obj = deployment
    if context.invoked_subcommand is None:
        for profile in _set_of(deployment)[0]:
            answer(_members(profile))


@profiles.command("show")
@click.argument("name")
@home_option
def show_profile(deployment: Deployment, name: str) -> None:
    """Show all of one profile. Example: mohr ca profiles show clin-sign."""
    found, arc = _set_of(deployment)
    profile = found.get(name)
    digest = sha256(profile_body(profile)).hexdigest()
    answer(
        {"profile": str(profile.name), **profile_members(profile), "type": profile.type_under(arc), "sha256": digest}
    )


@profiles.command("check")
@file_argument
@home_option
def check_profiles(deployment: Deployment, file: Path) -> None:
    """Check a profile set, and what a deployment would record of it. Example: mohr ca profiles check profiles.toml."""
    there = deployment.exists()
    arc, scheme = _identities_of(deployment)
    found = parse_profiles(read_file(file, limit=MAX_OCTETS), arc)
    check_roles(found, scheme)
    new = tuple(found)
    if there:
        with opened_database(deployment) as (database, _ledger):
            new = ProfileRegister(database, RealClock()).check(found)
    answer(
        {
            "set": found.name,
            "sha256": found.digest.hex(),
            "profiles": len(found.profiles),
            "new": [f"{profile.name} {profile.version}" for profile in new],
        }
    )
