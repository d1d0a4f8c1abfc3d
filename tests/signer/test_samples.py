import json

from pki.identity import parse_national_code
from signer.formats.pades import inspect_pdf
from signer.samples import sample_pdf, sample_prescription


def test_the_same_arguments_give_the_same_bytes() -> None:
    assert sample_prescription() == sample_prescription()
    assert sample_prescription(number=2) != sample_prescription()
    assert sample_pdf() == sample_pdf()


def test_people_are_as_asked_for() -> None:
    data = sample_prescription(prescriber="مریم آزمایشی", council_number="4321", patient_code="0000012343")
    resources = {entry["resource"]["resourceType"]: entry["resource"] for entry in json.loads(data)["entry"]}
    assert resources["Practitioner"]["name"][0] == {"use": "official", "family": "آزمایشی", "given": ["مریم"]}
    assert resources["Practitioner"]["identifier"][0]["value"] == "4321"
    assert parse_national_code(resources["Patient"]["identifier"][0]["value"]) == "0000012343"


def test_it_carries_a_decimal_whose_digits_matter() -> None:
    assert b'"value": 7.50,' in sample_prescription()


def test_the_page_is_a_readable_pdf() -> None:
    assert inspect_pdf(sample_pdf()).pages == 1
