"""Keeping house: what time ends, what must be renewed. Idempotent; a worker repeats it."""

from datetime import timedelta
from typing import Final

from ca import repository
from ca.context import responder_common_name, responder_name
from ca.issuing_desk import IssuingDesk
from ca.profiles import ProfileName

RESPONDER_RENEWAL: Final = timedelta(days=10)


class UpkeepDesk(IssuingDesk):
    """Use cases that nobody asks for."""

    def expire(self) -> int:
        """Note which certificates' validity has ended; return how many. What relying parties are told stays."""
        ended = 0
        while True:
            with self._database.begin() as unit:
                round_ended = len(repository.expire(unit.connection, self._now()))
            ended += round_ended
            if not round_ended:
                return ended

    def renew_responders(self) -> tuple[str, ...]:
        """Give each OCSP delegate whose certificate ends within ten days a new one for the same key; return names."""
        renewed = []
        for label, authority in self._authorities().items():
            responder = authority.responder
            if responder is None or responder.certificate.not_after - self._now() > RESPONDER_RENEWAL:
                continue
            name = responder_name(label)
            common_name = responder_common_name(label)
            issued = self.line.certify_service(name, common_name, ProfileName.OCSP, authority, responder.key_label)
            with self._database.begin() as unit:
                now = self._now()
                repository.name_certificate(unit.connection, name, issued.serial_hex, responder.key_label, now)
            self._forget_authorities()
            renewed.append(name)
        return tuple(renewed)
