"""`mohr ca officer` and `mohr ca realm`: who may do what; roles by two administrators, of whom it is neither's."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from ca.officers.desk import OfficerDesk
from ca.officers.gate import RegisterGate
from ca.officers.identity import Act, Officer, Role
from ca.officers.realms import Level, Realm
from ca.officers.records import Grant
from ca.officers.scopes import Scope
from pki.certificates import load_certificates, pem
from pki.errors import ErrorCode, InvalidInput
from pki.jose import json_object
from signer.files import read_file, write_file
from webapp.commands import officers_there
from webapp.commands.options import answer, file_argument, home_option, officer_option, output_option
from webapp.commands.served import served_by
from webapp.compose import RealClock, identities_of, opened_database, opened_parts
from webapp.deployment import Deployment
from webapp.founders import Founder, found_officer
from webapp.officer_documents import officer_members, realm_members, request_members
from webapp.officers import Signatory
from webapp.recovery_mark import recovery_guard_of

OPERATOR: Final = "operator"
MAX_OCTETS: Final = 64 * 1024
_Command = TypeVar("_Command", bound=Callable[..., Any])

_ID = click.argument("officer_id", metavar="ID")
_REQUEST = click.argument("request_id", metavar="REQUEST")
_ROLE = click.option("--role", type=click.Choice([role.value for role in Role]), required=True)
_REALM = click.option("--realm", required=True, metavar="ID", help="The realm that the role reaches.")
_CERTIFICATE = click.option("--cert", "certificate", type=click.Path(path_type=Path), required=True, metavar="PEM")


def _scope_options(command: _Command) -> _Command:
    said = "May be given several times; without it, all there are."
    command = click.option("--province", "provinces", multiple=True, metavar="NAME", help=said)(command)
    kinds = f"A profession, or citizen, centre, system. {said}"
    return click.option("--profession", "professions", multiple=True, metavar="NAME", help=kinds)(command)


def _scope(professions: tuple[str, ...], provinces: tuple[str, ...]) -> Scope:
    return Scope(
        professions=frozenset(professions) if professions else None,
        provinces=frozenset(provinces) if provinces else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Office:
    """The register of officers, and its gate."""

    gate: RegisterGate
    desk: OfficerDesk
    clock: RealClock

    def signed(self, officer: Signatory, act: Act, subject: str) -> Officer:
        return officer.say(self.gate, self.clock, act, subject=subject)


@contextmanager
def _opened(deployment: Deployment) -> Iterator[_Office]:
    with opened_database(deployment) as (database, _ledger):
        clock = RealClock()
        gate = RegisterGate(database, clock, waits=recovery_guard_of(deployment, database).check_act)
        desk = OfficerDesk(database, gate, clock, identities_of(deployment.settings()))
        yield _Office(gate=gate, desk=desk, clock=clock)


@click.group("officer")
def officer_group() -> None:
    """Enrol officers and give them roles. Example: mohr ca officer list."""


@officer_group.command("list")
@served_by(officers_there.list_officers, for_officers_there=True)
@home_option
def list_officers(deployment: Deployment) -> None:
    """List officers with their roles, a JSON object a line. Example: mohr ca officer list."""
    with _opened(deployment) as office:
        page = office.desk.officers()
        while page:
            for found in page:
                answer(officer_members(found))
            page = office.desk.officers(page[-1].id)


@officer_group.command("enrol")
@served_by(officers_there.enrol)
@home_option
@officer_option
@file_argument
def enrol(deployment: Deployment, officer: Signatory, file: Path) -> None:
    """Enrol an officer from a FILE: {"id": …, "name": …, "realm": …}, "national_code" where it is known.

    Example: mohr ca officer enrol nikan.json --officer clerk-parsa
    """
    members = json_object(read_file(file, limit=MAX_OCTETS))
    texts = {name: value for name, value in members.items() if isinstance(value, str)}
    if set(texts) != set(members) or not {"id", "name", "realm"} <= set(texts) <= {
        "id",
        "name",
        "realm",
        "national_code",
    }:
        raise InvalidInput(
            ErrorCode.INPUT_MALFORMED, "an officer has id, name, realm and perhaps national_code, all text"
        )
    with _opened(deployment) as office:
        by = office.signed(officer, Act.OFFICER_ENROL, texts["id"])
        record = office.desk.enrol(texts["id"], texts["name"], texts.get("national_code"), texts["realm"], by)
        answer(officer_members(record))


@officer_group.command("found")
@home_option
@output_option
@_ID
@click.option("--given-name", required=True)
@click.option("--surname", required=True)
@click.option("--csr", "csr_file", type=click.Path(path_type=Path), required=True, help="The officer's request.")
@click.option("--role", "roles", type=click.Choice([role.value for role in Role]), multiple=True, required=True)
def found(
    deployment: Deployment,
    output: Path | None,
    officer_id: str,
    given_name: str,
    surname: str,
    csr_file: Path,
    roles: tuple[str, ...],
) -> None:
    """Enrol one of the first three officers, with a certificate for their own key; the fourth needs four eyes.

    Example: mohr ca officer found akbari --given-name M --surname Akbari --csr a.csr --role approver -o a.pem
    """
    csr = read_file(csr_file, limit=MAX_OCTETS)
    kinds = tuple(map(Role, roles))
    founder = Founder(officer_id=officer_id, given_name=given_name, surname=surname, roles=kinds)
    with opened_parts(deployment) as parts:
        certificate = found_officer(parts, founder, csr, OPERATOR)
        if output is not None:
            write_file(output, pem(certificate).encode())
        answer({**officer_members(parts.officers.officer(officer_id)), "pem": pem(certificate)})


def _certificate(path: Path) -> bytes:
    return load_certificates(read_file(path, limit=MAX_OCTETS))[0].der


@officer_group.command("bind")
@served_by(officers_there.bind)
@home_option
@officer_option
@_ID
@_CERTIFICATE
def bind(deployment: Deployment, officer: Signatory, officer_id: str, certificate: Path) -> None:
    """Bind a certificate of the register to the officer whom it was issued to; not one's own.

    Example: mohr ca officer bind officer-nikan --cert nikan.pem --officer officer-akbari
    """
    der = _certificate(certificate)
    with _opened(deployment) as office:
        by = office.signed(officer, Act.OFFICER_BIND, officer_id)
        answer(officer_members(office.desk.bind(officer_id, der, by)))


@officer_group.command("suspend")
@served_by(officers_there.suspend)
@home_option
@officer_option
@_ID
@click.option("--reason", required=True, help="Why; it goes into the ledger.")
def suspend(deployment: Deployment, officer: Signatory, officer_id: str, reason: str) -> None:
    """Let an officer do nothing more until restored.

    Example: mohr ca officer suspend officer-nikan --reason "on leave" --officer officer-akbari
    """
    with _opened(deployment) as office:
        by = office.signed(officer, Act.OFFICER_SUSPEND, officer_id)
        answer(officer_members(office.desk.suspend(officer_id, by, reason)))


@officer_group.command("restore")
@served_by(officers_there.restore)
@home_option
@officer_option
@_ID
def restore(deployment: Deployment, officer: Signatory, officer_id: str) -> None:
    """Let a suspended officer act again. Example: mohr ca officer restore officer-nikan --officer officer-akbari."""
    with _opened(deployment) as office:
        by = office.signed(officer, Act.OFFICER_RESTORE, officer_id)
        answer(officer_members(office.desk.restore(officer_id, by)))


@officer_group.group("role")
def role_group() -> None:
    """Roles: asked for by one administrator, granted by another. Example: mohr ca officer role list."""


@role_group.command("list")
@served_by(officers_there.list_requests, for_officers_there=True)
@home_option
def list_requests(deployment: Deployment) -> None:
    """List what waits for a decision, oldest first, a JSON object a line. Example: mohr ca officer role list."""
    with _opened(deployment) as office:
        for request in office.desk.requests():
            answer(request_members(request))


@role_group.command("request")
@served_by(officers_there.request_role)
@home_option
@officer_option
@_ID
@_ROLE
@_REALM
@_scope_options
def request_role(
    deployment: Deployment,
    officer: Signatory,
    officer_id: str,
    role: str,
    realm: str,
    professions: tuple[str, ...],
    provinces: tuple[str, ...],
) -> None:
    """Ask for a role for another officer, within what one may do oneself.

    Example: mohr ca officer role request officer-nikan --role registrar --realm ministry --officer clerk-parsa
    """
    grant = Grant(role=Role(role), realm=realm, scope=_scope(professions, provinces))
    with _opened(deployment) as office:
        by = office.signed(officer, Act.ROLE_REQUEST, officer_id)
        answer(request_members(office.desk.request_role(officer_id, grant, by)))


@role_group.command("approve")
@served_by(officers_there.approve_role)
@home_option
@officer_option
@_REQUEST
def approve_role(deployment: Deployment, officer: Signatory, request_id: str) -> None:
    """Grant what another administrator asked for.

    Example: mohr ca officer role approve REQUEST --officer officer-akbari
    """
    with _opened(deployment) as office:
        by = office.signed(officer, Act.ROLE_APPROVE, request_id)
        answer(request_members(office.desk.approve_role(request_id, by)))


@role_group.command("refuse")
@served_by(officers_there.refuse_role)
@home_option
@officer_option
@_REQUEST
def refuse_role(deployment: Deployment, officer: Signatory, request_id: str) -> None:
    """Refuse what was asked for. Example: mohr ca officer role refuse REQUEST --officer officer-akbari."""
    with _opened(deployment) as office:
        by = office.signed(officer, Act.ROLE_REFUSE, request_id)
        answer(request_members(office.desk.refuse_role(request_id, by)))


@role_group.command("remove")
@served_by(officers_there.remove_role)
@home_option
@officer_option
@_ID
@_ROLE
@_REALM
def remove_role(deployment: Deployment, officer: Signatory, officer_id: str, role: str, realm: str) -> None:
    """Take a role away at once; one administrator suffices.

    Example: mohr ca officer role remove officer-nikan --role registrar --realm ministry --officer officer-akbari
    """
    with _opened(deployment) as office:
        by = office.signed(officer, Act.ROLE_REMOVE, officer_id)
        answer(officer_members(office.desk.remove_role(officer_id, Role(role), realm, by)))


@click.group("realm")
def realm_group() -> None:
    """Realms: ministry, university, hospital. Example: mohr ca realm list."""


@realm_group.command("list")
@served_by(officers_there.list_realms, for_officers_there=True)
@home_option
def list_realms(deployment: Deployment) -> None:
    """List the realms, a JSON object a line. Example: mohr ca realm list."""
    with _opened(deployment) as office:
        for realm in office.desk.realms():
            answer(realm_members(realm))


@realm_group.command("add")
@served_by(officers_there.add_realm)
@home_option
@officer_option
@click.argument("realm_id", metavar="ID")
@click.option("--parent", required=True, metavar="ID")
@click.option("--level", type=click.Choice([level.value for level in Level]), required=True)
@click.option("--name", required=True)
@_scope_options
def add_realm(
    deployment: Deployment,
    officer: Signatory,
    realm_id: str,
    parent: str,
    level: str,
    name: str,
    professions: tuple[str, ...],
    provinces: tuple[str, ...],
) -> None:
    """Add a realm below another, within its scope.

    Example: mohr ca realm add tums --parent ministry --level university --name TUMS --officer clerk-parsa
    """
    scope = _scope(professions, provinces)
    realm = Realm(id=realm_id, parent=parent, level=Level(level), name=name, scope=scope)
    with _opened(deployment) as office:
        by = office.signed(officer, Act.REALM_ADD, realm_id)
        answer(realm_members(office.desk.add_realm(realm, by)))
