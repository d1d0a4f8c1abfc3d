"""What an officer sees of a list: the entries that their roles cover, the gate asked once for each scope and realm."""

from ca.officers.gate import OfficerGate
from ca.officers.identity import Act, Officer
from ca.officers.scopes import Scope
from pki.errors import ErrorCode, NotAllowed
from storage.unit_of_work import UnitOfWork


class Sight:
    """What one officer sees in one transaction; what the gate read for it stays so until its end."""

    def __init__(self, gate: OfficerGate, unit: UnitOfWork, officer: Officer, act: Act) -> None:
        self._gate, self._unit, self._officer, self._act = gate, unit, officer, act
        self._said: dict[tuple[Scope, str | None], bool] = {}

    def covers(self, scope: Scope, realm: str | None) -> bool:
        """Whether a role reaches so far; NotAllowed where the officer may not do the act at all."""
        asked = (scope, realm)
        if asked not in self._said:
            self._said[asked] = self._ask(scope, realm)
        return self._said[asked]

    def _ask(self, scope: Scope, realm: str | None) -> bool:
        try:
            self._gate.allow(self._officer, self._act, scope, self._unit, realm=realm)
        except NotAllowed as error:
            if error.code is not ErrorCode.SCOPE_EXCEEDED:
                raise
            return False
        return True
