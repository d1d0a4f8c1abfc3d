"""`mohr hsm unlock`: operators give the keeper its PIN, by hand or in shares."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hsm.keeper.config import load_keeper_settings
from pki.errors import ErrorCode
from tests.hsm.test_keeper import RunningKeeper, made
from tests.hsm.test_kept_pin import PIN, divided
from tests.support.programs import Ended, run_here
from webapp.cli import mohr
from webapp.deployment import Deployment


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningKeeper]:
    home = tmp_path_factory.mktemp("home")
    keeper = made(home)
    keeper.settings = type(keeper.settings)(
        sockets=Deployment(home).keeper_sockets,
        custodian_uids=keeper.settings.custodian_uids,
        operator_uids=keeper.settings.operator_uids,
        share_set=keeper.settings.share_set,
    )
    keeper.start()
    yield keeper
    keeper.stop()


@pytest.fixture
def keeper(running: RunningKeeper) -> RunningKeeper:
    running.operator.forget()
    return running


def unlock(keeper: RunningKeeper, *options: str, typed: tuple[str, ...] = ()) -> Ended:
    lines = "".join(f"{line}\n" for line in typed)
    ended = run_here(mohr, "hsm", "unlock", "--home", str(keeper.folder), *options, answers=lines)
    for secret in (PIN, *(share.text() for share in keeper.shares)):
        assert secret not in ended.output + ended.messages + ended.trace
    return ended


def test_the_pin_unlocks_and_can_be_forgotten(keeper: RunningKeeper) -> None:
    assert unlock(keeper, "--pin", typed=(PIN,)).output == '{"locked": false}\n'
    assert keeper.read() == PIN
    assert unlock(keeper, "--forget").output == '{"locked": true}\n'
    assert keeper.operator.state().locked


def test_shares_unlock_one_a_line(keeper: RunningKeeper) -> None:
    ended = unlock(keeper, typed=(keeper.shares[2].text(), keeper.shares[0].text()))
    assert (ended.status, ended.output) == (0, '{"locked": false}\n')
    assert "PIN of the tests" in ended.messages
    assert keeper.read() == PIN


def test_a_mistyped_group_alone_is_typed_again(keeper: RunningKeeper) -> None:
    groups = keeper.shares[0].text().split("-")
    wrong = ("1" if groups[4][0] == "0" else "0") + groups[4][1:]
    mistyped = "-".join([*groups[:4], wrong, *groups[5:]])
    ended = unlock(keeper, typed=(mistyped, groups[4], keeper.shares[1].text()))
    assert ended.status == 0
    assert ended.code == ErrorCode.SHARE_MALFORMED
    assert "group 5 is mistyped" in ended.messages
    assert keeper.read() == PIN


def test_a_wrong_share_is_named_and_another_one_asked_for(keeper: RunningKeeper) -> None:
    share_set, others = divided()
    first, second = keeper.shares[0].text(), keeper.shares[1].text()
    ended = unlock(keeper, typed=(first, others[1].text(), first, second))
    assert ended.status == 0
    assert "share 2 is of another ceremony" in ended.messages
    assert "share 1 was given already" in ended.messages
    assert share_set.name not in ended.messages
    assert keeper.read() == PIN


def test_shares_given_so_far_stay_when_a_person_goes_away(keeper: RunningKeeper) -> None:
    assert unlock(keeper, typed=(keeper.shares[0].text(),)).status != 0
    assert keeper.operator.state().missing == 1
    assert unlock(keeper, typed=(keeper.shares[1].text(),)).status == 0


def test_what_cannot_be_a_pin_is_refused(keeper: RunningKeeper) -> None:
    ended = unlock(keeper, "--pin", typed=("۱۲۳۴",))
    assert ended.code == ErrorCode.PIN_FORMAT
    assert keeper.operator.state().locked


def test_without_a_deployment_there_is_nothing_to_unlock(tmp_path: Path) -> None:
    ended = run_here(mohr, "hsm", "unlock", "--home", str(tmp_path), answers=f"{PIN}\n")
    assert ended.code == ErrorCode.DEPLOYMENT_MISSING


def test_the_sockets_are_where_the_deployment_says(keeper: RunningKeeper) -> None:
    assert load_keeper_settings(keeper.config).sockets == Deployment(keeper.folder).keeper_sockets
