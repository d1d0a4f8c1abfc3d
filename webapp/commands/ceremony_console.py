"""The terminal of a ceremony; secrets are neither echoed nor left in what can be scrolled back to."""

import click

from webapp.commands.options import say
from webapp.commands.secret_prompts import ask_secret

# The alternate screen has no scrollback; leaving it puts back what was there before (ECMA-48, xterm).
_APART = "\x1b[?1049h\x1b[2J\x1b[H"
_BACK = "\x1b[2J\x1b[3J\x1b[?1049l"


class Terminal:
    """A `Console` on standard input and standard error; a pipe takes its place in rehearsals."""

    def __init__(self, *, on_screen: bool) -> None:
        self._on_screen, self._apart = on_screen, False

    def say(self, text: str) -> None:
        """Show a line."""
        say(text)

    def show_secret(self, text: str) -> None:
        """Show a line on a screen of its own."""
        if self._on_screen:
            click.echo(_APART, err=True, nl=False)
            self._apart = True
        say(text)

    def clear(self) -> None:
        """Leave the screen on which a secret was shown."""
        if self._apart:
            click.echo(_BACK, err=True, nl=False)
            self._apart = False

    def ask(self, question: str) -> str:
        """Ask for a line; in a rehearsal, read the next line of the pipe."""
        if self._on_screen:
            return str(click.prompt(question, err=True, default="", show_default=False)).strip()
        say(question)
        return ask_secret(question)

    def ask_secret(self, question: str) -> str:
        """Ask for a line without an echo."""
        if not self._on_screen:
            say(question)
        return ask_secret(question)

    def confirm(self, question: str) -> bool:
        """Ask for yes or no."""
        return self.ask(f"{question} [yes/no]").lower() in ("y", "yes", "بله")
