"""The order in which mixed text is seen: the Unicode Bidirectional Algorithm (UAX #9) without explicit controls.

Controls never reach a report as such (`names.visible`); isolates are laid out by themselves and stand as U+FFFC.
"""

import unicodedata
from collections.abc import Sequence
from typing import Final

OBJECT: Final = "\ufffc"

_STRONG: Final = ("L", "R", "AL")
_NEUTRAL: Final = frozenset(("B", "S", "WS", "ON"))
_PAIRS: Final = {"(": ")", "[": "]", "{": "}", "«": "»"}
_CLOSING: Final = frozenset(_PAIRS.values())
_MAX_OPEN: Final = 63  # BD16


def base_level(text: str) -> int:
    """Return the level of a paragraph by its first strong character: 0 to the right, 1 to the left (P2, P3)."""
    strong = next((kind for kind in map(unicodedata.bidirectional, text) if kind in _STRONG), "L")
    return int(strong != "L")


def levels(text: str, base: int) -> list[int]:
    """Return the embedding level of each character of one line; odd levels run to the left."""
    kinds = _weak([unicodedata.bidirectional(char) or "L" for char in text], _direction(base))
    _brackets(text, kinds, base)
    _neutral(kinds, base)
    found = [base + _raise(kind, base) for kind in kinds]
    for index in range(len(text) - 1, -1, -1):  # L1
        if not text[index].isspace():
            break
        found[index] = base
    return found


def visual_order(run_levels: Sequence[int]) -> list[int]:
    """Return the order in which runs of these levels are seen from left to right (L2)."""
    order = list(range(len(run_levels)))
    odd = [level for level in run_levels if level % 2]
    for level in range(max(run_levels, default=0), min(odd, default=1) - 1, -1):
        start = 0
        while start < len(order):
            end = start
            while end < len(order) and run_levels[order[end]] >= level:
                end += 1
            if end > start:
                order[start:end] = reversed(order[start:end])
            start = end + 1
    return order


def _direction(level: int) -> str:
    return "R" if level % 2 else "L"


def _weak(kinds: list[str], outside: str) -> list[str]:
    """Resolve marks, numbers and what belongs to numbers (W1 to W7)."""
    before = outside
    for index, kind in enumerate(kinds):
        if kind in ("NSM", "BN"):
            kinds[index] = before
        before = kinds[index]
    _numbers_after_arabic(kinds, outside)
    last = len(kinds) - 1
    for index in range(1, last):  # W4
        around = kinds[index - 1]
        if around == kinds[index + 1] and (
            (around == "EN" and kinds[index] in ("ES", "CS")) or (around == "AN" and kinds[index] == "CS")
        ):
            kinds[index] = around
    _terminators(kinds)
    strong = outside
    for index, kind in enumerate(kinds):  # W6, W7
        if kind in ("L", "R"):
            strong = kind
        elif kind in ("ES", "ET", "CS"):
            kinds[index] = "ON"
        elif kind == "EN" and strong == "L":
            kinds[index] = "L"
    return kinds


def _numbers_after_arabic(kinds: list[str], outside: str) -> None:
    strong = outside
    for index, kind in enumerate(kinds):  # W2, W3
        if kind in _STRONG:
            strong = kind
            kinds[index] = "R" if kind == "AL" else kind
        elif kind == "EN" and strong == "AL":
            kinds[index] = "AN"


def _terminators(kinds: list[str]) -> None:
    start = 0
    while start < len(kinds):  # W5
        end = start
        while end < len(kinds) and kinds[end] == "ET":
            end += 1
        if end > start and "EN" in (*kinds[start - 1 : start], *kinds[end : end + 1]):
            kinds[start:end] = ["EN"] * (end - start)
        start = end + 1


def _brackets(text: str, kinds: list[str], base: int) -> None:
    """Give both brackets of a pair one direction (N0)."""
    inside = _direction(base)
    for opened, closed in _bracket_pairs(text, kinds):
        strong = {_as_strong(kind) for kind in kinds[opened + 1 : closed]} - {""}
        if inside in strong:
            kinds[opened] = kinds[closed] = inside
        elif strong:
            before = next((_as_strong(kind) for kind in reversed(kinds[:opened]) if _as_strong(kind)), inside)
            other = "L" if inside == "R" else "R"
            kinds[opened] = kinds[closed] = other if before == other else inside


def _bracket_pairs(text: str, kinds: Sequence[str]) -> list[tuple[int, int]]:
    pairs: list[tuple[int, int]] = []
    waiting: list[tuple[str, int]] = []
    for index, char in enumerate(text):
        if kinds[index] != "ON":
            continue
        if char in _PAIRS:
            if len(waiting) == _MAX_OPEN:
                break
            waiting.append((_PAIRS[char], index))
        elif char in _CLOSING:
            depth = next((n for n in range(len(waiting) - 1, -1, -1) if waiting[n][0] == char), None)
            if depth is not None:
                pairs.append((waiting[depth][1], index))
                del waiting[depth:]
    return sorted(pairs)


def _as_strong(kind: str) -> str:
    return "R" if kind in ("R", "EN", "AN") else "L" if kind == "L" else ""


def _neutral(kinds: list[str], base: int) -> None:
    """Resolve what is left by its neighbours, else by the line (N1, N2)."""
    outside = _direction(base)
    start = 0
    while start < len(kinds):
        end = start
        while end < len(kinds) and kinds[end] in _NEUTRAL:
            end += 1
        if end > start:
            left = _as_strong(kinds[start - 1]) if start else outside
            right = _as_strong(kinds[end]) if end < len(kinds) else outside
            kinds[start:end] = [left if left == right else outside] * (end - start)
        start = end + 1


def _raise(kind: str, base: int) -> int:
    """Return by how much a resolved kind lies above the line's level (I1, I2)."""
    if base % 2:
        return int(kind != "R")
    return {"L": 0, "R": 1}.get(kind, 2)
