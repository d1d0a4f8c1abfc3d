"""One certification path and one time-stamping authority for all signer tests."""

from datetime import timedelta

import pytest

from pki.oids import OidArc
from signer.timestamps.authority import TimestampAuthority
from signer.timestamps.client import LocalTimeStamper
from tests.support.clock import FakeClock
from tests.support.pki import TrustPath, make_path


@pytest.fixture(scope="session")
def path() -> TrustPath:
    return make_path()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def authority(path: TrustPath, clock: FakeClock) -> TimestampAuthority:
    policy = OidArc().timestamp_policy
    return TimestampAuthority(path.tsa.key, path.tsa.chain, policy, timedelta(seconds=1), clock)


@pytest.fixture
def stamper(authority: TimestampAuthority) -> LocalTimeStamper:
    return LocalTimeStamper(authority)
