"""The leave that officers need for their orders, asked in the transaction that writes the intents.

Nobody orders a certificate of their own. A group is often one officer's: what the gate read for an officer stays so
until the transaction ends, so it answers once for each scope and realm.
"""

from contextlib import suppress
from dataclasses import dataclass, field

from ca.errors import FourEyesRequired
from ca.officers.gate import OfficerGate
from ca.officers.identity import Act, Officer
from ca.officers.scopes import Scope
from pki.errors import NotAllowed
from storage.engine import Database
from storage.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveWanted:
    """Who orders, and which file it is about; `digest` is the order's, for officers who signed a statement."""

    officer: Officer
    file_id: str
    holder: str = field(repr=False)
    scope: Scope
    realm: str | None
    digest: bytes


class Leave:
    """What the gate says in one transaction."""

    def __init__(self, gate: OfficerGate, unit: UnitOfWork) -> None:
        self._gate, self._unit = gate, unit
        self._said: dict[tuple[Officer, Scope, str | None], NotAllowed | None] = {}

    def ask(self, wanted: LeaveWanted) -> None:
        """Return when the officer may issue for this file now; NotAllowed as the gate's, `four-eyes` for their own."""
        self._ask_gate(wanted)
        if wanted.holder in (wanted.officer.id, wanted.officer.national_code):
            raise FourEyesRequired("nobody orders a certificate of their own", "officer.own-order")

    def _ask_gate(self, wanted: LeaveWanted) -> None:
        if wanted.officer.signed is not None:  # a statement speaks of one order, once
            self._ask(wanted)
            return
        key = (wanted.officer, wanted.scope, wanted.realm)
        if key not in self._said:
            try:
                self._ask(wanted)
            except NotAllowed as error:
                self._said[key] = error
            else:
                self._said[key] = None
        refused = self._said[key]
        if refused is not None:
            raise NotAllowed(refused.code, refused.detail, reason=refused.reason)

    def _ask(self, wanted: LeaveWanted) -> None:
        self._gate.allow(
            wanted.officer,
            Act.CERTIFICATE_ISSUE,
            wanted.scope,
            self._unit,
            realm=wanted.realm,
            subject=wanted.file_id,
            digest=wanted.digest.hex(),
        )


class _TakenBack(Exception):
    """Undo a transaction."""


def ask_ahead(database: Database, gate: OfficerGate, wanted: LeaveWanted) -> None:
    """Ask for leave before what is done ahead of an order; errors as `Leave.ask`.

    It binds nothing and uses up no signed statement: the order asks again.
    """
    with suppress(_TakenBack), database.begin() as unit:
        Leave(gate, unit).ask(wanted)
        raise _TakenBack
