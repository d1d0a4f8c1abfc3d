"""HTTP towards Vault or OpenBao with a bound on everything: time, octets, redirects and what is believed.

hvac's API classes speak through `BoundedHttp` in place of hvac's own adapter, which follows redirects,
reads answers of any size, takes proxies and credentials from the environment, and waits 30 s.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import requests
import urllib3

from hsm.errors import ConfigurationInvalid, DeviceLost, HsmUnavailable
from hsm.transit.settings import TransitSettings
from pki.errors import InvalidInput
from pki.jose import json_object

MAX_ANSWER_OCTETS: Final = 4 * 1024 * 1024
CONNECT_SECONDS: Final = 0.4
_MAX_REASON: Final = 160

# Answers about the server itself, not about what was asked (sys/health uses the same codes).
_AWAY: Final = {
    472: "the server is a standby of another site",
    473: "the server is a performance standby",
    501: "the server is not initialised",
    502: "no server behind the proxy",
    503: "the server is sealed or out of service",
    504: "no server behind the proxy in time",
}
_LATER: Final = {
    412: "the server lags behind its leader",
    429: "the server limits the rate or is a standby",
    500: "the server failed",
}


class RequestRefused(Exception):
    """The server is well and says no to this request; `reason` is its own short text."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status}: {reason}")
        self.status, self.reason = status, reason


class BoundedHttp:
    """One connection at a time to one server; single-threaded.

    Each call belongs to the time that the last `begin` gave. Answers are JSON objects; RequestRefused for
    a refusal, DeviceLost when the server is away, HsmUnavailable when it asks to try later.
    """

    def __init__(self, settings: TransitSettings, monotonic: Callable[[], float]) -> None:
        if settings.ca_file is not None and not settings.ca_file.is_file():
            raise ConfigurationInvalid(f"there is no {settings.ca_file.name} to check the server's certificate with")
        self._origin, self._monotonic = settings.url.rstrip("/"), monotonic
        self._deadline = 0.0
        self.token: str | None = None
        self.answering = False  # whether the last call was answered at all
        session = requests.Session()
        session.trust_env = False  # no proxy, .netrc or REQUESTS_CA_BUNDLE
        session.verify = True if settings.ca_file is None else str(settings.ca_file)
        session.headers.update({"X-Vault-Request": "true", "Accept-Encoding": "identity", "User-Agent": "mohr"})
        if settings.namespace is not None:
            session.headers["X-Vault-Namespace"] = settings.namespace
        self._session = session

    def begin(self, seconds: float) -> None:
        """Give the calls that follow `seconds` together."""
        self._deadline = self._monotonic() + seconds

    def close(self) -> None:
        """Forget the token and close the connection."""
        self.token = None
        self._session.close()

    # --- what hvac's API classes call ---------------------------------------------------------------

    def get(self, url: str) -> dict[str, Any]:
        """Ask for `url`."""
        return self._ask("GET", url, None, self.token)

    def post(self, url: str, json: Mapping[str, Any] | None = None, wrap_ttl: None = None) -> dict[str, Any]:
        """Send `json` to `url`."""
        return self._ask("POST", url, json, self.token)

    def login(self, url: str, *, use_token: bool, json: Mapping[str, Any]) -> dict[str, Any]:
        """Send credentials; the token of the answer is the caller's to keep."""
        return self._ask("POST", url, json, None)

    # ------------------------------------------------------------------------------------------------

    def _ask(self, method: str, url: str, json: Mapping[str, Any] | None, token: str | None) -> dict[str, Any]:
        self.answering = False
        left = self._left()
        try:
            response = self._session.request(
                method,
                self._origin + url,
                json=json,
                headers={} if token is None else {"X-Vault-Token": token},
                timeout=(min(CONNECT_SECONDS, left), left),
                allow_redirects=False,
                stream=True,
            )
            with response:
                body = self._read(response)
        except requests.exceptions.SSLError:
            raise DeviceLost("the server's certificate or TLS was refused") from None
        except (requests.exceptions.Timeout, urllib3.exceptions.ReadTimeoutError):
            raise DeviceLost("the server did not answer in time") from None
        except (requests.exceptions.ConnectionError, urllib3.exceptions.ProtocolError):
            raise DeviceLost("the server cannot be reached") from None
        except (OSError, urllib3.exceptions.HTTPError, ValueError) as error:
            # Its text may hold a header, so the token.
            raise DeviceLost(f"the request failed: {type(error).__name__}") from None
        self.answering = True
        return _answer(response.status_code, body)

    def _left(self) -> float:
        left = self._deadline - self._monotonic()
        if left <= 0:
            raise DeviceLost("the server did not answer in time")
        return left

    def _read(self, response: requests.Response) -> bytes:
        """Read what arrives, piece by piece, so that neither a long nor a slow body holds us."""
        body = bytearray()
        while piece := response.raw.read1(65_536):
            body += piece
            if len(body) > MAX_ANSWER_OCTETS:
                raise DeviceLost(f"the server's answer is larger than {MAX_ANSWER_OCTETS} octets")
            self._left()
        return bytes(body)


def _answer(status: int, body: bytes) -> dict[str, Any]:
    if status == 204:
        return {}
    if 300 <= status < 400:
        raise DeviceLost("the server points to another one, as a standby does: name the active server")
    if status in _AWAY:
        raise DeviceLost(_AWAY[status])
    try:
        value = json_object(body)
    except InvalidInput:
        raise DeviceLost(f"the server answered {status} without JSON") from None
    if status == 200:
        return value
    reason = _reason(value)
    if status in _LATER:
        raise HsmUnavailable(f"{_LATER[status]}: {reason}" if reason else _LATER[status])
    if 400 <= status < 500:
        raise RequestRefused(status, reason)
    raise DeviceLost(f"the server answered {status}")


def _reason(value: Mapping[str, Any]) -> str:
    errors = value.get("errors")
    return printable(errors[0]) if isinstance(errors, list) and errors else ""


def printable(text: object) -> str:
    """Return the server's own words, fit for one line of a log."""
    words = " ".join(str(text).split())[:_MAX_REASON]
    return "".join(character if character.isascii() and character.isprintable() else "?" for character in words)
