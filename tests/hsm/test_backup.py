import random
import secrets
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.backup.archive import SealedBackup, check_names, open_backup, read_header, seal_backup
from hsm.backup.relocation import relocated
from hsm.errors import ConfigurationInvalid
from hsm.sharing.shares import combine_shares
from pki.errors import InvalidInput, VerificationFailed
from pki.jose import strict_json

CREATED = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
PEOPLE = ("Custodian A", "Custodian B", "Custodian C")
FILES = {
    "custodian/keys.json": b'{"keys":[]}',
    "custodian/service.pin": b"271828\n",
    "tokens/service/tokens/4b2f/token.object": bytes(range(256)),
    "tokens/service/tokens/4b2f/token.lock": b"",
}


def sealed(files: dict[str, bytes] | None = None) -> SealedBackup:
    return seal_backup(
        FILES if files is None else files,
        token_label="mohr-service",
        home="/srv/mohr",
        created=CREATED,
        threshold=2,
        custodians=PEOPLE,
        random_octets=secrets.token_bytes,
    )


WHOLE = sealed()
KEY = combine_shares(WHOLE.shares[:2])


def test_a_backup_opens_with_the_key_that_the_shares_give() -> None:
    assert open_backup(WHOLE.archive, KEY) == FILES


def test_its_header_is_public_and_tells_nothing_of_what_is_inside() -> None:
    header = read_header(WHOLE.archive)
    assert header == WHOLE.header
    assert (header.token_label, header.created, header.home) == ("mohr-service", CREATED, "/srv/mohr")
    assert header.digests.keys() == FILES.keys()
    assert b"271828" not in WHOLE.archive
    assert not set(header.digests.values()) & set(sealed().header.digests.values())  # not even that a PIN is the same


@given(position=st.integers(0, len(WHOLE.archive) - 1), change=st.integers(1, 255))
def test_a_changed_octet_anywhere_is_refused(position: int, change: int) -> None:
    changed = bytearray(WHOLE.archive)
    changed[position] ^= change
    with pytest.raises((InvalidInput, VerificationFailed)):
        open_backup(bytes(changed), KEY)


def test_every_changed_bit_of_the_first_and_last_octets_is_refused() -> None:
    places = (*range(16), *range(len(WHOLE.archive) - 32, len(WHOLE.archive)))
    for position in places:
        for bit in range(8):
            changed = bytearray(WHOLE.archive)
            changed[position] ^= 1 << bit
            with pytest.raises((InvalidInput, VerificationFailed)):
                open_backup(bytes(changed), KEY)


@given(size=st.integers(0, len(WHOLE.archive) - 1), more=st.binary(min_size=1, max_size=20))
def test_a_file_that_is_too_short_or_too_long_is_refused(size: int, more: bytes) -> None:
    for changed in (WHOLE.archive[:size], WHOLE.archive + more):
        with pytest.raises((InvalidInput, VerificationFailed)):
            open_backup(changed, KEY)


@given(st.binary(max_size=300))
def test_any_octets_are_refused_as_a_backup(data: bytes) -> None:
    for archive in (data, WHOLE.archive[:8] + data):
        with pytest.raises(InvalidInput):
            read_header(archive)


def test_the_key_of_another_backup_opens_nothing() -> None:
    with pytest.raises(VerificationFailed):
        open_backup(WHOLE.archive, combine_shares(sealed().shares[1:]))
    with pytest.raises(VerificationFailed):
        open_backup(WHOLE.archive, bytearray(32))


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/etc/passwd",
        "..",
        "../a",
        "a/../b",
        "a//b",
        "a/",
        "./a",
        ".hidden",
        "a/.hidden",
        "-option",
        "a\\b",
        "a\nb",
        "a\0b",
        "ا",
        "a" * 201,
        "/".join("abcdefghi"),
    ],
)
def test_a_name_that_could_lead_elsewhere_is_neither_written_nor_read(name: str) -> None:
    with pytest.raises(InvalidInput):
        sealed({name: b""})


def test_a_name_is_a_file_or_a_folder() -> None:
    with pytest.raises(InvalidInput):
        check_names(["a", "a/b"])
    with pytest.raises(InvalidInput):
        check_names([])
    check_names(["a/b", "a/c", "ab"])


@given(
    st.dictionaries(st.from_regex(r"[a-c][A-Za-z0-9._-]{0,9}/[a-z]{1,9}", fullmatch=True), st.binary(), min_size=1),
    st.integers(),
)
def test_whatever_was_put_in_comes_out(files: dict[str, bytes], seed: int) -> None:
    source = random.Random(seed)  # noqa: S311 - the same for the same example
    backup = seal_backup(
        files,
        token_label="t",
        home="/",
        created=CREATED,
        threshold=1,
        custodians=PEOPLE[:1],
        random_octets=source.randbytes,
    )
    assert open_backup(backup.archive, combine_shares(backup.shares)) == files


# --- another home ---


def test_paths_under_the_home_move_and_others_stay() -> None:
    files = {
        "a/service.json": (
            b'{"keys_file":"/srv/mohr/a/keys.json","module":"/usr/lib/m.so","e":{"C":"/srv/mohr/c"},"n":[1]}'
        ),
        "t/softhsm2.conf": b"directories.tokendir = /srv/mohr/t/tokens\nlog.level = ERROR\n",
        "a/keys.json": b'"/srv/mohr/a"',
    }
    moved = relocated(files, frozenset({"a/service.json", "t/softhsm2.conf", "none"}), "/srv/mohr", "/second")
    assert strict_json(moved["a/service.json"]) == {
        "keys_file": "/second/a/keys.json",
        "module": "/usr/lib/m.so",
        "e": {"C": "/second/c"},
        "n": [1],
    }
    assert moved["t/softhsm2.conf"] == b"directories.tokendir = /second/t/tokens\nlog.level = ERROR\n"
    assert moved["a/keys.json"] == files["a/keys.json"]


def test_a_neighbour_of_the_home_is_not_the_home() -> None:
    moved = relocated({"a.json": b'["/srv/mohr","/srv/mohr2/a"]'}, frozenset({"a.json"}), "/srv/mohr", "/b")
    assert moved["a.json"] == b'["/b","/srv/mohr2/a"]\n'


def test_settings_that_cannot_be_read_are_not_moved() -> None:
    for name, data in (("a.json", b"{"), ("a.conf", b"\xff")):
        with pytest.raises(ConfigurationInvalid):
            relocated({name: data}, frozenset({name}), "/a", "/b")
