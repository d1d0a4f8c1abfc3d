"""Secrets between a person and a command: typed without an echo, shown once and taken off the screen."""

import sys

import click

from hsm.errors import ShareMalformed, ShareRepeated, ShareWrong
from hsm.sharing.share_set import ShareSet
from hsm.sharing.share_text import typed_groups
from hsm.sharing.shares import Share, ShareCollection
from pki.errors import ErrorCode, InvalidInput
from pki.messages import sentence
from webapp.commands.options import say


def ask_secret(prompt: str) -> str:
    """Return a line that a person types without an echo, or the next line of a pipe; InvalidInput when it ended."""
    if sys.stdin.isatty():
        return str(click.prompt(prompt, hide_input=True, err=True, default="", show_default=False)).strip()
    line = sys.stdin.readline()
    if not line:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, f"the input ended where this was asked for: {prompt}")
    return line.strip()


def ask_share(prompt: str) -> Share:
    """Return the share that a person types; what is mistyped is asked for again, and only that.

    `Abort` for nothing, InvalidInput where a pipe ended.
    """
    text = ""
    while True:
        text = text or ask_secret(prompt)
        if not text:
            raise click.Abort
        try:
            return Share.parse(text)
        except ShareMalformed as error:
            say(sentence(error))
            text = _retyped(text, error)


def collect_shares(share_set: ShareSet) -> bytearray:
    """Ask for shares, one after the other, until they give the secret, which the caller wipes.

    One that is wrong or was given already is told and asked for again. `Abort` for nothing, InvalidInput.
    """
    say(f"{share_set.about}: ceremony {share_set.name}, {share_set.threshold} shares open it")
    with ShareCollection(share_set) as collection:
        while collection.missing:
            share = ask_share(f"share ({collection.missing} more needed)")
            try:
                collection.add(share)
            except (ShareWrong, ShareRepeated) as error:
                share.wipe()
                say(sentence(error))
        return collection.combine()


def _retyped(text: str, error: ShareMalformed) -> str:
    """Return `text` with its wrong groups typed again; nothing when the whole share must be."""
    groups = typed_groups(text)
    if not error.groups or max(error.groups) > len(groups):
        return ""
    for place in error.groups:
        typed = ask_secret(f"group {place} again")
        if len(typed_groups(typed)) > 1:  # the whole share again, as a pipe or a hasty person gives it
            return typed
        groups[place - 1] = typed
    return "-".join(groups)
