"""The JSON line and the page for people."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.formats.jades import add_signature_timestamp, sign_jades
from signer.validation.names import visible
from signer.validation.reasons import Reason
from signer.validation.report import ReportedFile, instant, verdict_json
from signer.validation.report_html import report_html
from signer.validation.report_page import Language
from signer.validation.report_words import when
from signer.validation.verdict import (
    Finding,
    Indication,
    SubIndication,
    by_weight,
    conclude,
    failed,
    indeterminate,
    note,
)
from signer.validation.verify import verify_bytes
from tests.support.pki import NOW
from tests.support.zoo import SIGNED_AT, Zoo, make_clinician

FILE = ReportedFile(name="rx.json", size=5325, sha256="ab" * 32)
SIGNATURE_MEMBERS = {"id", "level", "indication", "sub_indication", "crypto", "best_signature_time", "time_proof"} | {
    "signer",
    "covered",
    "reasons",
    "care",
    "assurance",
}


def test_the_line_has_the_members_that_the_outside_holds_on_to(zoo: Zoo, jades: bytes, content: bytes) -> None:
    data = add_signature_timestamp(jades, zoo.stamper(SIGNED_AT))
    line = json.loads(json.dumps(verdict_json(verify_bytes(data, zoo.context()), "rx.json")))
    assert {"file", "format", "indication", "sub_indication", "signatures", "timestamps"} <= line.keys()
    assert (line["file"], line["format"], line["indication"], line["sub_indication"]) == (
        "rx.json",
        "JAdES",
        "TOTAL-PASSED",
        None,
    )
    (signature,) = line["signatures"]
    assert signature.keys() >= SIGNATURE_MEMBERS
    assert (signature["level"], signature["crypto"], signature["time_proof"]) == ("B-T", "intact", "timestamp")
    assert signature["best_signature_time"] == "2026-11-20T09:00:00Z"
    assert (signature["care"], signature["assurance"]) == ("valid", "A3")
    assert signature["signer"]["identity"] == {"council_number": "123456", "profession": "physician"}
    assert signature["signer"]["serial"] == zoo.clinician.certificate.serial_hex
    assert [(c["what"], c["bytes"]) for c in signature["covered"]] == [("payload", len(content))]
    assert {status["status"] for status in signature["status"]} == {"good"}


def test_reasons_carry_both_languages_and_the_weightiest_comes_first(zoo: Zoo, jades: bytes) -> None:
    line = verdict_json(verify_bytes(jades, zoo.context(anchors=())), "rx.json")
    reasons = line["signatures"][0]["reasons"]
    assert [reason["code"] for reason in reasons] == ["no-anchor-given", "no-time-proof"]
    assert all(reason["text_fa"] and reason["text_en"] for reason in reasons)


def test_the_same_input_gives_the_same_line_and_page(zoo: Zoo, jades: bytes) -> None:
    first, second = (verify_bytes(jades, zoo.context()) for _ in range(2))
    assert verdict_json(first, "a") == verdict_json(second, "a")
    assert report_html(first, FILE) == report_html(second, FILE)


def test_the_page_is_persian_first_and_stands_alone(zoo: Zoo, jades: bytes) -> None:
    page = report_html(verify_bytes(jades, zoo.context()), FILE)
    assert page.startswith('<!doctype html>\n<html lang="fa" dir="rtl">')
    assert page.index("گزارش") < page.index("Signature verification report")
    assert not re.search(r"(?:src|href|url\()=?[\"']?https?:", page)
    assert "<script" not in page
    for value in ("TOTAL-PASSED", "123456", "2026-11-20T09:00:00Z", FILE.sha256, "۵۳۲۵ بایت", "5325 bytes"):
        assert value in page
    assert "۲۹ آبان ۱۴۰۵، ساعت ۱۲:۳۰:۰۰ تهران" in page
    assert "29 Aban 1405, 12:30:00 Tehran" in page


def test_what_comes_from_the_file_is_escaped(zoo: Zoo) -> None:
    holder = make_clinician(zoo.intermediate, common_name="<script>alert(1)</script>")
    data = sign_jades(b"{}", holder.key, holder.chain, signed_at=SIGNED_AT)
    page = report_html(verify_bytes(data, zoo.context()), replace(FILE, name='"><img src=x>.json'))
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page


@given(text=st.text(alphabet=st.characters(codec=None, exclude_categories=()), max_size=60))
def test_no_name_steers_a_page(zoo: Zoo, text: str) -> None:
    page = report_html(verify_bytes(b"nothing signed", zoo.context()), replace(FILE, name=f"\u202e\x00{text}"))
    assert "<bdi>[U+202E][U+0000]" in page
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", page)
    assert html_words(page) == html_words(report_html(verify_bytes(b"nothing signed", zoo.context()), FILE))


def html_words(page: str) -> list[str]:
    """Return the tags of a page, which no name may change."""
    return re.findall(r"<(/?[a-z0-9]+)", page)


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("A" + "\u0300" * 9 + "b", "A" + "\u0300" * 3 + "[U+0300]" * 6 + "b"),
        ("\u0336\u0489x", "[U+0336][U+0489]x"),
        ("محمّد مُحَمَّد Ǖ\u0301", "محمّد مُحَمَّد Ǖ\u0301"),
    ],
)
def test_no_heap_of_marks_paints_over_other_lines(name: str, seen: str) -> None:
    assert visible(name) == seen


def test_a_name_of_ten_thousand_letters_is_cut_and_says_so(zoo: Zoo) -> None:
    page = report_html(verify_bytes(b"nothing signed", zoo.context()), replace(FILE, name="م" * 10_000))
    assert "م… [+9700]" in page
    assert "م" * 301 not in page


def test_times_outside_a_calendar_are_shown_in_the_other() -> None:
    assert [span.text for span in when(NOW, Language.EN)] == ["2026-11-22T09:00:00Z", " · 1 Azar 1405, 12:30:00 Tehran"]
    assert [span.text for span in when(datetime(1, 1, 1, tzinfo=UTC), Language.FA)] == ["0001-01-01T00:00:00Z"]
    assert [span.text for span in when(None, Language.FA)] == ["—"]
    assert instant(datetime(1, 1, 1, tzinfo=UTC)) == "0001-01-01T00:00:00Z"


def test_instants_are_written_in_utc_with_milliseconds_only_when_there_are_any() -> None:
    tehran = timezone(timedelta(hours=3, minutes=30))
    assert instant(datetime(2026, 11, 22, 12, 30, tzinfo=tehran)) == "2026-11-22T09:00:00Z"
    assert instant(datetime(2026, 11, 22, 9, 0, 0, 125_000, tzinfo=UTC)) == "2026-11-22T09:00:00.125Z"


def test_failures_weigh_more_than_doubts_and_doubts_more_than_notes() -> None:
    doubt = indeterminate(Reason.STATUS_SILENT, SubIndication.TRY_LATER)
    chain = indeterminate(Reason.ISSUER_NOT_FOUND, SubIndication.NO_CERTIFICATE_CHAIN_FOUND)
    failure = failed(Reason.CERTIFICATE_REVOKED, SubIndication.REVOKED)
    only_said = note(Reason.NO_TIME_PROOF)
    assert by_weight((only_said, doubt, failure, chain, doubt)) == (failure, chain, doubt, only_said)
    assert conclude((only_said,)) == (Indication.PASSED, None)
    assert conclude((doubt, chain)) == (Indication.INDETERMINATE, SubIndication.NO_CERTIFICATE_CHAIN_FOUND)
    assert conclude((doubt, failure)) == (Indication.FAILED, SubIndication.REVOKED)
    mismatch = indeterminate(Reason.SIGNING_CERTIFICATE_REFERENCE_MISMATCH, SubIndication.SIG_CONSTRAINTS_FAILURE)
    assert by_weight((chain, mismatch)) == (mismatch, chain)
    nameless = Finding(reason=Reason.FORMAT_UNKNOWN, indication=Indication.INDETERMINATE)
    assert conclude((nameless, doubt)) == (Indication.INDETERMINATE, SubIndication.TRY_LATER)
