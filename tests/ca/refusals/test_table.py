"""The table of refusals is whole and the page that shows it is current."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from ca.errors import LintFailed
from ca.lint.findings import Finding, Severity
from ca.lint.gate import RULES
from ca.refusals import REFUSALS, as_markdown
from tests.ca.refusals.test_bad_requests import KINDS
from tests.support.programs import REPOSITORY

PACKAGES = ("pki", "ca", "webapp")
TAKE_A_REASON = (
    "KeyRefused",
    "NotApproved",
    "ProfileMismatch",
    "FourEyesRequired",
    "_unknown",
    "_not_own",
    "EnrolmentUnproven",
)
_NAME = re.compile(r"[a-z]+\.[a-z][a-z0-9-]*[a-z0-9]")


def named_in_the_code() -> Iterator[tuple[str, str]]:
    """Yield what is given as an error's `reason`, by keyword or by the classes that take it as their second word."""
    for package in PACKAGES:
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    given = [keyword.value for keyword in node.keywords if keyword.arg == "reason"]
                    if isinstance(node.func, ast.Name) and node.func.id in TAKE_A_REASON:
                        given += node.args
                    for constant in (inner for value in given for inner in ast.walk(value)):
                        text = constant.value if isinstance(constant, ast.Constant) else None
                        if isinstance(text, str) and _NAME.fullmatch(text):
                            yield path.name, text


def test_every_name_in_the_code_is_in_the_table() -> None:
    unknown = {(file, name) for file, name in named_in_the_code() if name not in REFUSALS}
    assert unknown == set()


def test_every_rule_of_the_linter_is_in_the_table() -> None:
    assert {f"lint.{rule.code}" for rule in RULES} <= set(REFUSALS)


def test_a_lint_refusal_carries_the_first_rule_that_stops() -> None:
    notice, error = (
        Finding(code=code, clause="a", severity=severity, detail="")
        for code, severity in (("house.a", Severity.NOTICE), (RULES[0].code, Severity.ERROR))
    )
    assert LintFailed((notice, error)).reason == f"lint.{RULES[0].code}"


def test_every_name_about_requests_keys_and_identifiers_is_tried() -> None:
    tried = {reason for reason, _ in KINDS.values()}
    about = {n for n in REFUSALS if n.split(".")[0] in ("csr", "key", "profile", "identity", "registration")}
    assert about - tried <= {"profile.no-authority"}


def test_every_sentence_is_one_and_says_something_of_its_own() -> None:
    sentences = [refusal.sentence for refusal in REFUSALS.values()]
    assert len(set(sentences)) == len(sentences)
    assert all(sentence.endswith(".") and "\n" not in sentence for sentence in sentences)


def test_the_page_is_current() -> None:
    page = Path(REPOSITORY / "docs" / "refusals.md").read_text(encoding="utf-8")
    assert page == as_markdown(), "run: python -m ca.refusals > docs/refusals.md"
