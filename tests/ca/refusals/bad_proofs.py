"""Requests for keys of cards whose proof does not hold."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, Protocol

from ca.issuing.key_proofs import KeyProof, NonceDesk
from ca.issuing.line import IssuingLine
from ca.issuing.orders import IssueOrder
from hsm.soft import UnsafeSoftKey
from pki.csr import build_csr
from pki.keys import SignatureAlgorithm
from tests.ca.world import CLERK, World
from tests.support.officers import EveryOfficer


class Watched(Protocol):
    """A world whose keys are watched."""

    world: World
    keys: Any

    def watch(self) -> None: ...


def _give(
    scene: Watched,
    *,
    carried: str | None = "",
    later: timedelta = timedelta(),
    card: str = "0042",
    demanded: bool = False,
    again: bool = False,
) -> None:
    """Order with a proof: the request carries the nonce itself where `carried` is empty."""
    world = scene.world
    line = IssuingLine(
        world.database, scene.keys, replace(world.settings, demand_key_proof=demanded), world.clock, gate=EveryOfficer()
    )
    made = NonceDesk(world.database, EveryOfficer(), world.clock).make(world.approved().id, CLERK)
    key = UnsafeSoftKey.generate(SignatureAlgorithm.ES256)
    csr = build_csr(key, "a card's key", challenge=made.nonce if carried == "" else carried)
    proof = None if demanded else KeyProof(nonce_id=made.id, card=card)
    order = IssueOrder(profile="clin-sign", file_id=made.file_id, csr=csr, actor="clerk", key_proof=proof)
    if again:
        line.issue(order)
        scene.watch()
    world.clock.time += later
    line.issue(order)


KINDS = {
    "a proof without a nonce": ("csr.nonce-missing", lambda scene: _give(scene, carried=None)),
    "another nonce": ("csr.nonce-differs", lambda scene: _give(scene, carried="x" * 32)),
    "a nonce of before": ("csr.nonce-stale", lambda scene: _give(scene, later=timedelta(minutes=16))),
    "a nonce twice": ("csr.nonce-used", lambda scene: _give(scene, again=True)),
    "an endless challenge": ("csr.challenge-malformed", lambda scene: _give(scene, carried="x" * 256)),
    "a card without a number": ("key.proof-card", lambda scene: _give(scene, card="")),
    "no proof where one is demanded": ("key.proof-missing", lambda scene: _give(scene, demanded=True)),
}
