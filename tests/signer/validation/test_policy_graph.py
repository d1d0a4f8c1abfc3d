"""Certificate policies along a path (RFC 5280 §6.1, RFC 9618)."""

from dataclasses import dataclass, field

import pytest

from pki import der
from pki.certificates import Extension
from signer.validation.policy_graph import ANY_POLICY, PolicyGraph

P1, P2, P3 = (f"1.3.6.1.4.1.32473.1.{number}" for number in (1, 2, 3))


@dataclass
class Cert:
    """The three members that the graph reads."""

    policies: tuple[str, ...] = ()
    self_issued: bool = False
    extensions: dict[str, Extension] = field(default_factory=dict)


def mapping(*pairs: tuple[str, str]) -> dict[str, Extension]:
    value = der.sequence(*(der.sequence(der.oid(a), der.oid(b)) for a, b in pairs))
    return {"2.5.29.33": Extension(critical=True, value=value)}


def constraints(*, explicit: int | None = None, inhibit_mapping: int | None = None) -> dict[str, Extension]:
    parts = []
    for tag, value in ((0x80, explicit), (0x81, inhibit_mapping)):
        if value is not None:
            parts.append(der.tlv(tag, bytes((value,))))
    return {"2.5.29.36": Extension(critical=True, value=der.sequence(*parts))}


def acceptable(*chain: Cert, wanted: tuple[str, ...] = (ANY_POLICY,), explicit: bool = True) -> bool:
    graph = PolicyGraph(length=len(chain), wanted=frozenset(wanted), initial_explicit=explicit)
    for index, certificate in enumerate(chain):
        if not graph.add(certificate, final=index == len(chain) - 1):  # type: ignore[arg-type]  # the graph reads no more
            return False
    return graph.acceptable(chain[-1])  # type: ignore[arg-type]  # the graph reads no more


@pytest.mark.parametrize(
    ("chain", "wanted", "expected"),
    [
        ((Cert((P1,)), Cert((P1,))), (P1,), True),
        ((Cert((P1,)), Cert((P1,))), (P2,), False),
        ((Cert((P1,)), Cert((P2,))), (ANY_POLICY,), False),
        ((Cert((ANY_POLICY,)), Cert((P1,))), (P1,), True),
        ((Cert((ANY_POLICY,)), Cert((P1,))), (P2,), False),
        ((Cert((P1,)), Cert((ANY_POLICY,))), (P1,), True),
        ((Cert(()), Cert((P1,))), (ANY_POLICY,), False),
        ((Cert((P1, P2)), Cert((P2, P3))), (P2,), True),
        ((Cert((P1,), extensions=mapping((P1, P2))), Cert((P2,))), (P1,), True),
        ((Cert((P1,), extensions=mapping((P1, P2))), Cert((P2,))), (P2,), False),
        ((Cert((P1,), extensions=mapping((P1, P2))), Cert((P1,))), (P1,), False),
        ((Cert((ANY_POLICY,), extensions=mapping((P1, P2))), Cert((P2,))), (P1,), True),
        ((Cert((P1,), extensions=mapping((P1, ANY_POLICY))), Cert((P1,))), (P1,), False),
    ],
)
def test_what_survives_is_what_was_wanted(chain: tuple[Cert, ...], wanted: tuple[str, ...], *, expected: bool) -> None:
    assert acceptable(*chain, wanted=wanted) is expected


def test_without_explicit_policy_nothing_is_asked() -> None:
    assert acceptable(Cert(()), Cert(()), explicit=False)
    assert not acceptable(Cert((), extensions=constraints(explicit=0)), Cert(()), explicit=False)


def test_mapping_can_be_inhibited_from_above() -> None:
    top = Cert((P1,), extensions=constraints(inhibit_mapping=0))
    middle = Cert((P1,), extensions=mapping((P1, P2)))
    assert acceptable(Cert((P1,)), middle, Cert((P2,)))
    assert not acceptable(top, middle, Cert((P2,)))


def test_a_graph_of_many_mappings_stays_small() -> None:
    """The tree of RFC 5280 would double at each level; the graph holds one node a policy."""
    names = tuple(f"1.3.6.1.4.1.32473.2.{number}" for number in range(40))
    dense = mapping(*((a, b) for a in names for b in names))
    assert acceptable(*(Cert(names, extensions=dense) for _ in range(8)), Cert(names))
