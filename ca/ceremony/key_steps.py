"""Steps on keys: generated, requested a certificate for, given one by a parent CA, read aloud."""

from contextlib import suppress
from hashlib import sha256
from typing import Any, Final

from cryptography.x509.oid import NameOID

from ca.ceremony.console import read_aloud
from ca.ceremony.errors import CeremonyStopped
from ca.ceremony.grammar import GenerateKey, InstallCertificate, ReadAloud, RequestCertificate
from ca.ceremony.room import StepRoom
from ca.hierarchy import bind_issuer
from ca.parents import Path, check_compatible, check_installable, read_certificate_file, requested_extensions
from ca.tbs import Issuer
from hsm.errors import KeyExists, KeyNotFound
from hsm.private_files import write_private
from hsm.provider import KeyInfo, KeyProvider, KeyPurpose, spki_of
from pki.audit import AuditAction
from pki.certificates import Certificate, pem
from pki.csr import build_request
from pki.errors import Conflict, ErrorCode
from pki.identity import build_name
from pki.keys import PublicKey, SignatureAlgorithm

Facts = dict[str, Any]
_ATTRIBUTES: Final = {
    "C": NameOID.COUNTRY_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "CN": NameOID.COMMON_NAME,
}


def generate_key(step: GenerateKey, room: StepRoom) -> Facts:
    """Generate a key, or take the one that this step generated before; KeyExists for any other of its label."""
    keys = room.keys(step.token)
    found = room.key(step.token, step.key)
    if room.notes.noted("generating") is None:
        if found is not None:
            raise KeyExists(step.key)
        room.notes.note(generating=step.key)
    public_key = ensure_key(keys, found, step.key, step.algorithm, step.purpose, step.bits)
    digest = sha256(spki_of(public_key)).hexdigest()
    room.register().tell_once(AuditAction.KEY_GENERATED, step.key, token=step.token, spki_sha256=digest)
    return {"token": step.token, "key": step.key, "algorithm": step.algorithm.value, "spki_sha256": digest}


def ensure_key(
    keys: KeyProvider,
    found: KeyInfo | None,
    label: str,
    algorithm: SignatureAlgorithm,
    purpose: KeyPurpose,
    bits: int,
) -> PublicKey:
    """Return the public half of a key, generated unless it is there; Conflict when it is of another kind."""
    if found is None:
        return keys.generate(label, algorithm, purpose, bits)
    if (found.algorithm, found.purpose) != (algorithm, purpose):
        raise Conflict(ErrorCode.CONFLICT, f"the key {label} is of another algorithm or purpose")
    return keys.signing_key(label).public_key()


def bind(keys: KeyProvider, label: str, issuer: Issuer) -> None:
    """Hold a key to its name; one that was held to a name before refuses to sign under any other."""
    with suppress(Conflict):
        bind_issuer(keys, label, issuer)


def request_certificate(step: RequestCertificate, room: StepRoom) -> Facts:
    """Write a request for a key, PEM; signed anew each time, as its signature tells nothing."""
    if room.key(step.token, step.key) is None:
        raise KeyNotFound(step.key)
    key = room.keys(step.token).signing_key(step.key)
    name = build_name(*((_ATTRIBUTES[kind], value) for kind, value in step.subject))
    wanted = () if step.authority is None else requested_extensions(step.authority, room.home.settings)
    request = build_request(key, name, wanted)
    write_private(room.file(step.file), pem(request, "CERTIFICATE REQUEST").encode())
    room.console.say(f"the request is at {room.file(step.file)}")
    return {
        "file": step.file,
        "sha256": sha256(request).hexdigest(),
        "subject": dict(step.subject),
        "spki_sha256": sha256(spki_of(key.public_key())).hexdigest(),
    }


def install_certificate(step: InstallCertificate, room: StepRoom) -> Facts:
    """Check what a parent CA issued, have its anchor read aloud, and take it into the register."""
    certificate = read_certificate_file(step.certificate, room.read(step.certificate, "the certificate"))[0]
    chain = read_certificate_file(step.chain, room.read(step.chain, "the chain above it"))
    key = room.keys(step.token).signing_key(step.key)
    register = room.register()
    present = register.named().get(step.authority.value) if step.authority is not None else None
    own = None if present is None else Certificate.parse(present.der)
    name = own.subject_der if own is not None else _requested_name(step, room)
    path = Path(own=certificate, above=chain)
    check_installable(path, spki_of(key.public_key()), name, room.clock.now(), present=own)
    if step.authority is not None:
        check_compatible(path, step.authority, room.home.settings)
    read_aloud(room.console, f"the parent's anchor, {chain[-1].subject}", chain[-1].sha256, room.witness)
    if step.authority is not None:
        bind(room.keys(step.token), step.key, Issuer.of(step.authority, certificate))
        register.install(step.authority, path, step.key)
        room.home.publish_certificate(step.authority.value, certificate.der)
    return {
        "key": step.key,
        "serial": certificate.serial_hex,
        "sha256": certificate.sha256.hex(),
        "issuer": certificate.issuer,
        "anchor_sha256": chain[-1].sha256.hex(),
    }


def _requested_name(step: InstallCertificate, room: StepRoom) -> bytes:
    """Return the subject that this ceremony requested for the key."""
    for other in room.script.steps:
        if isinstance(other, RequestCertificate) and (other.token, other.key) == (step.token, step.key):
            return build_name(*((_ATTRIBUTES[kind], value) for kind, value in other.subject)).public_bytes()
    raise CeremonyStopped("no certificate was requested for this key")


def read_fingerprint(step: ReadAloud, room: StepRoom) -> Facts:
    """Have a fingerprint read aloud and confirmed."""
    what, digest = _fingerprint(step, room)
    read_aloud(room.console, what, digest, room.witness)
    return {"what": what, "sha256": digest.hex(), "confirmed_by": room.witness}


def _fingerprint(step: ReadAloud, room: StepRoom) -> tuple[str, bytes]:
    if step.certificate is not None:
        data = room.read(step.certificate, "the certificate")
        return step.certificate, read_certificate_file(step.certificate, data)[0].sha256
    if step.authority is not None:
        own = room.register().named().get(step.authority.value)
        if own is None:
            raise CeremonyStopped(f"the {step.authority} has no certificate yet")
        return f"the certificate of {step.authority}", Certificate.parse(own.der).sha256
    token, label = str(step.token), str(step.key)
    public_key = room.keys(token).signing_key(label).public_key()
    return f"the public key {label}", sha256(spki_of(public_key)).digest()
