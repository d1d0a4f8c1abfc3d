"""Officers, roles and realms as JSON, the same from commands and the API; national codes stay inside."""

from typing import Any

from ca.officers.realms import Realm
from ca.officers.records import Grant, OfficerRecord, RoleRequest
from ca.officers.scopes import Names, Scope
from pki.instants import format_instant


def _names(names: Names) -> list[str] | None:
    return None if names is None else sorted(names)


def scope_members(scope: Scope) -> dict[str, Any]:
    """Write a scope; null is all there are."""
    return {"professions": _names(scope.professions), "provinces": _names(scope.provinces)}


def realm_members(realm: Realm) -> dict[str, Any]:
    """Write a realm."""
    return {"id": realm.id, "parent": realm.parent, "level": realm.level.value, "name": realm.name} | scope_members(
        realm.scope
    )


def grant_members(grant: Grant) -> dict[str, Any]:
    """Write a role in a realm."""
    return {"role": grant.role.value, "realm": grant.realm} | scope_members(grant.scope)


def officer_members(officer: OfficerRecord) -> dict[str, Any]:
    """Write an officer and the roles held."""
    return {
        "id": officer.id,
        "name": officer.name,
        "realm": officer.realm,
        "state": officer.state.value,
        "roles": [grant_members(grant) for grant in officer.grants],
    }


def request_members(request: RoleRequest) -> dict[str, Any]:
    """Write a request for a role."""
    return {
        "id": request.id,
        "officer": request.officer,
        **grant_members(request.grant),
        "state": request.state.value,
        "requested_by": request.requested_by,
        "requested_at": format_instant(request.requested_at),
        "decided_by": request.decided_by,
    }
