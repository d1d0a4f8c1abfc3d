from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from hsm.custodian.journal import Journal
from hsm.custodian.refusal_flood import MAX_KINDS, OTHER_KEYS, SINGLY_IN_ALL, SINGLY_OF_A_KIND
from pki.journal import parse_line
from tests.hsm.journal_bench import REFUSED, USE, Ticks, all_lines, reopened


def test_a_flood_of_equal_refusals_is_told_in_few_lines(journal: Journal, ticks: Ticks) -> None:
    digests = [sha256(str(number).encode()).digest() for number in range(1000)]
    for digest in digests:
        journal.append(replace(REFUSED, digest=digest))
    journal.commit()
    assert journal.head[0] == SINGLY_OF_A_KIND
    seen = [journal.has_to_tell]
    ticks.now += 1.1
    seen.append(journal.has_to_tell)
    journal.commit()
    seen.append(journal.has_to_tell)
    assert seen == [False, True, False]
    last = parse_line(all_lines(journal)[-1]).use
    assert last.count == 1000 - SINGLY_OF_A_KIND
    assert last.digest == sha256(b"".join(digests[SINGLY_OF_A_KIND:])).digest()


def test_a_flood_does_not_hold_back_uses(journal: Journal) -> None:
    for _ in range(100):
        journal.append(REFUSED)
        journal.append(USE)
    journal.commit()
    assert journal.uses["issuing"].count == 100


def test_a_flood_of_invented_keys_is_told_in_few_lines(journal: Journal, ticks: Ticks) -> None:
    for number in range(5000):
        journal.append(replace(REFUSED, key=f"invented-{number}"))
    ticks.now += 2
    journal.commit()
    uses = [parse_line(line).use for line in all_lines(journal)]
    assert len(uses) <= SINGLY_IN_ALL + MAX_KINDS + 1
    assert sum(use.count for use in uses) == 5000
    assert uses[-1].key == OTHER_KEYS


def test_a_single_refusal_that_was_held_back_is_told_as_itself(journal: Journal, ticks: Ticks) -> None:
    for number in range(SINGLY_OF_A_KIND + 1):
        journal.append(replace(REFUSED, digest=bytes((number,)) * 32))
    ticks.now += 1
    journal.commit()
    last = parse_line(all_lines(journal)[-1]).use
    assert (last.count, last.digest) == (1, bytes((SINGLY_OF_A_KIND,)) * 32)


def test_a_flood_is_told_when_the_journal_closes(journal: Journal, tmp_path: Path) -> None:
    for _ in range(50):
        journal.append(REFUSED)
    journal.commit()
    journal.close()
    with closing(reopened(tmp_path / "journal")) as again:
        assert sum(parse_line(line).use.count for line in all_lines(again)) == 50


def test_a_name_that_cannot_be_written_down_is_a_star(journal: Journal) -> None:
    journal.append(replace(REFUSED, key="a key\nwith a line feed"))
    journal.commit()
    assert parse_line(all_lines(journal)[0]).use.key == OTHER_KEYS
