"""Keys and certificates of a deployment's own services, made by its authorities before it opens."""

from ca.ceremony.grammar import DEFAULT_RSA_BITS, SERVICE
from ca.ceremony.key_steps import bind, ensure_key
from ca.ceremony.register import Notes, Order, Register
from ca.hierarchy import BARE_KEYS, SERVICES
from hsm.provider import KeyProvider, KeyPurpose
from pki.audit import AuditAction
from pki.keys import SignatureAlgorithm


def make_services(register: Register, keys: KeyProvider, notes: Notes) -> dict[str, str]:
    """Make responders', time-stamping, seal and token keys and their certificates; return serial numbers by name.

    Done again, what is there is taken. Conflict where an authority has no certificate yet.
    """
    there = {key.label: key for key in keys.keys()}
    certified = [(one.name, SignatureAlgorithm.ES256, one.purpose) for one in SERVICES]
    for label, algorithm, purpose in (*certified, *BARE_KEYS):
        ensure_key(keys, there.get(label), label, algorithm, purpose, DEFAULT_RSA_BITS)
        register.tell_once(AuditAction.KEY_GENERATED, label, token=SERVICE)
    serials: dict[str, str] = {}
    for service in SERVICES:
        issuer, issuer_label = register.issuer(service.issuer)
        issuer = issuer.signing_with(keys.signing_key(issuer_label).algorithm)
        if service.purpose is KeyPurpose.OCSP:
            bind(keys, service.name, issuer)
        order = Order(
            holder=service.name,
            profile=service.profile,
            common_name=service.common_name,
            public_key=keys.signing_key(service.name).public_key(),
            key_label=service.name,
        )
        serials[service.name] = register.certify(order, issuer, keys, issuer_label, notes).serial_hex
    return serials
