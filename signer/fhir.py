"""What a FHIR R4 document says, in the order a prescriber thinks (the fields of 21 CFR 1311.120(b)(9) among them).

Any Bundle or single resource is read without a profile: what is known gets its name in Persian and English,
everything else follows by its path. Numbers keep their digits; references are followed inside the document.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from signer.elements import (
    Element,
    address,
    choice,
    concept,
    extensions,
    human_name,
    identifier,
    join,
    period,
    quantity,
    ratio,
    reference,
    remaining,
    timing,
    typed,
)
from signer.fields import Field, Lines, detail_fields, moment, text_findings
from signer.findings import Finding, FindingCode
from signer.visible import mark_hidden

_ABSENT: Final = Element(None, "", set())


class _Document:
    """The resources of a Bundle (or one alone) and the ways to refer to them."""

    def __init__(self, root: Element) -> None:
        self.root = root
        self._uses: Counter[str] = Counter()
        self._by_name: dict[str, Element] = {}
        self.is_bundle = root.get("resourceType").peek() == "Bundle"
        entries = root.get("entry").each() if self.is_bundle else ()
        self.resources = tuple(entry.get("resource") for entry in entries) if self.is_bundle else (root,)
        for entry, resource in zip(entries, self.resources, strict=False):
            kind, identity = resource.get("resourceType").peek(), resource.get("id").peek()
            for name in {entry.get("fullUrl").peek(), f"{kind}/{identity}" if identity else ""} - {""}:
                self._uses[name] += 1
                self._by_name.setdefault(name, resource)
        self._contained = {
            (resource.path, f"#{item.get('id').peek()}"): item
            for resource in self.resources
            for item in resource.get("contained").each()
        }

    def of_type(self, *kinds: str) -> tuple[Element, ...]:
        """Return the resources of these types, in order."""
        return tuple(resource for resource in self.resources if resource.get("resourceType").peek() in kinds)

    def follow(self, link: Element, holder: Element) -> Element:
        """Return what a Reference in `holder` points to; an empty element when it is not in the document."""
        return self._find(link.get("reference").peek(), holder)

    def _find(self, name: str, holder: Element) -> Element:
        return self._by_name.get(name) or self._contained.get((holder.path, name)) or _ABSENT

    def findings(self) -> Iterator[Finding]:
        """Report names of two things, references to nothing in the document, and an unclear patient."""
        for name, count in self._uses.items():
            if count > 1:
                yield Finding(code=FindingCode.REFERENCE_AMBIGUOUS, where=mark_hidden(name)[0])
        for resource in self.resources:
            for leaf in resource.leaves():
                name = leaf.peek() if leaf.path.endswith(".reference") else ""
                if name and name != "#" and not self._find(name, resource):
                    yield Finding(code=FindingCode.REFERENCE_UNRESOLVED, where=leaf.path)
        patients = len(self.of_type("Patient"))
        if patients > 1:
            yield Finding(code=FindingCode.SEVERAL_PATIENTS)
        if patients == 0 and self.of_type("MedicationRequest"):
            yield Finding(code=FindingCode.PATIENT_ABSENT)


def fhir_fields(value: Any) -> tuple[tuple[Field, ...], tuple[Finding, ...]]:
    """Read a FHIR document, parsed with exact numbers: every element as a line, and what to warn of."""
    root = Element(value, "", set())
    document, lines = _Document(root), Lines()
    _head(document, lines)
    for patient in document.of_type("Patient"):
        _patient(patient, lines)
    for coverage in document.of_type("Coverage"):
        _coverage(coverage, lines)
    prescribers = _prescribers(document)
    for person in document.of_type("Practitioner", "PractitionerRole"):
        label = ("نسخه‌نویس", "Prescriber") if person in prescribers else ("همکار", "Practitioner")
        _practitioner(person, *label, lines)
    for organization in document.of_type("Organization"):
        _organization(organization, lines)
    for number, request in enumerate(document.of_type("MedicationRequest"), start=1):
        _medication_request(document, request, number, lines)
    lines.section()
    for other in document.resources:
        if other.get("resourceType").peek() not in _KNOWN:
            lines.add("بخش دیگر سند", "Other part of the document", other.get("resourceType").text() or "?")
    return (*lines.fields(), *detail_fields(root)), (*document.findings(), *text_findings(root))


def prescribed_items(value: Any) -> tuple[tuple[str, str, str], ...]:
    """Read medicine, quantity and directions of each item prescribed, in the document's own words.

    Items that are withdrawn are left out; what is no FHIR document prescribes nothing.
    """
    document = _Document(Element(value, "", set()))
    return tuple(
        (_medicine(document, request), quantity(request.get("dispenseRequest").get("quantity")), _directions(request))
        for request in document.of_type("MedicationRequest")
        if request.get("status").peek() in ("", "active")
    )


def _medicine(document: _Document, request: Element) -> str:
    named = request.get("medicationCodeableConcept") or document.follow(request.get("medicationReference"), request)
    code, ingredients = named.get("code") or named, named.get("ingredient").each()
    mixed = join(*(concept(item.get("itemCodeableConcept")) for item in ingredients), by=" + ")
    return code.get("text").text() or mixed or concept(code) or reference(request.get("medicationReference"))


def _directions(request: Element) -> str:
    dosages = request.get("dosageInstruction").each()
    return join(*(dosage.get("text").text() or timing(dosage.get("timing")) for dosage in dosages), by=" · ")


_KNOWN: Final = frozenset(
    {
        "Bundle",
        "Composition",
        "Patient",
        "Coverage",
        "Practitioner",
        "PractitionerRole",
        "Organization",
        "Medication",
        "MedicationRequest",
    }
)


def _head(document: _Document, lines: Lines) -> None:
    root = document.root
    if document.is_bundle:
        lines.add("شناسهٔ سند", "Document id", identifier(root.get("identifier")))
        lines.add("زمان صدور", "Issued", moment(root.get("timestamp").text()))
    for composition in document.of_type("Composition"):
        lines.add("نوع سند", "Document type", join(composition.get("title").text(), concept(composition.get("type"))))
        lines.add("تاریخ سند", "Document date", moment(composition.get("date").text()))
        lines.add("وضعیت سند", "Document status", composition.get("status").text())
        for relation in composition.get("relatesTo").each():
            target = typed(relation.get("targetIdentifier"), "Identifier")
            link = relation.get("targetReference")
            value = join(relation.get("code").text(), target, reference(link), link.get("reference").text())
            lines.add("جایگزین یا وابسته به", "Replaces or relates to", value)


def _patient(patient: Element, lines: Lines) -> None:
    lines.add("نام بیمار", "Patient", *(human_name(name) for name in patient.get("name").each()))
    lines.add("شناسهٔ بیمار", "Patient id", *(identifier(item) for item in patient.get("identifier").each()))
    lines.add("تاریخ تولد", "Birth date", moment(patient.get("birthDate").text()))
    lines.add("جنسیت", "Sex", patient.get("gender").text())
    lines.add("نشانی بیمار", "Patient's address", *(address(item) for item in patient.get("address").each()))


def _coverage(coverage: Element, lines: Lines) -> None:
    lines.add("بیمه‌گر", "Insurer", *(reference(payor) for payor in coverage.get("payor").each()))
    lines.add("نوع بیمه", "Insurance", concept(coverage.get("type")))
    lines.add("شناسهٔ بیمه", "Insurance id", *(identifier(item) for item in coverage.get("identifier").each()))
    lines.add("شناسهٔ بیمه‌شده", "Subscriber id", coverage.get("subscriberId").text())


def _prescribers(document: _Document) -> list[Element]:
    """Return who requested a medication or wrote the document, roles and the people in them."""
    links = [(request.get("requester"), request) for request in document.of_type("MedicationRequest")]
    links += [(author, item) for item in document.of_type("Composition") for author in item.get("author").each()]
    found = [target for link, holder in links if (target := document.follow(link, holder))]
    behind = [document.follow(role.get("practitioner"), role) for role in found]
    return [*found, *behind]


def _practitioner(person: Element, fa: str, en: str, lines: Lines) -> None:
    lines.add(fa, en, *(human_name(name) for name in person.get("name").each()))
    numbers = [identifier(item) for item in person.get("identifier").each()]
    lines.add(f"شمارهٔ {fa}", f"{en}'s number", *numbers)
    roles = [concept(item.get("code")) for item in person.get("qualification").each()]
    roles += [concept(item) for item in person.get("code").each()]
    lines.add("حرفه", "Profession", *roles)
    lines.add("تخصص", "Specialty", *(concept(item) for item in person.get("specialty").each()))


def _organization(organization: Element, lines: Lines) -> None:
    lines.add("مرکز", "Place", organization.get("name").text())
    lines.add("شناسهٔ مرکز", "Place id", *(identifier(item) for item in organization.get("identifier").each()))
    lines.add("نشانی مرکز", "Place's address", *(address(item) for item in organization.get("address").each()))
    lines.add(
        "تماس مرکز", "Place's contact", *(item.get("value").text() for item in organization.get("telecom").each())
    )


def _medication_request(document: _Document, request: Element, number: int, lines: Lines) -> None:
    lines.section(f"قلم {number}", f"Item {number}")
    link = request.get("medicationReference")
    medication = document.follow(link, request)
    lines.add("دارو", "Medication", concept(request.get("medicationCodeableConcept")), reference(link))
    if medication:
        _medication(medication, lines)
    for dosage in request.get("dosageInstruction").each():
        _dosage(dosage, lines)
    _dispense(request.get("dispenseRequest"), lines)
    substitution = request.get("substitution")
    lines.add("جایگزینی مجاز است", "Substitution allowed", choice(substitution, "allowed"))
    lines.add("دلیل جایگزینی", "Substitution reason", concept(substitution.get("reason")))
    lines.add("علت", "Reason", *(concept(item) for item in request.get("reasonCode").each()))
    lines.add("اولویت", "Priority", request.get("priority").text())
    lines.add("یادداشت", "Note", *(note.get("text").text() for note in request.get("note").each()))
    state = join(request.get("status").text(), request.get("intent").text(), by=", ")
    lines.add("وضعیت", "Status", state)
    lines.add("شمارهٔ نسخه", "Prescription number", identifier(request.get("groupIdentifier")))
    lines.add("شناسهٔ قلم", "Item id", *(identifier(item) for item in request.get("identifier").each()))
    lines.add("تاریخ تجویز", "Written on", moment(request.get("authoredOn").text()))
    lines.add("ویژگی‌ها", "Attributes", extensions(request))


def _medication(medication: Element, lines: Lines) -> None:
    lines.add("دارو", "Medication", concept(medication.get("code")))
    lines.add("شکل", "Form", concept(medication.get("form")))
    for ingredient in medication.get("ingredient").each():
        item = join(concept(ingredient.get("itemCodeableConcept")), reference(ingredient.get("itemReference")))
        strength = ratio(ingredient.get("strength"))
        lines.add("ماده و قدرت", "Ingredient and strength", join(item, strength, extensions(ingredient), by=" · "))
    lines.add("اندازهٔ بسته", "Package", ratio(medication.get("amount")))
    lines.add("سری ساخت", "Batch", remaining(medication.get("batch")))
    lines.add("ویژگی‌های دارو", "Medication attributes", extensions(medication))


def _dosage(dosage: Element, lines: Lines) -> None:
    lines.add("دستور مصرف", "Directions", dosage.get("text").text())
    lines.add("دستور به بیمار", "Patient instruction", dosage.get("patientInstruction").text())
    lines.add("توضیح", "Additional instruction", *(concept(i) for i in dosage.get("additionalInstruction").each()))
    for rate in dosage.get("doseAndRate").each():
        dose = join(choice(rate, "dose"), choice(rate, "rate"), concept(rate.get("type")), by=" · ")
        lines.add("مقدار هر نوبت", "Dose", dose)
    lines.add("زمان‌بندی", "Timing", timing(dosage.get("timing")))
    lines.add("در صورت نیاز", "As needed", choice(dosage, "asNeeded"))
    lines.add("راه مصرف", "Route", concept(dosage.get("route")))
    lines.add("محل مصرف", "Site", concept(dosage.get("site")))
    lines.add("روش مصرف", "Method", concept(dosage.get("method")))
    lines.add("حداکثر در دوره", "Maximum per period", ratio(dosage.get("maxDosePerPeriod")))
    lines.add("حداکثر هر نوبت", "Maximum per dose", quantity(dosage.get("maxDosePerAdministration")))
    lines.add("ویژگی‌های دستور", "Directions' attributes", extensions(dosage))


def _dispense(dispense: Element, lines: Lines) -> None:
    lines.add("مقدار", "Quantity", quantity(dispense.get("quantity")))
    lines.add("تکرار", "Repeats", dispense.get("numberOfRepeatsAllowed").text())
    lines.add("فاصلهٔ تکرار", "Repeat interval", quantity(dispense.get("dispenseInterval")))
    lines.add("دورهٔ مصرف", "Expected duration", quantity(dispense.get("expectedSupplyDuration")))
    lines.add("اعتبار", "Valid", period(dispense.get("validityPeriod")))
    lines.add("ویژگی‌های تحویل", "Dispense attributes", extensions(dispense))
