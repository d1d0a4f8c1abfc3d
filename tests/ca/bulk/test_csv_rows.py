"""Bulk files as CSV: what spreadsheets write is read, and what is uncertain is refused by its row."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.bulk import csv_rows
from ca.bulk.csv_rows import COLUMNS, split_csv
from ca.bulk.format import MAX_ROW_OCTETS, parse_row
from ca.line_formats import LineFormat, csv_line
from ca.profile_file import pilot_profiles
from ca.registration import parse_registration
from ca.registries.answers import Source
from pki.errors import ErrorCode, InvalidInput
from pki.identity_file import pilot_identities
from tests.ca.bulk.conftest import Bulk
from tests.ca.bulk.test_format import pem_csr
from tests.ca.world import CITIZEN, CLERK, CLINICIAN

PROFILES = pilot_profiles()
CITIZENS = "kind,national_code,given_name,surname\ncitizen,{},مریم,احمدی\n"


def read(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(row) for row in split_csv(data)]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "marked"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("separator", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
def test_what_a_spreadsheet_writes_is_read(mark: bytes, end: str, separator: str) -> None:
    columns = ["kind", "national_code", "given_name", "surname", "province"]
    cells = ["citizen", "0012345679", "مریم", 'احمدی، "م"', ""]
    out = io.StringIO()
    csv.writer(out, delimiter=separator, lineterminator=end).writerows([columns, cells])
    assert read(mark + out.getvalue().encode()) == [dict(zip(columns[:4], cells[:4], strict=True))]


def test_digits_and_lists_come_out_as_from_json() -> None:
    persian = str(CITIZEN["national_code"]).translate(str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹"))
    arabic = str(CITIZEN["national_code"]).translate(str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩"))
    unpadded = str(CITIZEN["national_code"])[2:]  # two zeros that a spreadsheet took for nothing
    text = CITIZENS.format(persian) + "".join(f"citizen,{one},a,b\n" for one in (arabic, unpadded))
    rows = split_csv(text.encode())
    holders = [parse_registration(parse_row(row, PROFILES).registration, pilot_identities()).holder for row in rows]
    assert holders == [CITIZEN["national_code"]] * 3
    digest = "ab" * 32
    listed = f"kind,hosts,evidence\nsystem,a.example  b.example,letter: of 1404:{digest} | seal:{digest}\n"
    assert read(listed.encode()) == [
        {
            "kind": "system",
            "hosts": ["a.example", "b.example"],
            "evidence": [{"what": "letter: of 1404", "sha256": digest}, {"what": "seal", "sha256": digest}],
        }
    ]


def test_a_request_stands_in_a_cell_with_its_lines() -> None:
    request, out = pem_csr(), io.StringIO()
    members = {**CLINICIAN, "profile": "clin-sign", "csr": request}
    writer = csv.DictWriter(out, list(members), quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerow(members)
    (row,) = split_csv(out.getvalue().encode())
    assert parse_row(row, PROFILES).csr == request.strip().encode()


SECRET = "0499370899"  # whatever a cell says, no message does


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("", "there is no header"),
        (f"{SECRET},b\n", "column 1 of the header is not known"),
        (f"kind,{SECRET}\ncitizen,x\n", "column 2 of the header is not known"),
        ("kind,Kind\n", "column 2 of the header is not known"),
        ("kind,name,kind\na,b,c\n", "column 3 of the header comes twice"),
        ("kind,name\n", "no row follows the header"),
        (f"kind,name\ncitizen,{SECRET}\n\ncitizen,b\n", "row 2 is empty"),
        ("kind,name\ncitizen,a\n,\n", "row 2 is empty"),
        (f"kind,name\ncitizen,{SECRET},c\n", "row 1 has 3 cells, the header 2"),
        (f"kind,name\n{SECRET}\n", "row 1 has 1 cells, the header 2"),
        (f'kind,name\ncitizen,a\ncitizen,"{SECRET}\n', "row 2: its quotes or a cell's length are wrong"),
        (f'kind,name\ncitizen,"{SECRET}"x\n', "row 1: its quotes or a cell's length are wrong"),
        (f"kind,name\ncitizen,{'x' * MAX_ROW_OCTETS}\n", "row 1 is longer than 32 KiB"),
        (f"kind,name\ncitizen,{'x' * 200_000}\n", "row 1: its quotes or a cell's length are wrong"),
    ],
    ids=range(14),
)
def test_what_makes_the_rows_uncertain_refuses_the_file_by_place_alone(text: str, detail: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        split_csv(text.encode())
    assert (refusal.value.code, refusal.value.detail) == (ErrorCode.BULK_MALFORMED, detail)


@pytest.mark.parametrize("encoding", ["utf-16", "cp1256"])
def test_another_encoding_is_told(encoding: str) -> None:
    with pytest.raises(InvalidInput, match="UTF-8"):
        split_csv(CITIZENS.format("۱").replace("۱", "1").encode(encoding, "replace"))


def test_too_many_rows_and_octets_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_rows, "MAX_ROWS", 2)
    monkeypatch.setattr(csv_rows, "MAX_OCTETS", 60)
    for text in ("kind\na\nb\nc\n", "kind\n" + "a" * 60):
        with pytest.raises(InvalidInput) as refusal:
            split_csv(text.encode())
        assert refusal.value.code is ErrorCode.INPUT_TOO_LARGE


TEXTS = sorted(COLUMNS - {"hosts", "evidence"})


@given(
    columns=st.lists(st.sampled_from(TEXTS), min_size=1, max_size=6, unique=True),
    cells=st.lists(st.lists(st.text(max_size=12), min_size=6, max_size=6), min_size=1, max_size=4),
    separator=st.sampled_from(",;\t"),
    mark=st.sampled_from([b"", b"\xef\xbb\xbf"]),
)
def test_property_every_cell_comes_out_as_it_went_in(
    columns: list[str], cells: list[list[str]], separator: str, mark: bytes
) -> None:
    rows = [["x" + cell.strip() for cell in row[: len(columns)]] for row in cells]
    out = io.StringIO()
    csv.writer(out, delimiter=separator, quoting=csv.QUOTE_ALL).writerows([columns, *rows])
    assert read(mark + out.getvalue().encode()) == [dict(zip(columns, row, strict=True)) for row in rows]


@given(st.binary(max_size=200) | st.binary(max_size=80).map(lambda tail: b"kind,name\n" + tail))
def test_property_any_octets_are_rows_or_refused(data: bytes) -> None:
    try:
        rows = split_csv(data)
    except InvalidInput:
        return
    assert all(json.loads(row) for row in rows)


def test_a_job_by_csv_tells_each_row_s_result(bulk: Bulk) -> None:
    good, bad = str(CITIZEN["national_code"]), "0000012344"
    text = CITIZENS.format(good) + f"citizen,{bad},a,b\ncitizen,{good},مریم,احمدی\n"
    job = bulk.desk.start(text.encode(), CLERK, LineFormat.CSV)
    assert bulk.desk.start(text.encode(), CLERK, LineFormat.CSV).id == job.id
    assert bulk.desk.run(job.id).refused == 2
    assert [result.code for result in bulk.desk.results(job.id)] == [
        None,
        ErrorCode.IDENTITY_INVALID,
        ErrorCode.CONFLICT,
    ]
    assert bulk.office.told[Source.CIVIL].asked == 1


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@a", "\t=1", " =1", "＝1", "\r\n=1"])
def test_what_is_written_for_a_spreadsheet_holds_no_formula(cell: str) -> None:
    (read_back,) = next(csv.reader(io.StringIO(csv_line([cell]).decode(), newline="")))
    assert read_back == f"'{cell}"
