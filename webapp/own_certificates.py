"""The services' own certificates in files: what the mutual-TLS listener shows, whom it lets in, what AIA points to.

The listener reads its files anew for each connection, so a file that is replaced whole is all that a renewal takes:
connections that are open go on. It keeps its key: key and certificate never differ, and the key stays the server's.
"""

import logging
from pathlib import Path
from typing import Final

from ca.hierarchy import TSA
from ca.own_certificates import LISTENER
from ca.profiles import ISSUING_AUTHORITIES, IssuerName
from pki.certificates import Certificate, load_certificates, pem
from pki.errors import Conflict, ErrorCode, InvalidInput, NotFound
from webapp.atomic_files import publish_file
from webapp.compose import Parts

LOGGER: Final = logging.getLogger("mohr.services")


def renew_services(parts: Parts) -> tuple[str, ...]:
    """Renew what is due and put right the files; return the names of what was renewed."""
    _know_listener(parts)
    renewed = parts.authority.renew_services()
    for name in renewed:
        LOGGER.warning("certificate renewed", extra={"fields": {"service": name}})
    publish_own_files(parts)
    return renewed


def publish_own_files(parts: Parts) -> None:
    """Write each file that differs from what the register says; one that is the deployer's own stays."""
    deployment, authority = parts.deployment, parts.authority
    with deployment.publishing():
        write_listener_clients(parts)
        unit = authority.named_certificate(TSA)
        if unit is not None and _octets(deployment.certificate_file(TSA)) != unit:
            deployment.publish_certificate(TSA, unit)
        listener, shown = authority.named_certificate(LISTENER), shown_certificate(parts)
        if listener is None or shown is None:
            return
        if shown.spki_der == Certificate.parse(listener).spki_der:
            write_listener_chain(parts, listener)


def write_listener_clients(parts: Parts) -> None:
    """Have the listener let in whom the deployment's authorities certified."""
    names = [label.value for label in ISSUING_AUTHORITIES]
    above = (der for name in names for der in parts.authority.certificates_above(name))
    clients = "".join(map(pem, dict.fromkeys((*(certificate_of(parts, name) for name in names), *above)))).encode()
    if _octets(parts.deployment.exchange_clients) != clients:
        publish_file(parts.deployment.exchange_clients, clients)


def write_listener_chain(parts: Parts, der: bytes) -> None:
    """Have the listener show a certificate, with those between it and the anchor."""
    between = parts.authority.certificates_above(IssuerName.SYSTEMS)[:-1]
    chain = "".join(map(pem, (der, certificate_of(parts, IssuerName.SYSTEMS), *between))).encode()
    if _octets(parts.deployment.tls_certificate) != chain:
        publish_file(parts.deployment.tls_certificate, chain)


def certificate_of(parts: Parts, name: str) -> bytes:
    """Return the certificate of an authority or service; Conflict where the register has none."""
    found = parts.authority.named_certificate(name)
    if found is None:
        raise Conflict(ErrorCode.CONFLICT, f"the register has no certificate of {name}")
    return found


def _know_listener(parts: Parts) -> None:
    """Give a deployment of before renewal its listener's name in the register; a foreign certificate gets none."""
    shown = shown_certificate(parts)
    if shown is None or parts.authority.named_certificate(LISTENER) is not None:
        return
    try:
        record = parts.authority.get(shown.serial_hex)
    except NotFound:
        return
    if record.der == shown.der:
        parts.authority.name_listener(record.serial_hex)


def shown_certificate(parts: Parts) -> Certificate | None:
    """Return the certificate that the listener shows now, None where its file cannot be read."""
    data = _octets(parts.deployment.tls_certificate)
    try:
        return None if data is None else load_certificates(data)[0]
    except (InvalidInput, IndexError):
        return None


def _octets(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
