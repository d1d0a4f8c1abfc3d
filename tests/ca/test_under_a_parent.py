"""Authorities under somebody else's issue within what those above them allow, on both databases."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca import certificate_queries, repository
from ca.errors import LintFailed
from tests.ca.parent_ca import Parent
from tests.ca.world import CENTRE, World


def parent(*excluded: x509.GeneralName) -> bytes:
    found = Parent()
    others = [(x509.NameConstraints(None, list(excluded)), True)] if excluded else []
    return found.own(others=others).public_bytes(Encoding.DER)


def keep(world: World, authority: str, *above: bytes) -> None:
    with world.database.begin() as unit:
        repository.keep_parents(unit.connection, authority, above)


def test_what_is_above_an_authority_is_its_root_or_what_was_kept(world: World) -> None:
    root = world.hierarchy.certificate("root")
    assert world.authority.certificates_above("persons") == (root,)
    between, anchor = parent(), parent()
    keep(world, "persons", parent(), anchor)
    keep(world, "persons", between, anchor)
    assert world.authority.certificates_above("persons") == (between, anchor)
    assert world.authority.certificates_above("systems") == (root,)
    assert world.authority.certificates_above("root") == ()
    with world.database.read() as connection:
        assert certificate_queries.parents_of(connection, "systems") == ()


def test_a_name_that_a_parent_excludes_is_refused_before_it_is_signed(world: World) -> None:
    keep(world, "systems", parent(x509.DNSName("example")))
    with pytest.raises(LintFailed) as refused:
        world.issue("tls-server")
    assert refused.value.reason == "lint.rfc5280.names_are_within_the_issuers"
    world.issue("hix-tls", CENTRE)  # another authority's
