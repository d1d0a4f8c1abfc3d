import copy
import itertools
import pickle
import random
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.errors import ShareForeign, ShareMalformed, ShareRepeated, SharesMissing, ShareWrong
from hsm.sharing.shamir import combine_octets, divide, divide_octets, multiply
from hsm.sharing.share_set import ShareSet
from hsm.sharing.share_text import group_count, typed_groups
from hsm.sharing.shares import Share, ShareCollection, check_share, combine_shares, split_secret
from pki.errors import InvalidInput
from pki.jose import canonical_json, json_object

CREATED = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
PEOPLE = ("Custodian A", "Custodian B", "Custodian C", "Custodian D", "Custodian E")
SECRET = bytes(range(100, 132))
SYMBOLS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class Octets:
    """Random octets that are the same in every run."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311 - the same in every run, on purpose

    def __call__(self, count: int) -> bytes:
        return self._random.randbytes(count)


def dealt(
    secret: bytes = SECRET, threshold: int = 2, people: tuple[str, ...] = PEOPLE[:3], seed: int = 0
) -> tuple[ShareSet, tuple[Share, ...]]:
    return split_secret(
        secret,
        threshold=threshold,
        custodians=people,
        about="a secret of the tests",
        created=CREATED,
        random_octets=Octets(seed),
    )


def forged(share: Share, position: int = -1) -> Share:
    octets = share.octets()
    octets[position] ^= 1
    return Share(octets)


# --- the field and the polynomials ---


def test_the_field_is_the_one_of_aes() -> None:
    assert multiply(0x57, 0x83) == 0xC1  # FIPS 197 §4.2
    assert multiply(0x57, 0x13) == 0xFE
    for value in range(1, 256):
        assert multiply(value, divide(1, value)) == 1
        assert divide(0, value) == 0
    with pytest.raises(ZeroDivisionError):
        divide(1, 0)


@given(secret=st.binary(min_size=1, max_size=4), held=st.sets(st.integers(1, 16), max_size=7), seed=st.integers())
def test_one_share_too_few_leaves_every_secret_octet_possible(secret: bytes, held: set[int], seed: int) -> None:
    shares = divide_octets(secret, len(held) + 1, 16, Octets(seed))
    points = {index: bytes(shares[index - 1][:1]) for index in held}
    other = next(index for index in range(1, 18) if index not in held)
    reached = {combine_octets({**points, other: bytes((value,))})[0] for value in range(256)}
    assert reached == set(range(256))


# --- dividing and combining ---


@given(data=st.data())
def test_any_threshold_of_shares_gives_the_secret_and_one_fewer_does_not(data: st.DataObject) -> None:
    secret = data.draw(st.binary(min_size=16, max_size=64))
    people = tuple(f"Custodian {number}" for number in range(data.draw(st.integers(1, 16))))
    threshold = data.draw(st.integers(1, len(people)))
    share_set, shares = dealt(secret, threshold, people, data.draw(st.integers()))
    chosen = data.draw(st.permutations(shares))[:threshold]
    with ShareCollection(share_set) as collection:
        for place, share in enumerate(chosen, 1):
            with pytest.raises(SharesMissing):
                collection.combine()
            assert collection.add(Share.parse(share.text())) == threshold - place
        assert collection.combine() == secret
    with pytest.raises(SharesMissing):
        combine_shares(chosen[1:])


def test_every_pair_of_three_gives_the_secret() -> None:
    _, shares = dealt()
    for pair in itertools.permutations(shares, 2):
        assert combine_shares(pair) == SECRET
    assert combine_shares(shares) == SECRET


@given(changes=st.dictionaries(st.integers(7, 70), st.integers(1, 255), min_size=1), which=st.integers(0, 2))
def test_a_wrong_combination_never_gives_a_secret_even_without_the_record(changes: dict[int, int], which: int) -> None:
    _, shares = dealt(threshold=3)
    octets = shares[which].octets()
    for position, change in changes.items():
        octets[position] ^= change
    with pytest.raises(ShareWrong):
        combine_shares([*shares[:which], Share(octets), *shares[which + 1 :]])


@pytest.mark.parametrize(
    ("secret", "threshold", "people"),
    [
        (bytes(15), 2, PEOPLE),
        (bytes(65), 2, PEOPLE),
        (SECRET, 0, PEOPLE),
        (SECRET, 6, PEOPLE),
        (SECRET, 1, ()),
        (SECRET, 1, tuple(f"Custodian {number}" for number in range(17))),
        (SECRET, 2, ("Custodian A", "Custodian A")),
        (SECRET, 1, (" ",)),
        (SECRET, 1, ("a\nb",)),
        (SECRET, 1, ("آ" * 65,)),
    ],
)
def test_numbers_and_names_that_cannot_be_are_refused(secret: bytes, threshold: int, people: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInput):
        dealt(secret, threshold, people)


# --- a share that does not belong ---


def test_a_wrong_share_is_named() -> None:
    share_set, shares = dealt()
    with ShareCollection(share_set) as collection:
        collection.add(shares[0])
        with pytest.raises(ShareWrong, match=r"share 2 .* Custodian B"):
            collection.add(forged(shares[1]))
        assert collection.missing == 1
        collection.add(shares[2])
        assert collection.combine() == SECRET


@pytest.mark.parametrize("position", [0, 6, 7, 30, -1])
def test_whatever_is_changed_in_a_share_it_does_not_belong_any_more(position: int) -> None:
    share_set, shares = dealt()
    octets = shares[1].octets()
    octets[position] ^= 1
    try:
        share = Share(octets)
    except ShareMalformed:
        assert position == 0
    else:
        with pytest.raises(ShareWrong):
            check_share(share_set, share)


def test_a_share_of_another_ceremony_is_said_to_be_one() -> None:
    share_set, shares = dealt()
    _, others = dealt(seed=1)
    with pytest.raises(ShareForeign, match=share_set.name):
        check_share(share_set, others[0])
    with pytest.raises(ShareForeign):
        combine_shares([shares[0], others[1]])


def test_a_share_that_was_never_dealt_is_refused() -> None:
    share_set, _ = dealt(people=PEOPLE[:2])
    _, more = dealt(people=PEOPLE[:5])
    octets = more[4].octets()
    octets[1:6] = share_set.id
    with pytest.raises(ShareWrong, match="no share 5"):
        check_share(share_set, Share(octets))


def test_a_share_counts_once() -> None:
    share_set, shares = dealt()
    with ShareCollection(share_set) as collection:
        collection.add(shares[0])
        with pytest.raises(ShareRepeated, match="share 1"):
            collection.add(Share.parse(shares[0].text()))
        assert collection.missing == 1
    with pytest.raises(ShareRepeated):
        combine_shares([shares[0], shares[0]])
    with pytest.raises(SharesMissing):
        combine_shares([])


# --- what people type ---


@given(size=st.integers(16, 64), seed=st.integers(), index=st.integers(0, 4))
def test_what_is_written_reads_back(size: int, seed: int, index: int) -> None:
    _, shares = dealt(bytes(size), people=PEOPLE, seed=seed)
    text = shares[index].text()
    assert re.fullmatch(rf"[{SYMBOLS}]{{6}}(-[{SYMBOLS}]{{6}})+", text)
    for typed in (text, text.lower(), text.replace("-", " "), text.replace("-", ""), f"  {text}\n"):
        share = Share.parse(typed)
        assert share.octets() == shares[index].octets()
        assert (share.index, share.threshold, share.secret_octets) == (index + 1, 2, size)


def test_look_alikes_and_persian_digits_are_what_they_look_like() -> None:
    _, shares = dealt()
    text = shares[0].text()
    persian = text.translate({ord(str(digit)): chr(0x6F0 + digit) for digit in range(10)})
    alike = text.replace("0", "o").replace("1", "l", 1).replace("1", "I")
    assert persian != text != alike
    assert Share.parse(persian).octets() == Share.parse(alike).octets() == shares[0].octets()


@pytest.mark.parametrize("size", [16, 17, 32, 64])
def test_every_single_wrong_symbol_is_found_and_located(size: int) -> None:
    _, shares = dealt(bytes(range(size)))
    groups = shares[0].text().split("-")
    assert len(groups) == group_count(len(shares[0].octets()) + 4)
    for place, group in enumerate(groups, 1):
        for position, right in enumerate(group):
            for wrong in f"{SYMBOLS}U*".replace(right, ""):
                typed = [*groups[: place - 1], group[:position] + wrong + group[position + 1 :], *groups[place:]]
                with pytest.raises(ShareMalformed, match=rf"group {place} is mistyped") as refused:
                    Share.parse("-".join(typed))
                assert refused.value.groups == (place,)


def test_neighbours_that_changed_places_are_found_and_located() -> None:
    _, shares = dealt()
    text = shares[0].text().replace("-", "")
    for position in range(len(text) - 1):
        left, right = text[position], text[position + 1]
        if left != right:
            with pytest.raises(ShareMalformed) as refused:
                Share.parse(text[:position] + right + left + text[position + 2 :])
            assert position // 6 + 1 in refused.value.groups


@pytest.mark.parametrize("parted", ["-", ""])
def test_a_symbol_too_few_or_too_many_is_located(parted: str) -> None:
    _, shares = dealt()
    groups = shares[0].text().split("-")
    for wrong in (groups[4][:3] + groups[4][4:], groups[4][:3] + "Z" + groups[4][3:]):
        with pytest.raises(ShareMalformed) as refused:
            Share.parse(parted.join([*groups[:4], wrong, *groups[5:]]))
        assert refused.value.groups == (5,)


def test_a_group_too_few_or_too_many_is_located() -> None:
    _, shares = dealt()
    groups = shares[0].text().split("-")
    for typed, place in (
        ([*groups[:6], *groups[7:]], 7),
        ([*groups[:6], groups[5], *groups[6:]], 7),
        (groups[:-1], len(groups)),
        ([*groups, "000000"], len(groups) + 1),
    ):
        with pytest.raises(ShareMalformed, match=f"{len(typed)} groups where {len(groups)} belong; group {place} "):
            Share.parse("-".join(typed))


def test_groups_are_told_apart_as_they_were_typed() -> None:
    _, shares = dealt()
    groups = shares[0].text().split("-")
    for typed in ("-".join(groups), "  ".join(groups), "".join(groups)):
        assert typed_groups(typed) == groups
    assert typed_groups("".join(groups)[:-1]) == []
    some = [*groups[:3], "abc", *groups[4:6], "defghi", *groups[7:]]
    assert typed_groups("-".join(some)) == some


@pytest.mark.parametrize(
    "line", ["", "custodian 1", "Akbari", "backups of http://127.0.0.1:8440, 2026-11-23T07:38:05Z", "abc-defghi"]
)
def test_a_line_that_is_no_share_has_no_groups_to_type_again(line: str) -> None:
    assert typed_groups(line) == []


def test_groups_of_two_shares_do_not_make_one() -> None:
    _, shares = dealt()
    first, second = (share.text().split("-") for share in shares[:2])
    with pytest.raises(ShareMalformed, match="several groups"):
        Share.parse("-".join([*first[:10], *second[10:]]))


@given(st.one_of(st.text(max_size=200), st.text(alphabet=SYMBOLS + "-", max_size=1100)))
def test_any_text_is_a_share_or_malformed(text: str) -> None:
    with pytest.raises(ShareMalformed):
        Share.parse(text)


@given(st.binary(max_size=120))
def test_any_octets_are_a_share_or_malformed(octets: bytes) -> None:
    try:
        share = Share(octets)
    except ShareMalformed:
        return
    assert share.octets() == octets


# --- secrets do not show ---


def test_a_share_shows_itself_only_when_asked_and_is_wiped() -> None:
    _, shares = dealt()
    text, value = shares[0].text(), shares[0].value()
    assert value.hex() not in repr(shares)
    assert text[12:18] not in repr(shares)
    for leak in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            leak(shares[0])
    shares[0].wipe()
    assert not any(shares[0].value())


def test_no_error_repeats_what_was_typed() -> None:
    share_set, shares = dealt()
    text = shares[0].text()
    refusals = []
    for typed in (text[:-1], text[:-7], text + text, text.replace("-", "-Z", 1), "*" + text[1:]):
        with pytest.raises(ShareMalformed) as malformed:
            Share.parse(typed)
        refusals.append(str(malformed.value))
    with pytest.raises(ShareWrong) as wrong:
        check_share(share_set, forged(shares[0]))
    said = " ".join([*refusals, str(wrong.value)]).upper()
    assert not any(group in said for group in text.split("-"))


# --- the record ---


def test_the_record_reads_back_and_holds_no_share() -> None:
    share_set, shares = dealt()
    written = share_set.to_json()
    assert ShareSet.from_json(written) == share_set
    assert b"Custodian B" in written
    for share in shares:
        assert share.value().hex().encode() not in written


def test_the_same_secret_commits_to_other_values_each_time() -> None:
    sets = [dealt(seed=seed)[0] for seed in range(2)]
    assert not {one.digest for one in sets[0].commitments} & {one.digest for one in sets[1].commitments}


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"version": True},
        {"threshold": 4},
        {"threshold": "2"},
        {"id": "00"},
        {"id": "GG00000000"},
        {"id": "AB00000000"},
        {"created": "yesterday"},
        {"about": ""},
        {"secret_octets": 1},
        {"shares": []},
        {"shares": [1]},
        {"shares": [{"custodian": "A", "salt": "00", "digest": "00"}]},
        {"shares": [{"custodian": 1, "salt": "00" * 16, "digest": "00" * 32}]},
        {"shares": [{"custodian": "A", "salt": "00" * 16}]},
        {"more": 1},
    ],
)
def test_a_record_that_was_not_written_here_is_refused(change: dict[str, object]) -> None:
    members = {**json_object(dealt()[0].to_json()), **change}
    with pytest.raises(InvalidInput):
        ShareSet.from_json(canonical_json(members))


@given(st.binary(max_size=200))
def test_any_octets_are_a_record_or_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        ShareSet.from_json(data)
