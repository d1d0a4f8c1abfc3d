"""`mohr ca identities`: professions, kinds of centres and roles of systems, and whether a scheme would be taken."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import click

from ca.identity_register import IdentityRegister
from pki.errors import ErrorCode, NotFound
from pki.identity_file import MAX_OCTETS, parse_identities, pilot_identities, role_members, scheme_body
from pki.identity_scheme import CodedRole, IdentityScheme
from pki.oids import OidArc
from signer.files import read_file
from webapp.commands.options import answer, file_argument, home_option
from webapp.compose import RealClock, identities_of, opened_database
from webapp.deployment import Deployment


def _scheme_of(deployment: Deployment) -> tuple[IdentityScheme, OidArc]:
    """Return what a deployment knows; where there is none, what a pilot would."""
    if not deployment.exists():
        return pilot_identities(), OidArc()
    settings = deployment.settings()
    return identities_of(settings), OidArc(arc=settings.oid_arc)


def _roles(scheme: IdentityScheme) -> Iterator[tuple[str, CodedRole]]:
    for kind, roles in (
        ("profession", scheme.professions),
        ("institution", scheme.institutions),
        ("technical-role", scheme.technical_roles),
    ):
        for role in roles.values():
            yield kind, role


@click.group("identities", invoke_without_command=True)
@click.pass_context
@home_option
def identities(context: click.Context, deployment: Deployment) -> None:
    """List professions, kinds of centres and roles of systems, a JSON object a line. Example: mohr ca identities."""
    if context.invoked_subcommand is None:
        scheme, arc = _scheme_of(deployment)
        for kind, role in _roles(scheme):
            answer({"kind": kind, "name": role.slug, "identifier": role.oid_under(arc), "retired": role.retired})


@identities.command("show")
@click.argument("name")
@home_option
def show_identity(deployment: Deployment, name: str) -> None:
    """Show all of one profession, kind or role. Example: mohr ca identities show pharmacist."""
    scheme, arc = _scheme_of(deployment)
    found = next(((kind, role) for kind, role in _roles(scheme) if role.slug == name), None)
    if found is None:
        raise NotFound(ErrorCode.NOT_FOUND, "no such profession, kind of centre or role of systems")
    kind, role = found
    members: dict[str, Any] = {"kind": kind, "name": role.slug, "identifier": role.oid_under(arc)}
    answer(members | role_members(role) | {"scheme": scheme.name, "version": scheme.version})


@identities.command("check")
@file_argument
@home_option
def check_identities(deployment: Deployment, file: Path) -> None:
    """Check a scheme, and whether a deployment would record it. Example: mohr ca identities check identities.toml."""
    _, arc = _scheme_of(deployment)
    found, new = parse_identities(read_file(file, limit=MAX_OCTETS), arc.arc), True
    if deployment.exists():
        with opened_database(deployment) as (database, _ledger):
            new = IdentityRegister(database, RealClock()).check(found)
    answer(
        {
            "scheme": found.name,
            "version": found.version,
            "sha256": sha256(scheme_body(found)).hexdigest(),
            "professions": len(found.professions),
            "institutions": len(found.institutions),
            "technical_roles": len(found.technical_roles),
            "new": new,
        }
    )
