"""Steps of the pilot root: its certificate, those under it, its list, and the opening of a new deployment."""

from hashlib import sha256
from typing import Any

from ca.ceremony.grammar import (
    SERVICE,
    CertifyAuthority,
    CertifyRequest,
    CertifyRoot,
    OpenDeployment,
    RevokeAuthority,
    SignRootList,
)
from ca.ceremony.key_steps import bind
from ca.ceremony.register import Order
from ca.ceremony.room import StepRoom, actor_of
from ca.ceremony.services import make_services
from ca.hierarchy import authority_key
from ca.officers.identity import Officer
from ca.profiles import IssuerName, ProfileName
from ca.status.revocation import CertificateState
from ca.subjects import service_subject
from ca.tbs import Issuer
from hsm.private_files import write_private
from hsm.provider import KeyProvider, spki_of
from pki.certificates import Certificate, pem
from pki.csr import parse_csr
from pki.errors import Conflict, ErrorCode, NotFound, VerificationFailed
from pki.signatures import load_public_key

Facts = dict[str, Any]


def _told(certificate: Certificate) -> Facts:
    return {
        "serial": certificate.serial_hex,
        "sha256": certificate.sha256.hex(),
        "subject": certificate.subject,
        "not_after": certificate.not_after.isoformat(),
    }


def certify_root(step: CertifyRoot, room: StepRoom) -> Facts:
    """Sign the root's own certificate."""
    keys = room.keys(step.token)
    key = keys.signing_key(step.key)
    public_key = key.public_key()
    name = service_subject(room.home.settings, step.common_name).name
    issuer = Issuer.self_signed(IssuerName.ROOT, name, public_key).signing_with(key.algorithm)
    bind(keys, step.key, issuer)
    order = Order(
        holder=IssuerName.ROOT.value,
        profile=ProfileName.ROOT,
        common_name=step.common_name,
        public_key=public_key,
        authority=IssuerName.ROOT,
        key_label=step.key,
    )
    certificate = room.register().certify(order, issuer, keys, step.key, room.notes)
    room.home.publish_certificate(IssuerName.ROOT.value, certificate.der)
    return _told(certificate)


def _root(token: str, room: StepRoom) -> tuple[KeyProvider, Issuer, str]:
    """Return the root with its keys; VerificationFailed when the token has another root's."""
    issuer, label = room.register().issuer(IssuerName.ROOT)
    keys = room.keys(token)
    key = keys.signing_key(label)
    if spki_of(key.public_key()) != spki_of(issuer.public_key):
        raise VerificationFailed(ErrorCode.VERIFICATION_FAILED, f"the token {token} holds another root's key")
    return keys, issuer.signing_with(key.algorithm), label


def certify_authority(step: CertifyAuthority, room: StepRoom) -> Facts:
    """Certify the key of one of the deployment's authorities."""
    root_keys, root, root_label = _root(step.token, room)
    keys, label = room.keys(step.authority_token), authority_key(step.authority)
    order = Order(
        holder=step.authority.value,
        profile=ProfileName.ISSUING_CA,
        common_name=step.common_name,
        public_key=keys.signing_key(label).public_key(),
        authority=step.authority,
        key_label=label,
    )
    certificate = room.register().certify(order, root, root_keys, root_label, room.notes)
    bind(keys, label, Issuer.of(step.authority, certificate))
    room.home.publish_certificate(step.authority.value, certificate.der)
    return _told(certificate)


def certify_request(step: CertifyRequest, room: StepRoom) -> Facts:
    """Certify a second site's own issuing key; its name is the script's, never the request's."""
    request = parse_csr(room.read(step.request, "the second site's request"))
    root_keys, root, root_label = _root(step.token, room)
    order = Order(
        holder=step.common_name,
        profile=ProfileName.ISSUING_CA,
        common_name=step.common_name,
        public_key=load_public_key(request.spki_der),
        authority=step.authority,
    )
    certificate = room.register().certify(order, root, root_keys, root_label, room.notes)
    write_private(room.file(step.certificate), pem(certificate.der).encode())
    room.console.say(f"the certificate is at {room.file(step.certificate)}")
    return {**_told(certificate), "file": step.certificate}


def revoke_authority(step: RevokeAuthority, room: StepRoom) -> Facts:
    """Revoke an issuing CA's certificate with the root's token open: its custodians agreed."""
    keys, _root_issuer, _label = _root(step.token, room)
    desk = room.root_desk(keys)
    serial = room.notes.noted("revoking") or step.serial or _serial_of(step, room)
    if room.notes.noted("revoking") is None:
        if desk.get(serial).state is CertificateState.REVOKED:
            raise Conflict(ErrorCode.STATE_ILLEGAL, "this certificate was revoked before the ceremony")
        room.notes.note(revoking=serial)
    record = desk.get(serial)
    if record.state is not CertificateState.REVOKED:
        officer = Officer.of_deployment(actor_of(room.script))
        record = desk.revoke(serial, step.reason, officer, invalidity_date=step.invalidity_date)
    return {"serial": serial, "reason": step.reason.value, "certificate": record.name}


def _serial_of(step: RevokeAuthority, room: StepRoom) -> str:
    own = room.register().named().get(str(step.authority))
    if own is None:
        raise NotFound(ErrorCode.NOT_FOUND, f"this deployment has no authority {step.authority}")
    return Certificate.parse(own.der).serial_hex


def sign_root_list(step: SignRootList, room: StepRoom) -> Facts:
    """Sign the root's next list, unless this step did so and the list still says what the register says."""
    keys, _root_issuer, _label = _root(step.token, room)
    desk = room.root_desk(keys)
    latest = desk.latest_crl(IssuerName.ROOT, 0)
    before = room.notes.noted("before")
    if before is None:
        before = str(0 if latest is None else latest.number)
        room.notes.note(before=before)
    if latest is None or latest.number <= int(before) or desk.is_outdated(latest):
        latest = desk.publish_root_crl(actor_of(room.script))
    room.home.publish_crl(latest)
    return {
        "number": latest.number,
        "entries": latest.entries,
        "sha256": sha256(latest.der).hexdigest(),
        "next_update": latest.next_update.isoformat(),
    }


def open_deployment(_step: OpenDeployment, room: StepRoom) -> Facts:
    """Make the responders', time-stamping, seal and token keys and their certificates, then open the deployment."""
    keys = room.keys(SERVICE)
    serials = make_services(room.register(), keys, room.notes)
    room.home.open(keys)
    return {"certificates": serials}
