"""Handing shares to custodians and collecting them: one person after the other, nothing shown twice.

Whoever hands out must not lose the room between the first share and the last: a ceremony that breaks off there
begins this step again with another secret, and the shares that were given out open nothing.
"""

from collections.abc import Callable, Sequence
from typing import Final

from ca.ceremony.console import TRIES, Console
from ca.ceremony.errors import CeremonyStopped
from hsm.errors import ShareMalformed, ShareWrong
from hsm.sharing.share_set import ShareSet
from hsm.sharing.shares import Share, ShareCollection
from pki.errors import ServiceError
from pki.messages import sentence

Told = Callable[[str, str], None]  # (what happened, to whom): goes to the transcript
SHARE_GIVEN: Final = "share-given"
SHARE_TAKEN: Final = "share-taken"
SHARE_REFUSED: Final = "share-refused"


def hand_out(console: Console, share_set: ShareSet, shares: Sequence[Share], told: Told) -> None:
    """Give each custodian their share and see that they wrote it down; the shares are wiped. CeremonyStopped."""
    try:
        for commitment, share in zip(share_set.commitments, shares, strict=True):
            _give(console, commitment.custodian, share, share_set.about)
            told(SHARE_GIVEN, commitment.custodian)
    finally:
        for share in shares:
            share.wipe()


def _give(console: Console, custodian: str, share: Share, about: str) -> None:
    if not console.confirm(f"{custodian}: are you alone at the screen, ready to write down your share of {about}?"):
        raise CeremonyStopped(f"{custodian} was not ready")
    written = share.text()
    try:
        console.show_secret(written)
        for _ in range(TRIES):
            typed = console.ask_secret("Type the share, or its last group, from your paper")
            if _is_share(typed, share, written):
                return
            console.say("that is not what was shown")
    finally:
        console.clear()
    raise CeremonyStopped(f"{custodian} did not confirm their share")


def _is_share(typed: str, share: Share, written: str) -> bool:
    if "".join(typed.split()).upper() == written.rpartition("-")[2]:
        return True
    try:
        return Share.parse(typed).octets() == share.octets()
    except ShareMalformed:
        return False


def collect(console: Console, share_set: ShareSet, told: Told) -> bytearray:
    """Take shares until the secret can be put together, and return it for the caller to wipe.

    What is mistyped is located and asked again; a share that does not belong is named. CeremonyStopped when too few
    custodians gave theirs.
    """
    with ShareCollection(share_set) as shares:
        for index, commitment in enumerate(share_set.commitments, 1):
            if not shares.missing:
                break
            question = f"{commitment.custodian}: type your share of {share_set.about} (nothing, if you are not here)"
            if _take(console, question, index, commitment.custodian, shares):
                told(SHARE_TAKEN, commitment.custodian)
            else:
                told(SHARE_REFUSED, commitment.custodian)
        if shares.missing:
            raise CeremonyStopped(f"{shares.missing} more shares are needed")
        return shares.combine()


def _take(console: Console, question: str, index: int, custodian: str, shares: ShareCollection) -> bool:
    for _ in range(TRIES):
        typed = console.ask_secret(question)
        console.clear()
        if not typed.strip():
            return False
        try:
            share = Share.parse(typed)
            if share.index != index:
                raise ShareWrong(f"share {share.index} is not the one that {custodian} was given")
            shares.add(share)
        except ServiceError as error:
            console.say(sentence(error))
        else:
            return True
    return False
