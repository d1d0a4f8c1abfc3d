"""Officers for tests of what stands behind the gate."""

from datetime import timedelta
from typing import NoReturn

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from sqlalchemy import insert

from ca.officers import repository
from ca.officers.identity import Act, Officer, Role
from ca.officers.realms import Level, Realm
from ca.officers.records import Grant, OfficerRecord, OfficerState
from ca.officers.scopes import Scope
from ca.tables import certificates
from hsm.private_files import write_private
from pki.certificates import Certificate, pem
from pki.clock import Clock
from storage.engine import Database
from storage.unit_of_work import UnitOfWork
from webapp.deployment import Deployment
from webapp.officers import CERTIFICATE_FILE, KEY_FILE, officer_folder


class EveryOfficer:
    """A gate that lets everybody do everything by name; the real one has tests of its own."""

    def of_peer(self, certificate_der: bytes | None) -> NoReturn:
        raise NotImplementedError

    def of_statement(self, data: bytes, signature: bytes, certificate_der: bytes) -> NoReturn:
        raise NotImplementedError

    def allow(
        self,
        officer: Officer,
        act: Act,
        scope: Scope,
        unit: UnitOfWork,
        *,
        realm: str | None = None,
        subject: str = "",
        digest: str = "",
    ) -> None:
        return


def plant_officer(
    deployment: Deployment, database: Database, officer_id: str, roles: tuple[Role, ...], clock: Clock
) -> None:
    """Write an officer into a register without authorities, as if the ceremony had; the certificate is self-signed."""
    key, now = ec.generate_private_key(ec.SECP256R1()), clock.now()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, officer_id)])
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    before, after = now - timedelta(minutes=5), now + timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), before, after)
    made = builder.add_extension(usage, critical=False).sign(key, hashes.SHA256())
    certificate = Certificate.parse(made.public_bytes(serialization.Encoding.DER))
    with database.begin() as unit:
        connection = unit.connection
        connection.execute(
            insert(certificates).values(
                serial=certificate.serial_hex,
                issuer="persons",
                profile="officer-auth",
                holder=officer_id,
                name=officer_id,
                state="good",
                status_version=1,
                shard=0,
                unapproved=True,
                spki_sha256=bytes(32),
                tbs_sha256=bytes(32),
                not_before=certificate.not_before,
                not_after=certificate.not_after,
                requested_by="a test",
                intended_at=now,
                issued_at=now,
                der=certificate.der,
            )
        )
        repository.insert_realm(connection, Realm(id="ministry", parent=None, level=Level.MINISTRY, name="Ministry"))
        officer = OfficerRecord(
            id=officer_id, name=officer_id, national_code=None, realm="ministry", state=OfficerState.ACTIVE
        )
        repository.insert_officer(connection, officer, "a test", now)
        repository.bind(connection, officer_id, certificate.sha256, certificate.serial_hex, "a test", now)
        for role in roles:
            repository.give(connection, officer_id, Grant(role=role, realm="ministry"), now)
    folder = officer_folder(deployment, officer_id)
    folder.mkdir(parents=True)
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    write_private(folder / KEY_FILE, key.private_bytes(serialization.Encoding.PEM, form, plain))
    write_private(folder / CERTIFICATE_FILE, pem(certificate.der).encode())
