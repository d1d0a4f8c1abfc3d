"""The certification authority as others see it: one object with all use cases.

In short:

    authority = CertificateAuthority(database, keys, settings, clock)
    file = authority.submit_file(json, officer)  # then authority.approve(file.id, …) by two others
    issued = authority.issue("clin-sign", file.id, csr, actor)
    authority.revoke(issued.serial_hex, RevocationReason.KEY_COMPROMISE, officer)
    authority.publish_all_crls()
"""

from ca.certificate_queries import certificates_above, named
from ca.registration_desk import RegistrationDesk
from ca.status.crl_desk import CrlDesk
from ca.status.ocsp_desk import OcspDesk
from ca.status.revocation_desk import RevocationDesk
from ca.upkeep_desk import UpkeepDesk


class CertificateAuthority(RegistrationDesk, RevocationDesk, CrlDesk, OcspDesk, UpkeepDesk):
    """All use cases of one deployment's authorities. Threads may share it; a process that forks makes its own."""

    def named_certificate(self, name: str) -> bytes | None:
        """Return the certificate (DER) that an authority or service uses now (`root`, `persons`, `tsa` …), or None."""
        with self._database.read() as connection:
            found = named(connection).get(name)
        return None if found is None else found.der

    def certificates_above(self, name: str) -> tuple[bytes, ...]:
        """Return the certificates (DER) above an authority's own, its issuer first and its anchor last."""
        with self._database.read() as connection:
            return certificates_above(connection, name)
