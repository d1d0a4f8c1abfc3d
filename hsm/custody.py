"""The one door to a key by its URI: a file in tests, a device's key through its provider."""

from pathlib import Path

from hsm.errors import KeyNotFound
from hsm.key_uri import FileUri, ObjectType, Pkcs11Uri, TransitUri, parse_key_uri
from hsm.provider import KeyProvider
from hsm.soft import UnsafeSoftKey
from pki.errors import ErrorCode, InvalidInput
from pki.keys import SigningKey


def open_key(
    uri: str, *, provider: KeyProvider | None = None, password: bytes | None = None, production: bool = False
) -> SigningKey:
    """Return the signing key that `uri` names.

    `pkcs11:` keys are asked of `provider` by their object label, their id or both; the token is the one the
    provider serves. `transit:` keys are asked of it by name and version. `file:` keys (with `password` if
    encrypted) are NotAllowed in `production`.
    """
    parsed = parse_key_uri(uri)
    if isinstance(parsed, FileUri):
        return UnsafeSoftKey.load(Path(parsed.path), password, production=production)
    if isinstance(parsed, TransitUri):
        if parsed.version is None:
            raise InvalidInput(
                ErrorCode.KEY_URI_MALFORMED, "the URI names no version: keys are held by name and version"
            )
        parsed = Pkcs11Uri(id=parsed.reference)
    if parsed.type not in (None, ObjectType.PRIVATE) or (parsed.object is None and parsed.id is None):
        raise InvalidInput(ErrorCode.KEY_URI_MALFORMED, "the URI names no private key by object or id")
    if provider is None:
        raise KeyNotFound("there is no custodian here that holds device keys")
    return provider.signing_key(_label(parsed, provider))


def _label(uri: Pkcs11Uri, provider: KeyProvider) -> str:
    if uri.id is None and uri.object is not None:
        return uri.object
    wanted = uri.id.hex() if uri.id is not None else ""
    for info in provider.keys():
        if info.id == wanted and uri.object in (None, info.label):
            return info.label
    raise KeyNotFound("no key has this id")
