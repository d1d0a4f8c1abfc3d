"""`mohr init`: a new pilot deployment."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from ca.config import MAX_SHARDS
from pki.errors import ErrorCode, InvalidInput
from webapp.commands.options import answer, home_option, say
from webapp.database_password import without_password
from webapp.deployment import Deployment
from webapp.deployment_settings import DeploymentSettings
from webapp.status_settings import StatusSettings

if TYPE_CHECKING:
    from webapp.service_device import ServiceDevice

DEFAULT_PORT = 8440
DEFAULT_ORGANIZATION = "Mohr Pilot (synthetic)"


def exchange_url_beside(public_url: str) -> str:
    """Return where the mutual-TLS listener goes by default: the port after the public one."""
    try:
        parts = urlsplit(public_url)
        port = parts.port or {"https": 443}.get(parts.scheme, 80)
    except ValueError as error:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "the public URL is malformed") from error
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
    return f"https://{host}:{port + 1}"


@contextmanager
def _told_when_broken_off(deployment: Deployment) -> Iterator[None]:
    """Say what to do with a folder in which the block began a deployment and did not end it."""
    from webapp.ceremony import is_free

    was_free = is_free(deployment)
    try:
        yield
    except BaseException:
        if was_free and not is_free(deployment):
            say(f"this cannot be used: empty {deployment.home}, and the database if there is one, then try again")
        raise


def initialise(
    deployment: Deployment,
    public_url: str,
    exchange_url: str | None,
    *,
    organization: str = DEFAULT_ORGANIZATION,
    oid_arc: str | None = None,
    status_url: str | None = None,
    database_url: str | None = None,
    crl_shards: int | None = None,
    subordinate: bool = False,
    device_file: Path | None = None,
) -> None:
    """Hold the ceremony and show the root's PIN, once; `subordinate` makes no root, and requests for a parent."""
    from pki.oids import PILOT_ARC
    from webapp.ceremony import hold_ceremony
    from webapp.separation import separate
    from webapp.service_device import read_device

    device = None if device_file is None else read_device(device_file)
    url, password = (None, None) if database_url is None else without_password(database_url)
    settings = DeploymentSettings(
        public_url=public_url,
        exchange_url=exchange_url or exchange_url_beside(public_url),
        organization=organization,
        oid_arc=oid_arc or PILOT_ARC,
        database_url=url,
        production=False,
        status_url=status_url,
        status=StatusSettings(crl_shards=crl_shards),
    )
    if subordinate:
        with _told_when_broken_off(deployment):
            _begin_subordinate(deployment, settings, password, device)
        return
    say(f"creating a pilot deployment in {deployment.home}")
    with _told_when_broken_off(deployment):
        pin = hold_ceremony(deployment, settings, database_password=password, device=device)
    separate(deployment).close()
    say(f"pilot root PIN, shown this once and stored nowhere: {pin}")
    say(f"the root's token lies in {deployment.root}; take it off this machine")


def _begin_subordinate(
    deployment: Deployment, settings: DeploymentSettings, password: str | None, device: "ServiceDevice | None"
) -> None:
    from webapp.subordinate import begin_subordinate

    say(f"creating a deployment under another authority in {deployment.home}")
    requests = begin_subordinate(deployment, settings, database_password=password, device=device)
    say(f"it waits for its certificates: have {deployment.requests} signed, then run mohr ca install-chain FILE")
    answer({"state": "waiting", "requests": [str(path) for path in requests]})


@click.command()
@home_option
@click.option("--public-url", required=True, metavar="URL", help="Baked into CDP and AIA of every certificate.")
@click.option("--exchange-url", metavar="URL", help="Where mutual TLS answers; default: https, the next port.")
@click.option("--status-url", metavar="URL", help="Plain HTTP address of lists and OCSP; default: the public URL.")
@click.option("--organization", default=DEFAULT_ORGANIZATION, show_default=True)
@click.option("--oid-arc", metavar="OID", help="Your arc for policies and types; default: the example arc.")
@click.option("--database-url", metavar="URL", help="postgresql://USER@HOST/NAME, empty; default: SQLite in HOME.")
@click.option(
    "--crl-shards",
    type=click.IntRange(1, MAX_SHARDS),
    metavar="N",
    help="How many lists each authority divides its certificates among; default: 4. 128 suit a million.",
)
@click.option(
    "--device",
    "device_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="JSON: the key store of the service, an HSM or Transit; default: a SoftHSM2 token in HOME.",
)
@click.option("--subordinate", is_flag=True, help="No root: write requests for a parent CA, and wait for its answer.")
def init(
    deployment: Deployment,
    public_url: str,
    exchange_url: str | None,
    status_url: str | None,
    organization: str,
    oid_arc: str | None,
    database_url: str | None,
    crl_shards: int | None,
    device_file: Path | None,
    subordinate: bool,  # noqa: FBT001 - click passes options by name
) -> None:
    """Create a pilot deployment: root token, service token, issuing CAs, TSA, OCSP, seal, database.

    Example: mohr init --home var --public-url http://127.0.0.1:8440
    """
    initialise(
        deployment,
        public_url,
        exchange_url,
        organization=organization,
        oid_arc=oid_arc,
        status_url=status_url,
        database_url=database_url,
        crl_shards=crl_shards,
        subordinate=subordinate,
        device_file=device_file,
    )
