"""`mohr hsm adopt`: take over a key that the device has already, made by its vendor's tool or in the key store."""

import click

from hsm.custodian.config import Pkcs11Settings, load_settings
from hsm.key_uri import FileUri, ObjectType, Pkcs11Uri, parse_key_uri
from hsm.provider import KeyPurpose
from hsm.transit.settings import TransitSettings
from pki.errors import ErrorCode, InvalidInput
from pki.keys import SignatureAlgorithm
from webapp.commands.options import answer, home_option
from webapp.compose import running_custodian
from webapp.deployment import Deployment


def device_reference(uri: str, device: Pkcs11Settings | TransitSettings) -> bytes:
    """Return how the device knows the key of a URI: its CKA_ID, or its name and version; InvalidInput."""
    parsed = parse_key_uri(uri)
    if isinstance(parsed, FileUri):
        raise InvalidInput(ErrorCode.KEY_URI_MALFORMED, "a key in a file is not adopted")
    if isinstance(parsed, Pkcs11Uri) != isinstance(device, Pkcs11Settings):
        meant = "a token: pkcs11:id=%…" if isinstance(device, Pkcs11Settings) else "Transit: transit:NAME;version=N"
        raise InvalidInput(ErrorCode.KEY_URI_MALFORMED, f"the keys of this deployment are in {meant}")
    if not isinstance(parsed, Pkcs11Uri):
        return parsed.reference
    if parsed.id is None or parsed.type not in (None, ObjectType.PRIVATE):
        raise InvalidInput(ErrorCode.KEY_URI_MALFORMED, "a device's key is adopted by its id: pkcs11:id=%…")
    return parsed.id


@click.command()
@home_option
@click.argument("label")
@click.argument("uri")
@click.option("--algorithm", required=True, type=click.Choice([str(known) for known in SignatureAlgorithm]))
@click.option("--purpose", required=True, type=click.Choice([str(known) for known in KeyPurpose]))
def adopt(deployment: Deployment, label: str, uri: str, algorithm: str, purpose: str) -> None:
    """Record a key that the device has already as LABEL; refused unless the device says that it never leaves.

    Example: mohr hsm adopt ca-new 'pkcs11:id=%01%02' --algorithm ES256 --purpose certificate-authority
    """
    deployment.settings()
    reference = device_reference(uri, load_settings(deployment.custodian_config).device)
    with running_custodian(deployment) as custodian:
        custodian.adopt(label, reference, SignatureAlgorithm(algorithm), KeyPurpose(purpose))
        found = next(key for key in custodian.keys() if key.label == label)
    answer({"label": found.label, "id": found.id, "algorithm": str(found.algorithm), "purpose": str(found.purpose)})
