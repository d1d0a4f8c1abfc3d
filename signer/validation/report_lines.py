"""Lines broken to a width: at spaces, and inside a word that alone is too wide."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from signer.validation.report_page import Language, Line, Span, Way
from signer.validation.report_shape import typeface

_WORDS: Final = re.compile(r"( *)([^ ]*)")
_SPACE: Final = Span(" ")


def broken(line: Line, room: float, language: Language) -> list[Line]:
    """Break a line to `room` ems."""
    lines: list[Line] = []
    current: list[tuple[int, Span]] = []
    reached = 0.0
    for index, word, spaced in _words(line, room, language):
        span = line[index]
        wide = typeface().width(word, language, strong=span.strong)
        gap = typeface().width(" ", language) if spaced and current else 0.0
        if current and reached + gap + wide > room:
            lines.append(tuple(span for _, span in current))
            current, reached, gap = [], 0.0, 0.0
        _join(current, index, replace(span, text=word), spaced=bool(gap))
        reached += gap + wide
    return [*lines, tuple(span for _, span in current)] if current else lines


def _words(line: Line, room: float, language: Language) -> Iterator[tuple[int, str, bool]]:
    """Yield each word with the number of its span and whether a space stands before it."""
    spaced = False
    for index, span in enumerate(line):
        for space, word in _WORDS.findall(typeface().drawable(span.text)):
            spaced = spaced or bool(space)
            rest = word
            while rest:
                cut = _fitting(rest, room, language, strong=span.strong)
                yield index, rest[:cut], spaced
                rest, spaced = rest[cut:], False


def _fitting(word: str, room: float, language: Language, *, strong: bool) -> int:
    """Return how many characters of a word fit, one at least."""
    if typeface().width(word, language, strong=strong) <= room:
        return len(word)
    low, high = 1, len(word)
    while low < high:
        middle = (low + high + 1) // 2
        if typeface().width(word[:middle], language, strong=strong) <= room:
            low = middle
        else:
            high = middle - 1
    return low


def _join(current: list[tuple[int, Span]], index: int, word: Span, *, spaced: bool) -> None:
    """Append a word; a space between two spans belongs to the text of the report, never into an isolate."""
    before = current[-1] if current else None
    if before is not None and before[0] == index:
        current[-1] = (index, replace(word, text=f"{before[1].text}{' ' if spaced else ''}{word.text}"))
        return
    if spaced and word.way is Way.TEXT:
        word = replace(word, text=f" {word.text}")
    elif spaced and before is not None and before[1].way is Way.TEXT:
        current[-1] = (before[0], replace(before[1], text=f"{before[1].text} "))
    elif spaced:
        current.append((-1, _SPACE))
    current.append((index, word))
