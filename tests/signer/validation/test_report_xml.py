"""The XML report, read back by the bindings that pyHanko generated from the schema of ETSI TS 119 102-2."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.formats.jades import sign_jades
from signer.validation.report_xml import report_xml
from signer.validation.verdict import FileVerdict, Finding, Indication, SubIndication
from signer.validation.verify import verify_bytes
from tests.signer.validation.test_rows_time import BEFORE, STAMPED, revoked
from tests.support.zoo import SIGNED_AT, Zoo

MAIN, SUB = "urn:etsi:019102:mainindication:", "urn:etsi:019102:subindication:"


def read(data: bytes) -> Any:
    """Read a report strictly: an element that the schema does not have is an error."""
    from pyhanko.generated.etsi.ts_11910202 import ValidationReport
    from xsdata.formats.dataclass.parsers import XmlParser
    from xsdata.formats.dataclass.parsers.config import ParserConfig

    strict = ParserConfig(fail_on_unknown_properties=True, fail_on_unknown_attributes=True)
    return XmlParser(config=strict).from_bytes(data, ValidationReport)


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


@given(text=st.text(alphabet=st.characters(codec=None, exclude_categories=()), max_size=40))
def test_nothing_that_a_stranger_wrote_breaks_the_report(zoo: Zoo, text: str) -> None:
    by = zoo.clinician
    good = verify_bytes(sign_jades(b"{}", by.key, by.chain, signed_at=SIGNED_AT), zoo.context())
    finding = Finding(
        reason=next(iter(good.signatures[0].findings)).reason,
        indication=Indication.FAILED,
        sub_indication=SubIndication.GENERIC,
        detail=text,
        about=text,
    )
    verdict = FileVerdict(
        format=good.format,
        indication=good.indication,
        sub_indication=None,
        validated_at=good.validated_at,
        policy=text,
        offline=True,
        signatures=(*good.signatures, *good.signatures),
        findings=(finding,),
    )
    assert len(report_of(verdict).signature_validation_report) == 2
