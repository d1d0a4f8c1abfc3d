"""Files under the custodian that were changed, or cannot be written: nothing is signed, and it heals."""

import json
import os
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hsm.errors import HsmUnavailable
from hsm.private_files import write_private
from hsm.provider import KeyPurpose
from pki import der, oids
from pki.journal import DONE
from pki.keys import SignatureAlgorithm, verify_signature
from tests.hsm import messages as m
from tests.hsm.wrong_requests.judged import CA, OCSP, SEAL, TOKEN, Judged, make_judged, now
from tests.hsm.wrong_requests.test_messages import crl
from tests.support.softhsm import CustodianHome

pytestmark = pytest.mark.real

Records = list[dict[str, str | None]]


@pytest.fixture(scope="module")
def own(factory: Callable[[], CustodianHome]) -> Judged:
    """A custodian whose files the tests here change; it signs again after each."""
    return make_judged(factory)


def signs(judged: Judged, label: str = SEAL) -> None:
    verify_signature(judged.home.client.signing_key(label).public_key(), judged.home.client.sign(label, m.NOTE), m.NOTE)


# --- key records ----------------------------------------------------------------------------------


@contextmanager
def changed(judged: Judged, change: Callable[[dict[str, dict[str, str | None]]], object]) -> Iterator[None]:
    """Let somebody change the key records under the running custodian, for the block."""
    path = judged.home.settings.keys_file
    original = path.read_bytes()
    document = json.loads(original)
    change({record["label"]: record for record in document["keys"]})
    write_private(path, json.dumps(document).encode())
    try:
        yield
    finally:
        write_private(path, original)


def refused(judged: Judged, label: str, message: bytes = m.NOTE, why: str | None = None) -> None:
    before = judged.head()
    with pytest.raises(HsmUnavailable, match=why):
        judged.home.client.sign(label, message)
    assert all(use.outcome != DONE for use in judged.entries(before))


def swap(first: dict[str, str | None], second: dict[str, str | None], *members: str) -> None:
    for member in members:
        first[member], second[member] = second[member], first[member]


def test_a_record_that_names_another_key_of_the_device_signs_nothing(own: Judged) -> None:
    signs(own)
    with changed(own, lambda records: swap(records[SEAL], records[TOKEN], "id")):
        refused(own, SEAL, why="another public key")
    signs(own)


def test_a_record_that_shows_another_public_key_signs_nothing(own: Judged) -> None:
    with changed(own, lambda records: swap(records[SEAL], records[CA], "public_key")):
        refused(own, SEAL, why="another public key")
    signs(own)


def test_a_record_of_a_key_that_the_device_does_not_have_signs_nothing(own: Judged) -> None:
    with changed(own, lambda records: records[SEAL].update(id="00" * 16)):
        refused(own, SEAL)
    end = time.monotonic() + 20
    while not own.home.client.health().ok:
        assert time.monotonic() < end
        time.sleep(0.05)
    signs(own)


def test_a_record_of_another_algorithm_signs_nothing(own: Judged) -> None:
    with changed(own, lambda records: records[SEAL].update(algorithm="EdDSA")):
        refused(own, SEAL)
    end = time.monotonic() + 20
    while not own.home.client.health().ok:
        assert time.monotonic() < end
        time.sleep(0.05)
    signs(own)


@pytest.mark.parametrize("content", [b"", b"{}", b"not JSON", b'{"version":1,"keys":[{}]}', b'{"version":9,"keys":[]}'])
def test_records_that_cannot_be_understood_stop_every_key_until_they_can(own: Judged, content: bytes) -> None:
    path = own.home.settings.keys_file
    original = path.read_bytes()
    write_private(path, content)
    try:
        refused(own, SEAL)
        with pytest.raises(HsmUnavailable):
            own.home.client.generate("more", SignatureAlgorithm.ES256, KeyPurpose.SEAL)
        assert path.read_bytes() == content
    finally:
        write_private(path, original)
    signs(own)


def test_records_that_are_gone_are_not_taken_for_none_and_not_written_anew(own: Judged) -> None:
    path = own.home.settings.keys_file
    away = path.rename(path.with_name("away.json"))
    try:
        refused(own, SEAL, why="gone")
        with pytest.raises(HsmUnavailable, match="gone"):
            own.home.client.generate("more", SignatureAlgorithm.ES256, KeyPurpose.SEAL)
        with pytest.raises(HsmUnavailable, match="gone"):
            own.home.client.keys()
        assert not path.exists()
    finally:
        away.rename(path)
    signs(own)


def test_records_behind_a_link_or_open_to_others_are_not_read(own: Judged) -> None:
    path = own.home.settings.keys_file
    away = path.rename(path.with_name("away.json"))
    path.symlink_to(away)
    os.utime(away)
    try:
        refused(own, SEAL)
        path.unlink()
        path.write_bytes(away.read_bytes())
        path.chmod(0o644)
        refused(own, SEAL)
    finally:
        path.unlink()
        away.rename(path)
    signs(own)


def test_a_mark_that_cannot_be_read_stops_the_lists_of_its_scope_alone(own: Judged) -> None:
    at, point = now(), m.extension(oids.DELTA_CRL_INDICATOR, der.integer(1), critical=True)
    number = m.extension(oids.CRL_NUMBER, der.integer(7))
    own.home.client.sign(CA, crl(at))
    (mark,) = own.home.settings.marks.glob("*.mark")
    original = mark.read_bytes()
    write_private(mark, b"{}")
    try:
        refused(own, CA, crl(at, extensions=(m.extension(oids.CRL_NUMBER, der.integer(8)),)), "last CRL")
        own.home.client.sign(CA, crl(at, extensions=(number, point)))
    finally:
        write_private(mark, original)
    own.home.client.sign(CA, crl(at, extensions=(m.extension(oids.CRL_NUMBER, der.integer(8)),)))


# --- no room for the journal ----------------------------------------------------------------------


def fill(judged: Judged, tries: int = 5000) -> int:
    """Sign until the journal has no room; return how many signatures were given out."""
    for given in range(tries):
        try:
            judged.home.client.sign(SEAL, m.NOTE)
        except HsmUnavailable as error:
            assert "journal" in error.detail
            return given
    raise AssertionError("the journal never was full")


def check_full_and_healed(judged: Judged, make_room: Callable[[], object]) -> None:
    before = judged.head()
    given = fill(judged)
    for _ in range(20):
        with pytest.raises(HsmUnavailable):
            judged.home.client.sign(SEAL, m.NOTE)
        with pytest.raises(HsmUnavailable):
            judged.home.client.sign_many(SEAL, [m.NOTE] * 5)
    assert judged.home.client.keys()  # what signs nothing is still answered
    assert sum(use.count for use in judged.entries(before) if use.outcome == DONE) == given
    make_room()
    signs(judged)
    signs(judged)
    assert sum(use.count for use in judged.entries(before) if use.outcome == DONE) == given + 2
    judged.home.process.restart()
    signs(judged)
    assert sum(use.count for use in judged.entries(before) if use.outcome == DONE) == given + 3


def test_nothing_is_signed_while_the_journal_may_not_grow(own: Judged) -> None:
    pid = own.home.process.pid
    assert pid is not None
    journal = max((own.home.settings.journal / "0").iterdir(), key=lambda path: path.stat().st_mtime)
    _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (journal.stat().st_size + 5000, most))
    check_full_and_healed(own, lambda: resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most)))


@pytest.fixture
def small_disk(factory: Callable[[], CustodianHome]) -> Iterator[tuple[Judged, Path]]:
    """A custodian whose journal lies on a disk of its own, of 64 KiB."""
    home = factory()
    folder = home.settings.journal
    folder.mkdir(mode=0o700)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "mohr-test", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root can make a disk that is small")
    try:
        yield make_judged(lambda: home), folder
    finally:
        home.process.stop()
        subprocess.run(["umount", folder], check=True)


def test_nothing_is_signed_while_the_disk_of_the_journal_is_full(small_disk: tuple[Judged, Path]) -> None:
    judged, folder = small_disk

    def make_room() -> None:
        subprocess.run(["mount", "-o", "remount,size=4m", folder], check=True)

    check_full_and_healed(judged, make_room)


def test_a_refusal_is_a_refusal_while_the_journal_is_full(small_disk: tuple[Judged, Path]) -> None:
    judged, _ = small_disk
    fill(judged)
    for label in (CA, OCSP):
        with pytest.raises(Exception, match="purpose"):
            judged.home.client.sign(label, m.NOTE)
