"""What a ceremony needs of the deployment whose keys it is about."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from ca.ceremony.tokens import TokenPlace
from ca.config import AuthoritySettings
from ca.status.crl import PublishedCrl
from hsm.provider import KeyProvider
from storage.engine import Database


class Home(Protocol):
    """One deployment: there already, or about to be made by the ceremony."""

    @property
    def settings(self) -> AuthoritySettings:
        """What its authority is told."""
        ...

    @property
    def database(self) -> Database:
        """Its database, with its tables."""
        ...

    def folder(self, ceremony: str) -> Path:
        """Return the folder of a ceremony, where its transcript and files lie."""
        ...

    def place(self, token: str) -> TokenPlace:
        """Return where a token lies."""
        ...

    def make_service_token(self, label: str) -> None:
        """Make the service's token with its PIN in the service's own file; one that is finished is left alone."""
        ...

    def service_keys(self) -> AbstractContextManager[KeyProvider]:
        """Reach the service's keys: through the custodian that runs, else one for the block."""
        ...

    def publish_certificate(self, name: str, der: bytes) -> None:
        """Put an authority's certificate where AIA points."""
        ...

    def publish_crl(self, crl: PublishedCrl) -> None:
        """Put a list where its distribution point points."""
        ...

    def take_journal(self, token: str, keys: KeyProvider) -> None:
        """Take the journal of a token's custodian into the ledger, before the token is locked."""
        ...

    def open(self, keys: KeyProvider) -> None:
        """Publish everything that a new deployment has and write its settings, the last act; done again, no change."""
        ...
