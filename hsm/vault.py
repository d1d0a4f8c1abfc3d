"""Keys in a Transit engine of HashiCorp Vault or OpenBao. The only file that imports `hvac`.

A key is known by name and version, `NAME:VERSION`: rotating it on the server changes nothing until a person
adopts the new version. Digests go to the server, messages only for Ed25519, which has no digest of its own.
Single-threaded.
"""

import base64
import contextlib
import logging
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from hvac.api.auth_methods import AppRole, Token
from hvac.api.secrets_engines import Transit

from hsm.device.contract import Generated, check_inputs
from hsm.errors import (
    ConfigurationInvalid,
    DeviceLost,
    HsmUnavailable,
    KeyAbsent,
    KeyMismatch,
    MechanismRefused,
    PinIncorrect,
)
from hsm.key_uri import TransitUri, transit_key
from hsm.pin import Pin
from hsm.private_files import read_private_line
from hsm.transit.answers import TransitKey, check_made_by, key_type, read_key, read_signature
from hsm.transit.http import BoundedHttp, RequestRefused, printable
from hsm.transit.settings import AppRoleFiles, TransitSettings
from pki.errors import ServiceError
from pki.keys import PublicKey, SignatureAlgorithm

# Each below what the front grants, so that a server that hangs is told from a process that does.
OPEN_SECONDS: Final = 1.0
CALL_SECONDS: Final = 0.65
ITEM_SECONDS: Final = 0.01
GENERATE_SECONDS: Final = 50.0
_LOG_OUT_SECONDS: Final = 0.2

MAX_INPUT_OCTETS: Final = 16 * 1024 * 1024  # a server's own bound is 32 MiB, and base64 adds a third
_MAX_CREDENTIAL_OCTETS: Final = 4096
_RENEW_AFTER: Final = 2 / 3
_SECONDS_BETWEEN_LOGINS: Final = 1.0
_WRONG_CREDENTIAL: Final = re.compile(r"invalid (role|secret)", re.IGNORECASE)

_PARAMETERS: Final[dict[SignatureAlgorithm, dict[str, Any]]] = {
    SignatureAlgorithm.ES256: {"prehashed": True, "hash_algorithm": "sha2-256"},
    SignatureAlgorithm.ES384: {"prehashed": True, "hash_algorithm": "sha2-384"},
    SignatureAlgorithm.RS256: {
        "prehashed": True,
        "hash_algorithm": "sha2-256",
        "signature_algorithm": "pkcs1v15",
    },
    SignatureAlgorithm.PS256: {
        "prehashed": True,
        "hash_algorithm": "sha2-256",
        "signature_algorithm": "pss",
        "salt_length": "hash",
    },
    SignatureAlgorithm.EDDSA: {},
}

_log = logging.getLogger("hsm.vault")


class TransitDevice:
    """The keys of one Transit engine, behind one login."""

    def __init__(
        self,
        settings: TransitSettings,
        *,
        monotonic: Callable[[], float],
        random_octets: Callable[[int], bytes],
    ) -> None:
        self._settings, self._monotonic, self._random_octets = settings, monotonic, random_octets
        self._login: _Login | None = None
        self._shown: dict[tuple[bytes, SignatureAlgorithm], PublicKey] = {}

    def open(self) -> None:
        """Connect and log in anew.

        PinIncorrect only when the server itself calls the AppRole's credential wrong. A token that it does not
        accept is HsmUnavailable: whoever keeps the token file may replace it at any time.
        """
        self.close()
        http = BoundedHttp(self._settings, self._monotonic)
        http.begin(OPEN_SECONDS)
        login = _Login(self._settings, http, self._monotonic)
        try:
            login.log_in()
        except ServiceError:
            http.close()
            raise
        self._login = login

    def close(self) -> None:
        """Revoke the token if it is ours alone, and disconnect."""
        login, self._login = self._login, None
        self._shown.clear()
        if login is not None:
            login.end()

    def public_key(self, reference: bytes, algorithm: SignatureAlgorithm) -> PublicKey:
        """Read the public half of the version that `reference` pins; the first one read since the opening signs."""
        key, version = _pinned(reference)
        public_key = self._read_key(key.name).public_key(version, algorithm)
        self._shown.setdefault((reference, algorithm), public_key)
        return public_key

    def attributes(self, reference: bytes) -> Mapping[str, str | int | bool]:
        """Return what the server says of a key; of its latest version when `reference` pins none."""
        key = transit_key(reference)
        described = self._read_key(key.name)
        version = described.latest_version if key.version is None else key.version
        pinned = TransitUri(name=key.name, version=version)
        return {"reference": pinned.reference.decode(), **described.attributes(version)}

    def generate(self, label: str, algorithm: SignatureAlgorithm, rsa_bits: int) -> Generated:
        """Have a key made that is never handed out.

        Its name is the label and a random end, for the server takes an order to make a key that is there
        already as done.
        """
        key = TransitUri(name=f"{label}-{self._random_octets(8).hex()}", version=1)
        kind = key_type(algorithm, rsa_bits)
        guarded = {"derived": False, "exportable": False, "allow_plaintext_backup": False}
        mount = self._settings.mount
        try:
            said = self._call(
                GENERATE_SECONDS,
                lambda login: login.transit.create_key(key.name, key_type=kind, mount_point=mount, **guarded),
            )
        except RequestRefused as error:
            raise MechanismRefused(f"the server refuses to make the key: {error.reason}") from error
        # Older servers answer without the key; a standby that handed the order on does not know it yet.
        made = read_key(said) if said else self._read_key(key.name)
        if not made.never_leaves or made.deletion_allowed or made.latest_version != 1:
            raise MechanismRefused(f"the server does not promise that the key {key.name} stays inside")
        return Generated(key.reference, made.public_key(1, algorithm))

    def sign(self, reference: bytes, algorithm: SignatureAlgorithm, inputs: Sequence[bytes]) -> list[bytes]:
        """Sign in as few requests as `batch` allows; all or none.

        A server takes a key by its name, so one that was made anew under an old name would sign without a word:
        a signature of each request is checked against the public half that was shown after the opening.
        """
        key, version = _pinned(reference)
        check_inputs(algorithm, inputs)
        if sum(map(len, inputs)) > MAX_INPUT_OCTETS:
            raise MechanismRefused(f"Transit is given at most {MAX_INPUT_OCTETS} octets to sign")
        deadline = self._monotonic() + CALL_SECONDS + ITEM_SECONDS * len(inputs)
        shown = self._shown.get((reference, algorithm)) or self.public_key(reference, algorithm)
        signatures: list[bytes] = []
        for start in range(0, len(inputs), self._settings.batch):
            part = inputs[start : start + self._settings.batch]
            texts = self._sign_part(key, algorithm, part, deadline - self._monotonic())
            made = [read_signature(text, version, algorithm, self._settings.marshaling) for text in texts]
            check_made_by(shown, algorithm, part[0], made[0])
            signatures += made
        return signatures

    def _sign_part(
        self, key: TransitUri, algorithm: SignatureAlgorithm, part: Sequence[bytes], seconds: float
    ) -> list[object]:
        encoded = [base64.b64encode(data).decode() for data in part]
        what: dict[str, Any] = (
            {"hash_input": encoded[0]} if len(encoded) == 1 else {"batch_input": [{"input": text} for text in encoded]}
        )
        try:
            data = self._call(
                seconds,
                lambda login: login.transit.sign_data(
                    key.name,
                    key_version=key.version,
                    marshaling_algorithm=str(self._settings.marshaling),
                    mount_point=self._settings.mount,
                    **what,
                    **_PARAMETERS[algorithm],
                ),
            )
        except RequestRefused as error:
            raise _sign_error(error.reason) from error
        return [data.get("signature")] if len(encoded) == 1 else _batch_results(data, len(encoded))

    def _read_key(self, name: str) -> TransitKey:
        try:
            data = self._call(
                CALL_SECONDS, lambda login: login.transit.read_key(name, mount_point=self._settings.mount)
            )
        except RequestRefused as error:
            if error.status == 404 and not error.reason:
                raise KeyAbsent(f"the key {name} is not in the server") from error
            raise MechanismRefused(f"the server refuses to describe the key: {error.reason}") from error
        return read_key(data)

    def _call(self, seconds: float, ask: Callable[["_Login"], Any]) -> dict[str, Any]:
        """Ask with a login that is not about to end, once more with a new one when the server forbids it.

        Returns the `data` of the answer. RequestRefused for what the server refuses for other reasons.
        """
        login = self._login
        if login is None:
            raise DeviceLost("not connected")
        login.http.begin(seconds)
        login.keep()
        try:
            return _data(ask(login))
        except RequestRefused as error:
            if error.status != 403:
                raise
            refused = error
        if login.renew_after_refusal():
            try:
                return _data(ask(login))
            except RequestRefused as error:
                if error.status != 403:
                    raise
        raise HsmUnavailable("the server forbids this to the custodian's login: its policy lacks a path") from refused


class _Login:
    """The token that our requests carry: obtained, renewed at two thirds of its lease, obtained again."""

    def __init__(self, settings: TransitSettings, http: BoundedHttp, monotonic: Callable[[], float]) -> None:
        self._auth, self.http, self._monotonic = settings.auth, http, monotonic
        self.transit = Transit(http)
        self._approle, self._tokens = AppRole(http), Token(http)
        self._logged_in_at = -math.inf
        self._granted_seconds = 0.0
        self._renewable = False
        self._renew_at = math.inf

    def log_in(self) -> None:
        """Get a token by AppRole, or read the token file anew and ask whether the token is good."""
        if isinstance(self._auth, AppRoleFiles):
            lease, renewable = self._log_in_by_approle(self._auth)
        else:
            lease, renewable = self._log_in_by_token(self._auth.token_file)
        self._logged_in_at = self._monotonic()
        self._granted_seconds = lease
        self._expect_end(lease, renewable=renewable)

    def _log_in_by_approle(self, files: AppRoleFiles) -> tuple[float, bool]:
        with _credential(files.role_id_file) as role_id, _credential(files.secret_id_file) as secret_id:
            try:
                answer = self._approle.login(
                    role_id.reveal(), secret_id.reveal(), use_token=False, mount_point=files.mount
                )
            except RequestRefused as error:
                if error.status == 400 and _WRONG_CREDENTIAL.search(error.reason):
                    raise PinIncorrect("the server says that the role id or the secret id is wrong") from error
                raise HsmUnavailable(f"the server refuses the AppRole login with {error.status}") from error
        auth = _member(answer, "auth")
        token = auth.get("client_token")
        if not isinstance(token, str) or not token:
            raise DeviceLost("the server's answer to the login is malformed")
        self.http.token = token
        return _lease(auth, "lease_duration")

    def _log_in_by_token(self, path: Path) -> tuple[float, bool]:
        with _credential(path) as token:
            self.http.token = token.reveal()
        try:
            return _lease(_member(self._tokens.lookup_self(), "data"), "ttl")
        except RequestRefused as error:
            raise HsmUnavailable(f"the server does not accept the token: {error.status}") from error

    def _expect_end(self, lease: float, *, renewable: bool) -> None:
        self._renewable = renewable
        self._renew_at = self._monotonic() + lease * _RENEW_AFTER if lease > 0 else math.inf

    def keep(self) -> None:
        """Renew the token, or log in again, when two thirds of its lease are over.

        What fails here is not the caller's trouble: the token is still good for a third of its lease.
        """
        if self._monotonic() < self._renew_at:
            return
        try:
            if not (self._renewable and self._renewed()):
                self.log_in()
        except ServiceError as error:
            _log.warning("the login could not be renewed: %s", error.detail)
            self._renew_at = self._monotonic() + _SECONDS_BETWEEN_LOGINS

    def _renewed(self) -> bool:
        """Renew; False when the server does not, or grants no more than half: the token nears its maximum."""
        try:
            lease, renewable = _lease(_member(self._tokens.renew_self(), "auth"), "lease_duration")
        except DeviceLost:
            raise
        except (RequestRefused, HsmUnavailable):  # past a token's maximum the answer is 500
            return False
        self._expect_end(lease, renewable=renewable)
        return lease * 2 > self._granted_seconds

    def renew_after_refusal(self) -> bool:
        """Log in again because the server forbade a call; False when that was done a moment ago."""
        if self._monotonic() - self._logged_in_at < _SECONDS_BETWEEN_LOGINS:
            return False
        former = self.http.token
        try:
            self.log_in()
        except (PinIncorrect, ConfigurationInvalid) as error:
            raise DeviceLost(f"the login ended and a new one failed: {error.detail}") from error
        if isinstance(self._auth, AppRoleFiles):
            current, self.http.token = self.http.token, former
            self._revoke()
            self.http.token = current
        return True

    def end(self) -> None:
        """Revoke a token that we obtained, if the server listens, and disconnect."""
        if isinstance(self._auth, AppRoleFiles) and self.http.answering:
            self.http.begin(_LOG_OUT_SECONDS)
            self._revoke()
        self.http.close()

    def _revoke(self) -> None:
        with contextlib.suppress(RequestRefused, HsmUnavailable):
            self._tokens.revoke_self()


def _credential(path: Path) -> Pin:
    octets = read_private_line(path, _MAX_CREDENTIAL_OCTETS)
    try:
        if 0x20 in octets:
            raise ConfigurationInvalid(f"{path.name} holds a space")
        return Pin(octets)
    finally:
        octets[:] = bytes(len(octets))


def _pinned(reference: bytes) -> tuple[TransitUri, int]:
    key = transit_key(reference)
    if key.version is None:
        raise MechanismRefused("a Transit key is used by name and version")
    return key, key.version


def _sign_error(reason: str) -> ServiceError:
    """Sort the server's own words about a signature; what is not known is a refusal."""
    if "not found" in reason:
        return KeyAbsent(f"the key is not in the server: {reason}")
    if "version" in reason:
        return KeyMismatch(f"the server does not sign with this version: {reason}")
    return MechanismRefused(f"the server refuses to sign: {reason}")


def _batch_results(data: Mapping[str, Any], count: int) -> list[object]:
    """Return each item's signature; an item that failed fails the batch, in its own words."""
    results = data.get("batch_results")
    if not isinstance(results, list) or len(results) != count or not all(isinstance(item, dict) for item in results):
        raise DeviceLost("the server's answer to a batch is malformed")
    for number, item in enumerate(results):
        if item.get("error"):
            raise _sign_error(f"item {number}: {printable(item['error'])}")
    return [item.get("signature") for item in results]


def _member(answer: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = answer.get(name)
    if not isinstance(value, dict):
        raise DeviceLost(f"the server's answer holds no {name}")
    return value


def _data(answer: Mapping[str, Any]) -> dict[str, Any]:
    return _member(answer, "data") if answer else {}


def _lease(member: Mapping[str, Any], name: str) -> tuple[float, bool]:
    seconds = member.get(name)
    if type(seconds) is not int or seconds < 0:
        raise DeviceLost("the server's answer names no lease")
    return float(seconds), member.get("renewable") is True
