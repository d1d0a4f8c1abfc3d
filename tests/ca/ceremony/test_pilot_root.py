from __future__ import annotations

import pytest

from ca.ceremony.script import parse_script
from ca.ceremony.transcript import verify_transcript
from ca.profiles import ISSUING_AUTHORITIES
from pki.certificates import Certificate
from pki.errors import Conflict
from tests.ca.ceremony.rehearsal import EXAMPLES, Rehearsal


def test_a_pilot_root_is_made(empty: Rehearsal) -> None:
    digest = empty.example("pilot-root")
    root = Certificate.parse(empty.home.published["root.cer"])
    for label in ISSUING_AUTHORITIES:
        Certificate.parse(empty.home.published[f"{label}.cer"]).verify_signed_by(root)
    assert empty.home.opened == 1
    found = verify_transcript(empty.transcript("pilot-root").read_bytes(), root)
    assert found.digest == digest


def changed(name: str, *changes: tuple[str, str]) -> bytes:
    text = (EXAMPLES / f"{name}.toml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text.encode()


def test_a_second_root_is_not_made_in_the_same_home(pilot: Rehearsal) -> None:
    with pytest.raises(Conflict, match="already"):
        pilot.hold(parse_script(changed("pilot-root", ('"pilot-root"', '"another-root"'))))


def test_a_token_of_another_ceremony_is_not_made_again(pilot: Rehearsal) -> None:
    pilot.example("second-site")
    before = pilot.workshop.tokens["site-2"]
    with pytest.raises(Conflict, match="a token of this name is here already"):
        pilot.hold(parse_script(changed("second-site", ('"second-site"', '"third-site"'))))
    assert pilot.workshop.tokens["site-2"] is before


def test_two_authorities_do_not_have_one_name(pilot: Rehearsal) -> None:
    taken = ("Mohr Pilot Persons CA, site 2", "Mohr Pilot Persons CA")
    with pytest.raises(Conflict, match="the name of another authority"):
        pilot.hold(parse_script(changed("second-site", taken)))


def test_a_key_of_the_deployment_is_not_certified_for_a_second_site(pilot: Rehearsal) -> None:
    ours = (
        ('do = "make-token"\ntoken = "site-2"', 'do = "use-token"\ntoken = "service"'),
        ('pin = "shares"\n', ""),
        ('token = "site-2"\nkey = "ca-persons-2"\nsubject', 'token = "service"\nkey = "ca-persons"\nsubject'),
        ('token = "site-2"', 'token = "service"'),
    )
    with pytest.raises(Conflict, match="certified for somebody else"):
        pilot.hold(parse_script(changed("second-site", *ours)))
