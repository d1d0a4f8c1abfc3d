"""The persons of a ceremony, played: they write down what is theirs and type what they are asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass, field


@dataclass
class Persons:
    """A `Console` whose custodians keep papers. `absent` custodians type nothing, `typed` overrides what one types."""

    papers: dict[tuple[str, str], str] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)
    typed: dict[str, list[str]] = field(default_factory=dict)
    pin: str = ""
    refuses: set[str] = field(default_factory=set)
    said: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    _at_screen: tuple[str, str] = ("", "")
    _visible: bool = False

    def say(self, text: str) -> None:
        self.said.append(text)

    def show_secret(self, text: str) -> None:
        assert self._at_screen[0]
        self.papers[self._at_screen] = text
        self.shown.append(text)
        self._visible = True

    def clear(self) -> None:
        self._visible = False

    def ask(self, question: str) -> str:
        if "then type the last one" in question:
            if question.split(":", maxsplit=1)[0] in self.refuses:
                return "0000"
            return next(found[1] for line in reversed(self.said) if (found := re.match(r" +\d+  ([0-9a-f]{4})", line)))
        raise AssertionError(question)

    def ask_secret(self, question: str) -> str:
        if question.startswith("Type the share"):
            if answers := self.typed.get(f"{self._at_screen[0]} back"):
                return answers.pop(0)
            return self.papers[self._at_screen].rpartition("-")[2].lower()
        if found := re.match(r"(.+): type your share of PIN of token ([^ ,]+)", question):
            assert not self._visible
            if answers := self.typed.get(found[1]):
                return answers.pop(0)
            return "" if found[1] in self.absent else self.papers[found[1], found[2]]
        assert question.startswith("The PIN of the token"), question
        return self.pin

    def confirm(self, question: str) -> bool:
        person = question.split(":", maxsplit=1)[0]
        if found := re.search(r"your share of PIN of token ([^ ,]+)", question):
            assert not self._visible
            self._at_screen = (person, found[1])
        return person not in self.refuses and question.split(" ", maxsplit=1)[0] not in self.refuses
