"""The XML report, read back by the bindings that pyHanko generated from the schema of ETSI TS 119 102-2."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.validation.report_xml import report_xml
from signer.validation.verdict import FileVerdict, Finding, Indication, SubIndication
from signer.validation.verify import verify_bytes
from tests.signer.validation.test_rows_time import BEFORE, STAMPED, revoked
from tests.support.zoo import Zoo

VR = "{http://uri.etsi.org/19102/v1.2.1#}"
MAIN, SUB = "urn:etsi:019102:mainindication:", "urn:etsi:019102:subindication:"


@cache
def parser() -> Any:
    """Make a strict parser: an element that the schema does not have is an error."""
    from xsdata.formats.dataclass.parsers import XmlParser
    from xsdata.formats.dataclass.parsers.config import ParserConfig

    return XmlParser(config=ParserConfig(fail_on_unknown_properties=True, fail_on_unknown_attributes=True))


def read(data: bytes) -> Any:
    from pyhanko.generated.etsi.ts_11910202 import ValidationReport

    return parser().from_bytes(data, ValidationReport)


def missing(node: Any, path: str = "report") -> Iterator[str]:
    """Yield what the schema demands and is not there."""
    if isinstance(node, tuple):
        for index, one in enumerate(node):
            yield from missing(one, f"{path}[{index}]")
    elif is_dataclass(node):
        for field in fields(node):
            value = getattr(node, field.name)
            few = field.metadata.get("min_occurs", 0)
            if (field.metadata.get("required") and value is None) or (isinstance(value, tuple) and len(value) < few):
                yield f"{path}.{field.name}"
            yield from missing(value, f"{path}.{field.name}")


def references(node: Any, name: str) -> Iterator[str]:
    if isinstance(node, tuple):
        for one in node:
            yield from references(one, name)
    elif is_dataclass(node):
        for field in fields(node):
            value = getattr(node, field.name)
            if field.name == name and value:
                yield from value if isinstance(value, tuple) else (value,)
            else:
                yield from references(value, name)


def report_of(verdict: FileVerdict) -> Any:
    data = report_xml(verdict)
    assert data == report_xml(verdict)
    found = read(data)
    assert list(missing(found)) == []
    names = list(references(found, "id"))
    assert len(names) == len(set(names))
    assert set(references(found, "voreference")) <= set(names)
    return found


@pytest.mark.parametrize("form", STAMPED)
def test_a_good_file_is_told_with_its_time_and_path(zoo: Zoo, form: str) -> None:
    verdict = verify_bytes(STAMPED[form](zoo), zoo.context())
    (part,) = report_of(verdict).signature_validation_report
    assert part.signature_validation_status.main_indication == f"{MAIN}total-passed"
    assert part.signature_validation_process.signature_validation_process_id.endswith(":LTVM")
    assert part.validation_time_info.best_signature_time.poeobject is not None
    (data,) = part.signature_validation_status.associated_validation_report_data
    assert data.certificate_chain.trust_anchor is not None
    asked = part.validation_constraints_evaluation_report.validation_constraint
    ended = {one.validation_constraint_identifier.rpartition(":")[2]: one for one in asked}
    assert ended["signature-value"].validation_status.main_indication.endswith(":passed")
    assert ended["path-admitted"].constraint_status.status.endswith(":disabled")
    assert len([one for one in asked if one.validation_constraint_identifier.endswith(":certificate-in-force")]) == 2
    quality = part.signature_quality.signature_quality_information
    assert "urn:mohr:validation:assurance:A3" in quality


def test_a_time_stamp_has_a_report_of_its_own(zoo: Zoo) -> None:
    report = report_of(verify_bytes(STAMPED["cades"](zoo), zoo.context()))
    objects = report.signature_validation_objects.validation_object
    (stamp,) = (one for one in objects if one.object_type.endswith(":timestamp"))
    assert str(stamp.poeprovisioning.poetime) == "2026-11-20T09:00:00Z"
    assert stamp.validation_report.signature_validation_status.main_indication == f"{MAIN}passed"
    asked = stamp.validation_report.validation_constraints_evaluation_report.validation_constraint
    assert any(one.validation_constraint_identifier.endswith(":imprint-intact") for one in asked)


def test_a_revoked_signer_is_told_with_date_and_reason(zoo: Zoo) -> None:
    verdict = verify_bytes(STAMPED["jades"](zoo), revoked(zoo, BEFORE))
    (part,) = report_of(verdict).signature_validation_report
    assert part.signature_validation_status.main_indication == f"{MAIN}total-failed"
    assert part.signature_validation_status.sub_indication == (f"{SUB}REVOKED",)
    (data,) = part.signature_validation_status.associated_validation_report_data
    assert data.revocation_status_information is not None


@pytest.mark.parametrize("data", [b"", b"nothing signed", b"%PDF-1.7", b'{"payload":"","signatures":[]}'])
def test_a_file_without_signatures_has_a_report_too(zoo: Zoo, data: bytes) -> None:
    (part,) = report_of(verify_bytes(data, zoo.context())).signature_validation_report
    assert part.signature_identifier is None


def test_every_vector_has_a_report_that_the_schema_takes(vectors: Path, zoo: Zoo) -> None:
    for folder in ("jades", "cades", "asic"):
        for path in sorted((vectors / folder).iterdir()):
            report_of(verify_bytes(path.read_bytes(), zoo.context()))


@pytest.fixture(scope="module")
def good(zoo: Zoo, jades: bytes) -> FileVerdict:
    return verify_bytes(jades, zoo.context())


def saying(good: FileVerdict, text: str) -> FileVerdict:
    """Put a stranger's text wherever a verdict may hold one; its signature appears twice."""
    finding = Finding(
        reason=good.signatures[0].findings[0].reason,
        indication=Indication.FAILED,
        sub_indication=SubIndication.GENERIC,
        detail=text,
        about=text,
    )
    policy = replace(good.policy, name=text)
    return replace(good, policy=policy, signatures=(*good.signatures, *good.signatures), findings=(finding,))


def readable(text: str) -> str:
    return "".join(char for char in text if char.isprintable() and char != "\ufffd")


@given(text=st.text(alphabet=st.characters(codec=None, exclude_categories=()), max_size=40))
def test_nothing_that_a_stranger_wrote_breaks_the_report(good: FileVerdict, text: str) -> None:
    root = ET.fromstring(report_xml(saying(good, text)))  # noqa: S314 - our own report
    names = [element.text for element in root.iter(f"{VR}PolicyName")]
    assert [readable(name or "") for name in names] == [readable(text)] * 2


def test_a_report_on_hostile_text_keeps_to_the_schema(good: FileVerdict) -> None:
    text = "\0\x1b[2J\ud800\u202e<script>]]>&amp;\ufffe" + "ن" * 10_000
    assert len(report_of(saying(good, text)).signature_validation_report) == 2
