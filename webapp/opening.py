"""What a deployment needs beside its authorities before it serves anyone: published files, lists, listener, ledger key.

Done again after a crash, it does what is missing and publishes the rest once more.
"""

from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ca.hierarchy import CHECKPOINT_KEY, TSA
from ca.profiles import ISSUING_AUTHORITIES, IssuerName
from ca.tokens.registry_file import default_centres, registry_json
from pki.certificates import pem
from pki.errors import Conflict, ErrorCode
from pki.notes import VerifierKey
from webapp.atomic_files import publish_file, write_atomically
from webapp.compose import Parts
from webapp.listener_key import make_listener
from webapp.own_certificates import certificate_of, publish_own_files


def open_for_service(parts: Parts, actor: str) -> None:
    """Publish what is in the register, and make what the service's own keys can make by themselves."""
    parts.adopt_profiles()
    publish_authorities(parts)
    deployment = parts.deployment
    if not deployment.registry.exists():
        write_atomically(deployment.registry, registry_json(default_centres(parts.clock.now())))
    if not deployment.tls_certificate.exists():
        make_listener(parts, actor)
    for crl in parts.authority.publish_all_crls():
        parts.publish(crl)
    parts.authority.presign()
    _publish_ledger_key(parts)
    parts.seal_ledger()


def publish_authorities(parts: Parts) -> None:
    """Publish the authorities' certificates, those above them, the anchors, and whom the listener lets in."""
    deployment, authority = parts.deployment, parts.authority
    names = [label.value for label in ISSUING_AUTHORITIES]
    above = [authority.certificates_above(name) for name in names]
    root = authority.named_certificate(IssuerName.ROOT)
    for name in (*names, TSA):
        deployment.publish_certificate(name, certificate_of(parts, name))
    for der in dict.fromkeys(der for path in above for der in path[:-1]):
        deployment.publish_certificate(f"parent-{sha256(der).hexdigest()[:16]}", der)
    anchors = dict.fromkeys((*(() if root is None else (root,)), *(path[-1] for path in above if path)))
    publish_file(deployment.anchor, "".join(map(pem, anchors)).encode())
    if root is not None:
        _publish_root(parts, root)
    publish_own_files(parts)


def _publish_root(parts: Parts, root: bytes) -> None:
    parts.deployment.publish_certificate(IssuerName.ROOT.value, root)
    crl = parts.authority.latest_crl(IssuerName.ROOT, 0)
    if crl is None:
        raise Conflict(ErrorCode.CONFLICT, "the root has signed no list")
    parts.publish(crl)


def _publish_ledger_key(parts: Parts) -> None:
    public_key = parts.keys.signing_key(CHECKPOINT_KEY).public_key()
    if not isinstance(public_key, Ed25519PublicKey):
        raise Conflict(ErrorCode.KEY_REFUSED, "the ledger's seal key is not Ed25519")
    name = f"{parts.settings.public_host}/ledger"
    publish_file(parts.deployment.ledger_key, f"{VerifierKey(name=name, public_key=public_key)}\n".encode())
