"""How a ceremony talks with the persons in the room."""

import re
from typing import Final, Protocol

from ca.ceremony.errors import CeremonyStopped

TRIES: Final = 3


class Console(Protocol):
    """One screen and one keyboard."""

    def say(self, text: str) -> None:
        """Show a line to everybody."""
        ...

    def show_secret(self, text: str) -> None:
        """Show a line to the one person who is there, kept by nothing but the screen until `clear`."""
        ...

    def clear(self) -> None:
        """Take what was shown off the screen."""
        ...

    def ask(self, question: str) -> str:
        """Ask for a line of text."""
        ...

    def ask_secret(self, question: str) -> str:
        """Ask for a line that is not shown while it is typed."""
        ...

    def confirm(self, question: str) -> bool:
        """Ask for yes or no."""
        ...


def must_confirm(console: Console, question: str, otherwise: str) -> None:
    """Go on only after a yes; CeremonyStopped says `otherwise`."""
    if not console.confirm(question):
        raise CeremonyStopped(otherwise)


# --- reading aloud --------------------------------------------------------------------------------

GROUP: Final = 4
_DIGITS: Final = ("ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINER")
_LETTERS: Final = ("ALFA", "BRAVO", "CHARLIE", "DELTA", "ECHO", "FOXTROT")
_WORDS: Final = dict(zip("0123456789abcdef", (*_DIGITS, *_LETTERS), strict=True))


def groups_of(digest: bytes) -> tuple[str, ...]:
    """Return a digest as groups of four hexadecimal digits."""
    text = digest.hex()
    return tuple(text[at : at + GROUP] for at in range(0, len(text), GROUP))


def spoken(group: str) -> str:
    """Spell a group in the words of the ICAO radiotelephony alphabet (Annex 10 volume II §5.2.1.3)."""
    return " ".join(_WORDS[digit] for digit in group)


def read_aloud(console: Console, what: str, digest: bytes, witness: str) -> None:
    """Show a SHA-256 in groups and in words until `witness`, who heard it, types its last group; CeremonyStopped."""
    groups = groups_of(digest)
    console.say(f"SHA-256 of {what}:")
    for number, group in enumerate(groups, 1):
        console.say(f"  {number:2}  {group}  {spoken(group)}")
    for _ in range(TRIES):
        typed = console.ask(f"{witness}: compare every group with your own copy, then type the last one")
        if re.sub(r"[\s:-]", "", typed).lower() == groups[-1]:
            return
        console.say("that is not the last group")
    raise CeremonyStopped(f"{witness} did not confirm the fingerprint of {what}")
