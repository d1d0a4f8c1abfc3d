"""What only the root's key can do to status: revoke an issuing CA, and sign the root's own list.

Made where the root's key is, with its provider; the running service has no such desk.
"""

from datetime import datetime

from ca.profiles import IssuerName, ProfileName
from ca.records import CertificateRecord
from ca.status.crl import PublishedCrl
from ca.status.crl_desk import CrlDesk
from ca.status.revocation_desk import RevocationDesk
from pki.errors import ErrorCode, NotAllowed


class RootDesk(CrlDesk, RevocationDesk):
    """Use cases of the root; `revoke` is for the certificates of issuing CAs alone."""

    def _check_date(self, since: datetime | None) -> None:
        """Take any date: the root's custodians agreed on it in their ceremony."""

    def _check_reach(self, record: CertificateRecord) -> None:
        if (record.issuer, record.profile) != (IssuerName.ROOT, ProfileName.ISSUING_CA):
            raise NotAllowed(ErrorCode.NOT_ALLOWED, "not an issuing CA's certificate by this root")

    def publish_root_crl(self, actor: str) -> PublishedCrl:
        """Sign and record the root's next list: a number that was never used, the gate of every list."""
        return self._sign_and_record(self._authority(IssuerName.ROOT), 0, actor)
