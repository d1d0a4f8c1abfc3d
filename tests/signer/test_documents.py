import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki.errors import ErrorCode, InvalidInput, ServiceError
from pki.jose import JsonNumber, exact_json
from signer import documents
from signer.documents import LEGAL_EFFECT, Document, DocumentKind, read_document
from signer.elements import Element
from signer.findings import FindingCode
from signer.formats.signing import MAX_DOCUMENT_OCTETS
from signer.samples import sample_pdf, sample_prescription
from signer.visible import mark_hidden
from tests.support.pdf import encrypted_pdf, page_pdf


def shown(document: Document, label_en: str) -> list[str]:
    return [field.value for field in document.fields if field.label_en == label_en]


def codes(document: Document) -> list[FindingCode]:
    return [warning.code for warning in document.warnings]


def bundle(*resources: dict[str, Any]) -> bytes:
    entries = [{"fullUrl": f"urn:x:{i}", "resource": resource} for i, resource in enumerate(resources)]
    return json.dumps({"resourceType": "Bundle", "entry": entries}).encode()


PATIENT = {"resourceType": "Patient", "name": [{"family": "Nemooneh"}]}


def test_the_iranian_prescription_reads_from_top_to_bottom() -> None:
    data = sample_prescription()
    document = read_document(data)
    assert (document.kind, document.content_type) == (DocumentKind.FHIR, "application/fhir+json")
    assert (document.sha256, document.size) == (hashlib.sha256(data).digest(), len(data))
    assert document.warnings == ()
    assert shown(document, "Patient") == ["علی نمونه"]
    assert shown(document, "Patient id") == ["0000012351 (national-code)"]
    assert shown(document, "Birth date") == ["1985-03-21 (1364/01/01)"]
    assert shown(document, "Issued") == ["2026-11-22T09:00:00Z (1405/09/01 12:30 Tehran)"]
    assert shown(document, "Prescriber") == ["سارا نمونه"]
    assert shown(document, "Prescriber's number") == ["123456 (medical-council)"]
    assert shown(document, "Profession") == ["پزشک", "پزشک معالج"]
    assert shown(document, "Place") == ["درمانگاه نمونه"]
    assert shown(document, "Insurer") == ["بیمهٔ نمونه"]
    assert shown(document, "Item 1, Medication") == [
        "آموکسی‌سیلین ۵۰۰ میلی‌گرم کپسول AMOXICILLIN 500 mg CAPSULE [generic 00001]"
    ]
    assert shown(document, "Item 1, Directions") == ["هر ۸ ساعت یک عدد تا ۷ روز"]
    assert shown(document, "Item 1, Quantity") == ["21 عدد"]
    assert shown(document, "Item 2, Dose") == ["7.50 mL"]
    assert shown(document, "Item 2, Timing") == ["4 × / 1 d"]
    assert shown(document, "Item 2, As needed") == ["بله / yes"]
    assert shown(document, "Item 2, Repeats") == ["1"]
    assert shown(document, "Item 2, Substitution allowed") == ["بله / yes"]
    assert shown(document, "Item 2, Prescription number") == ["1405-000001 (prescription)"]


def leaves_of(data: bytes) -> list[Element]:
    return list(Element(exact_json(data), "", set()).leaves())


def test_every_value_of_every_prescription_is_shown(vectors: Path) -> None:
    files = sorted((vectors / "fhir-prescriptions").glob("*.json"))
    assert len(files) == 20
    for file in files:
        data = file.read_bytes()
        document = read_document(data)
        assert document.warnings == (), file.name
        text = "\n".join(field.value for field in document.fields)
        for leaf in leaves_of(data):
            if not isinstance(leaf.value, bool):
                assert mark_hidden(leaf.peek())[0] in text, f"{file.name}: {leaf.path}"


def test_a_german_prescription_reads_like_an_iranian_one(vectors: Path) -> None:
    document = read_document((vectors / "fhir-prescriptions" / "Beispiel_2_PZN.json").read_bytes())
    assert shown(document, "Patient") == ["Prof. Dr. Karl-Friederich Graf Freiherr von Schaumberg"]
    assert shown(document, "Prescriber") == ["Emilia Becker"]
    assert shown(document, "Item 1, Medication") == ["Olanzapin Heumann 20mg 70 Schmelztbl. N3 [pzn 08850519]"]
    assert shown(document, "Item 1, Ingredient and strength") == ["Olanzapin · 20 mg / 1 Stück"]
    assert shown(document, "Item 1, Directions") == ["1x täglich"]
    assert shown(document, "Item 1, Note") == ["Patient erneut auf Anwendung der Schmelztabletten hinweisen"]
    assert shown(document, "Item 1, Substitution allowed") == ["خیر / no"]


def test_a_deputising_physician_is_told_from_the_prescriber(vectors: Path) -> None:
    document = read_document((vectors / "fhir-prescriptions" / "Beispiel_60_ArztAlsVertretung.json").read_bytes())
    assert shown(document, "Prescriber")
    assert shown(document, "Practitioner")


def test_decimals_keep_their_digits() -> None:
    data = bundle(PATIENT, {"resourceType": "MedicationRequest", "dispenseRequest": {"quantity": {"value": 0}}})
    text = data.replace(b'"value": 0', b'"value": 1.500')
    assert shown(read_document(text), "Item 1, Quantity") == ["1.500"]


def test_an_unknown_resource_is_named_and_every_leaf_listed() -> None:
    document = read_document(bundle(PATIENT, {"resourceType": "Consent", "x.y": {"z": [1, None, {}]}}))
    assert shown(document, "Other part of the document") == ["Consent"]
    details = {field.label_en: field.value for field in document.fields if field.detail}
    assert details['entry[1].resource["x.y"].z[0]'] == "1"
    assert details['entry[1].resource["x.y"].z[1]'] == "null"
    assert details['entry[1].resource["x.y"].z[2]'] == "{}"


def test_a_single_resource_is_read_too() -> None:
    document = read_document(b'{"resourceType":"Patient","name":[{"text":"A"}]}')
    assert document.kind is DocumentKind.FHIR
    assert shown(document, "Patient") == ["A"]


def test_a_contained_medication_is_followed() -> None:
    request = {
        "resourceType": "MedicationRequest",
        "contained": [{"resourceType": "Medication", "id": "m", "code": {"text": "Ibuprofen"}}],
        "medicationReference": {"reference": "#m"},
    }
    document = read_document(bundle(PATIENT, request))
    assert shown(document, "Item 1, Medication") == ["Ibuprofen"]
    assert document.warnings == ()


def test_hidden_characters_are_marked_and_told_with_their_place() -> None:
    resource = {"resourceType": "MedicationRequest", "medicationCodeableConcept": {"text": "Ibu\u202eprofen"}}
    document = read_document(bundle(PATIENT, resource))
    assert shown(document, "Item 1, Medication") == ["Ibu⟦U+202E⟧profen"]
    (warning,) = document.warnings
    assert warning.code is FindingCode.HIDDEN_CHARACTERS
    assert warning.where == "entry[1].resource.medicationCodeableConcept.text"
    assert warning.text_fa in str(warning)
    assert warning.text_en in str(warning)


def test_look_alike_digits_are_told() -> None:
    resource = {"resourceType": "MedicationRequest", "dosageInstruction": [{"text": "5۰0 mg"}]}
    assert codes(read_document(bundle(PATIENT, resource))) == [FindingCode.MIXED_DIGITS]


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ((PATIENT, PATIENT), FindingCode.SEVERAL_PATIENTS),
        (({"resourceType": "MedicationRequest"},), FindingCode.PATIENT_ABSENT),
        ((PATIENT, {"resourceType": "X", "subject": {"reference": "Patient/9"}}), FindingCode.REFERENCE_UNRESOLVED),
        ((PATIENT, {"resourceType": "X", "subject": {"reference": "#9"}}), FindingCode.REFERENCE_UNRESOLVED),
        (
            ({**PATIENT, "id": "1"}, {"resourceType": "X", "id": "2"}, {"resourceType": "X", "id": "2"}),
            FindingCode.REFERENCE_AMBIGUOUS,
        ),
    ],
    ids=["two-patients", "no-patient", "outside-reference", "lost-contained", "one-name-for-two"],
)
def test_an_unclear_document_is_told(resources: tuple[dict[str, Any], ...], expected: FindingCode) -> None:
    assert codes(read_document(bundle(*resources))) == [expected]


def test_a_long_encoded_value_is_shortened_with_its_digest() -> None:
    blob = "QUJD" * 1000
    document = read_document(bundle(PATIENT, {"resourceType": "Binary", "data": blob}))
    assert codes(document) == [FindingCode.VALUE_SHORTENED]
    (value,) = shown(document, "entry[1].resource.data")
    assert hashlib.sha256(blob.encode()).hexdigest() in value
    assert len(value) < 300


def test_long_text_is_never_shortened() -> None:
    note = "سطر بلند، " * 1000
    document = read_document(bundle(PATIENT, {"resourceType": "MedicationRequest", "note": [{"text": note}]}))
    assert shown(document, "Item 1, Note") == [note]
    assert document.warnings == ()


def test_other_json_is_listed_by_path() -> None:
    document = read_document(b' {"a":{"b":1.0}}')
    assert (document.kind, document.content_type) == (DocumentKind.JSON, "application/json")
    assert [(field.label_en, field.value) for field in document.fields] == [("a.b", "1.0")]


def test_a_pdf_tells_its_pages_and_what_acts() -> None:
    document = read_document(sample_pdf())
    assert (document.kind, document.content_type) == (DocumentKind.PDF, "application/pdf")
    assert shown(document, "Pages") == ["1"]
    assert document.warnings == ()
    assert codes(read_document(encrypted_pdf())) == [FindingCode.PDF_ENCRYPTED]
    scripted = page_pdf(catalogue="/OpenAction << /S /JavaScript /JS (1) >>")
    assert codes(read_document(scripted)) == [FindingCode.PDF_SCRIPT]


def test_anything_else_is_digest_and_size() -> None:
    document = read_document(b"\x00plain")
    assert (document.kind, document.fields, document.size) == (DocumentKind.OTHER, (), 6)


def test_people_are_not_in_the_repr() -> None:
    document = read_document(sample_prescription())
    for text in (repr(document), repr(document.fields)):
        assert "0000012351" not in text
        assert "علی" not in text


def test_the_statement_of_legal_effect_speaks_both_languages() -> None:
    assert "امضا" in LEGAL_EFFECT.fa
    assert "handwritten" in LEGAL_EFFECT.en


@pytest.mark.parametrize(
    "attack",
    [
        b'{"resourceType":"Bundle","resourceType":"Patient"}',
        b'{"a":{"x":1,"x":2}}',
        b'\xef\xbb\xbf{"resourceType":"Bundle"}',
        b'{"resourceType":"Bundle"} trailing',
        b'{"resourceType":"Bundle","x":"\\udc00"}',
        b'{"resourceType":"Bundle","x":NaN}',
        b"{" * 3000,
        b"[" * 100 + b"]" * 100,
        b'{"x":"\xff"}',
    ],
    ids=["duplicate", "inner-duplicate", "bom", "trailing", "half-character", "nan", "unclosed", "deep", "not-utf8"],
)
def test_what_two_programs_could_read_differently_is_refused(attack: bytes) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_document(attack)
    assert refused.value.code is ErrorCode.JSON_MALFORMED


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", ErrorCode.INPUT_EMPTY),
        (bytes(MAX_DOCUMENT_OCTETS + 1), ErrorCode.INPUT_TOO_LARGE),
        (b"[" + b"1," * documents.MAX_ELEMENTS + b"1]", ErrorCode.INPUT_TOO_LARGE),
        (b"[" + b" " * documents.MAX_JSON_OCTETS + b"]", ErrorCode.INPUT_TOO_LARGE),
        (b"%PDF-1.7 nothing", ErrorCode.INPUT_MALFORMED),
    ],
    ids=["empty", "oversized", "too-many-elements", "too-much-json", "broken-pdf"],
)
def test_a_document_has_bounds(data: bytes, code: ErrorCode) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_document(data)
    assert refused.value.code is code


@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_but_ours(data: bytes) -> None:
    try:
        read_document(data)
    except ServiceError as error:
        assert error.code


NAMES = """
resourceType entry resource fullUrl id name family given identifier value system reference contained extension url
medicationReference dosageInstruction doseAndRate doseQuantity dispenseRequest quantity timing repeat
"""
names = st.sampled_from(NAMES.split())
kinds = st.sampled_from(["Bundle", "MedicationRequest", "Medication", "Patient", "Practitioner", "Composition", "#"])
trees = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | kinds | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=5),
    max_leaves=25,
)


@given(trees)
def test_any_shape_of_fhir_is_shown_whole(value: object) -> None:
    data = json.dumps({"resourceType": "Bundle", "entry": value}).encode()
    document = read_document(data)
    text = "\n".join(field.value for field in document.fields)
    for leaf in leaves_of(data):
        if isinstance(leaf.value, str | JsonNumber):
            assert mark_hidden(leaf.peek())[0] in text
