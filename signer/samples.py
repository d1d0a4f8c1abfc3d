"""Synthetic documents for the demo, benches and tests: nobody in them exists.

National codes are the two kept for examples; identifier systems are placeholders under id.example.org
(RFC 6761 §6.5) that a deployer replaces.
"""

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

_SYSTEM: Final = "https://id.example.org/ir/"
_ISSUED_AT: Final = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
_NAMESPACE: Final = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")  # RFC 9562 §6.6, URL


def sample_prescription(
    *,
    number: int = 1,
    prescriber: str = "سارا نمونه",
    council_number: str = "123456",
    patient: str = "علی نمونه",
    patient_code: str = "0000012351",
    issued_at: datetime = _ISSUED_AT,
) -> bytes:
    """Return a FHIR R4 document Bundle of two medications as UTF-8 JSON.

    The same arguments give the same bytes. `prescriber` and `patient` are given name, space, surname.
    """
    when = issued_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    resources = [
        _composition(when),
        _patient(patient, patient_code),
        _practitioner(prescriber, council_number),
        _role(),
        _organization(),
        _coverage(),
        *(_request(line, number, when) for line in _LINES),
    ]
    bundle = {
        "resourceType": "Bundle",
        "identifier": {"system": f"{_SYSTEM}prescription", "value": f"urn:uuid:{_uuid(f'prescription-{number}')}"},
        "type": "document",
        "timestamp": when,
        "entry": [{"fullUrl": _urn(resource.pop("fullUrl")), "resource": resource} for resource in resources],
    }
    text = json.dumps(bundle, ensure_ascii=False, indent=1)
    return re.sub(r'"@([0-9.]+)@"', r"\1", text).encode()


def _uuid(name: str) -> uuid.UUID:
    return uuid.uuid5(_NAMESPACE, f"{_SYSTEM}sample/{name}")


def _urn(name: str) -> str:
    return f"urn:uuid:{_uuid(name)}"


def _link(name: str) -> dict[str, str]:
    return {"reference": _urn(name)}


def _identifier(system: str, value: str) -> dict[str, str]:
    return {"system": _SYSTEM + system, "value": value}


def _concept(system: str, code: str, display: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code, "display": display}]}


def _name(whole: str) -> list[dict[str, Any]]:
    given, _, family = whole.partition(" ")
    return [{"use": "official", "family": family, "given": [given]}]


def _composition(when: str) -> dict[str, Any]:
    return {
        "fullUrl": "composition",
        "resourceType": "Composition",
        "status": "final",
        "type": _concept("http://loinc.org", "57833-6", "Prescription for medication"),
        "subject": _link("patient"),
        "date": when,
        "author": [_link("role")],
        "title": "نسخهٔ الکترونیکی (نمونهٔ ساختگی)",
        "custodian": _link("organization"),
        "section": [{"title": "اقلام نسخه", "entry": [_link(f"request-{line['line']}") for line in _LINES]}],
    }


def _patient(name: str, code: str) -> dict[str, Any]:
    return {
        "fullUrl": "patient",
        "resourceType": "Patient",
        "identifier": [_identifier("national-code", code)],
        "name": _name(name),
        "gender": "male",
        "birthDate": "1985-03-21",
    }


def _practitioner(name: str, council_number: str) -> dict[str, Any]:
    return {
        "fullUrl": "practitioner",
        "resourceType": "Practitioner",
        "identifier": [_identifier("medical-council", council_number)],
        "name": _name(name),
        "qualification": [{"code": {"text": "پزشک"}}],
    }


def _role() -> dict[str, Any]:
    return {
        "fullUrl": "role",
        "resourceType": "PractitionerRole",
        "practitioner": _link("practitioner"),
        "organization": _link("organization"),
        "code": [{"text": "پزشک معالج"}],
        "specialty": [{"text": "پزشکی عمومی"}],
    }


def _organization() -> dict[str, Any]:
    return {
        "fullUrl": "organization",
        "resourceType": "Organization",
        "identifier": [_identifier("siam", "sample-0001")],
        "name": "درمانگاه نمونه",
        "address": [{"line": ["خیابان نمونه، پلاک ۱"], "city": "تهران", "country": "IR"}],
    }


def _coverage() -> dict[str, Any]:
    return {
        "fullUrl": "coverage",
        "resourceType": "Coverage",
        "status": "active",
        "beneficiary": _link("patient"),
        "payor": [{"display": "بیمهٔ نمونه"}],
    }


_LINES: Final[tuple[dict[str, Any], ...]] = (
    {
        "line": 1,
        "drug": ("00001", "AMOXICILLIN 500 mg CAPSULE", "آموکسی‌سیلین ۵۰۰ میلی‌گرم کپسول"),
        "directions": "هر ۸ ساعت یک عدد تا ۷ روز",
        "timing": {"repeat": {"frequency": 1, "period": 8, "periodUnit": "h"}},
        "dose": {"value": 1, "unit": "عدد"},
        "quantity": {"value": 21, "unit": "عدد"},
        "repeats": 0,
        "needed": False,
    },
    {
        "line": 2,
        "drug": ("00002", "PARACETAMOL 120 mg/5 mL SYRUP", "شربت استامینوفن ۱۲۰ میلی‌گرم در ۵ میلی‌لیتر"),
        "directions": "در صورت تب، حداکثر ۴ بار در روز",
        "timing": {"repeat": {"frequency": 4, "period": 1, "periodUnit": "d"}},
        "dose": {"value": "@7.50@", "unit": "mL", "system": "http://unitsofmeasure.org", "code": "mL"},
        "quantity": {"value": 1, "unit": "شیشه"},
        "repeats": 1,
        "needed": True,
    },
)


def _request(line: Mapping[str, Any], number: int, when: str) -> dict[str, Any]:
    code, display, text = line["drug"]
    return {
        "fullUrl": f"request-{line['line']}",
        "resourceType": "MedicationRequest",
        "groupIdentifier": _identifier("prescription", f"1405-{number:06}"),
        "status": "active",
        "intent": "order",
        "priority": "routine",
        "medicationCodeableConcept": {**_concept(f"{_SYSTEM}generic", code, display), "text": text},
        "subject": _link("patient"),
        "authoredOn": when,
        "requester": _link("role"),
        "insurance": [_link("coverage")],
        "dosageInstruction": [
            {
                "text": line["directions"],
                "timing": line["timing"],
                "asNeededBoolean": line["needed"],
                "route": {"text": "خوراکی"},
                "doseAndRate": [{"doseQuantity": line["dose"]}],
            }
        ],
        "dispenseRequest": {"numberOfRepeatsAllowed": line["repeats"], "quantity": line["quantity"]},
        "substitution": {"allowedBoolean": True},
    }


def write_pdf(objects: Sequence[bytes], *, trailer: Mapping[str, str] | None = None) -> bytes:
    """Write a PDF 1.7 whose objects are numbered from 1; the first is the catalogue."""
    body = bytearray(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(body)
    body += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    for offset in offsets:
        body += b"%010d 00000 n \n" % offset
    entries = {"Size": str(len(objects) + 1), "Root": "1 0 R", **(trailer or {})}
    inner = " ".join(f"/{name} {value}" for name, value in entries.items())
    return bytes(body) + f"trailer\n<< {inner} >>\nstartxref\n{start}\n%%EOF\n".encode()


def pdf_page_objects(lines: Sequence[str], *, catalogue: str = "", page: str = "") -> list[bytes]:
    """Return catalogue, page tree, one A5 page, its text and its font; the strings add dictionary entries."""
    text = "\n".join(f"({line}) Tj T*" for line in lines)
    content = f"BT /F1 11 Tf 40 540 Td 16 TL\n{text}\nET".encode("latin-1")
    return [
        f"<< /Type /Catalog /Pages 2 0 R /Lang (en) {catalogue} >>".encode(),
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        (
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 420 595] /Contents 4 0 R"
            f" /Resources << /Font << /F1 5 0 R >> >> {page} >>"
        ).encode(),
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]


def sample_pdf() -> bytes:
    """Return a one-page prescription as PDF, Latin letters only."""
    lines = (
        "PRESCRIPTION \\(synthetic\\)",
        "No. 1405-000123    22 November 2026",
        "Patient: Ali Nemooneh    National code: 0000012351",
        "Prescriber: Dr Sara Nemooneh    Medical council: 123456",
        "",
        "1. Amoxicillin 500 mg capsule, 21, one every 8 hours for 7 days",
        "2. Ibuprofen 400 mg tablet, 10, one when needed, at most 3 a day",
    )
    return write_pdf(pdf_page_objects(lines))
