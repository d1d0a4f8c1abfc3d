"""Whose connection ends when all places are taken: whoever holds the most makes room.

Places are shared between roles, and within a role between processes: a process that opens connections without
end, whatever it does with them, costs itself its oldest ones and nobody else a place.
"""

from collections import Counter
from collections.abc import Collection

from hsm.custodian.connection import Connection


def makes_room(connections: Collection[Connection], newcomer: Connection) -> Connection | None:
    """Return the connection that ends for `newcomer`; None when the newcomer is to go instead."""
    roles = Counter(connection.role for connection in connections)
    role = max(roles, key=lambda name: (roles[name], name == newcomer.role))
    of_role = [connection for connection in connections if connection.role == role]
    processes = Counter(connection.pid for connection in of_role)
    most = max(processes.values())
    own = processes[newcomer.pid] if role == newcomer.role else 0
    if roles[role] > roles[newcomer.role] + 1 or (role == newcomer.role and most > own + 1):
        candidates = [connection for connection in of_role if processes[connection.pid] == most]
    else:
        candidates = [
            connection
            for connection in of_role
            if (connection.pid == newcomer.pid if own == most else processes[connection.pid] == most)
            and (connection.out or not connection.busy)
        ]
    return min(candidates, key=_worth, default=None)


def _worth(connection: Connection) -> tuple[int, float]:
    """Order connections: never asked anything, does not take its answers, idle, busy; the longest so first."""
    if connection.out:
        worth = 1
    elif connection.busy:
        worth = 3
    else:
        worth = 2 if connection.served else 0
    return worth, connection.last_active
