import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki.jose import exact_json
from signer.elements import (
    Element,
    address,
    choice,
    concept,
    extensions,
    human_name,
    identifier,
    last_segment,
    period,
    quantity,
    ratio,
    remaining,
    timing,
)


def element(text: str) -> Element:
    return Element(exact_json(text.encode()), "", set())


@pytest.mark.parametrize(
    ("read", "source", "expected"),
    [
        (quantity, '{"value":1.50,"unit":"mg","comparator":"<="}', "<= 1.50 mg"),
        (quantity, '{"value":1,"code":"mL"}', "1 mL"),
        (quantity, '{"value":1,"unit":"Packung","code":"{pack}"}', "1 Packung ({pack})"),
        (quantity, "{}", ""),
        (ratio, '{"numerator":{"value":20,"unit":"mg"},"denominator":{"value":1}}', "20 mg"),
        (ratio, '{"numerator":{"value":120,"unit":"mg"},"denominator":{"value":5,"unit":"mL"}}', "120 mg / 5 mL"),
        (concept, '{"text":"Ibuprofen","coding":[{"system":"http://x/ask","code":"5682"}]}', "Ibuprofen [ask 5682]"),
        (identifier, '{"system":"https://id.example.org/ir/siam","value":"s-1"}', "s-1 (siam)"),
        (human_name, '{"prefix":["Dr."],"given":["Anna","Maria"],"family":"Muster"}', "Dr. Anna Maria Muster"),
        (human_name, '{"text":"Anna M.","given":["Anna"]}', "Anna (Anna M.)"),
        (human_name, '{"text":"Anna"}', "Anna"),
        (address, '{"line":["A 1","B"],"city":"C"}', "A 1، B، C"),
        (period, '{"start":"2026-01-01"}', "2026-01-01 – …"),
        (period, "{}", ""),
        (timing, '{"repeat":{"frequency":3,"period":1,"periodUnit":"d"}}', "3 × / 1 d"),
        (timing, '{"repeat":{"frequency":1,"when":["ACM"]}}', "1 × · repeat.when[0]: ACM"),
        (extensions, '{"extension":[{"url":"http://x/Size","valueString":"70"}]}', "Size: 70"),
        (
            extensions,
            '{"extension":[{"url":"Multi","extension":[{"url":"N","valueBoolean":true}]}]}',
            "Multi: (N: بله / yes)",
        ),
    ],
)
def test_data_types_read_as_people_say_them(read, source: str, expected: str) -> None:  # type: ignore[no-untyped-def]  # readers share no type with lambdas
    assert read(element(source)) == expected


def test_a_choice_is_found_by_its_type() -> None:
    dose = element('{"doseRange":{"low":{"value":1},"high":{"value":2.0,"unit":"mg"}}}')
    assert choice(dose, "dose") == "1 – 2.0 mg"
    assert choice(element('{"dosexyz":1,"dose":2}'), "dose") == ""


def test_reading_marks_what_was_shown_and_nothing_else() -> None:
    root = element('{"value":1.50,"unit":"mg","system":"http://unitsofmeasure.org"}')
    quantity(root)
    assert [leaf.path for leaf in root.leaves() if not leaf.shown] == ["system"]
    assert remaining(root) == "system: http://unitsofmeasure.org"
    assert remaining(root) == ""


def test_no_two_places_share_a_path() -> None:
    hostile = {
        "a.b": "hidden",
        "a": {"b": "shown", "b[0]": "hidden"},
        'a["b"]': "hidden",
        "a[0]": "hidden",
        "": "hidden",
        "0": ["hidden"],
    }
    root = Element(hostile, "", set())
    paths = [leaf.path for leaf in root.leaves()]
    assert len(set(paths)) == len(paths) == 7
    root.get("a").get("b").text()
    assert sorted(str(leaf.value) for leaf in root.leaves() if not leaf.shown) == ["hidden"] * 6


trees = st.recursive(
    st.none() | st.booleans() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=15,
)


@given(trees)
def test_paths_are_unique_for_any_document(value: object) -> None:
    paths = [leaf.path for leaf in Element(value, "", set()).leaves()]
    assert len(set(paths)) == len(paths)


@given(trees)
def test_any_tree_is_read_as_any_type_without_error(value: object) -> None:
    root = Element(value, "", set())
    for read in (quantity, ratio, concept, identifier, human_name, address, period, timing, extensions, remaining):
        assert isinstance(read(root), str)


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("http://x.org/a/b", "b"),
        ("urn:oid:1.2.3", "1.2.3"),
        ("plain", "plain"),
        ("", ""),
        ("http://x/\u202e", "⟦U+202E⟧"),
    ],
)
def test_a_system_is_named_by_its_last_segment(uri: str, name: str) -> None:
    assert last_segment(uri) == name
