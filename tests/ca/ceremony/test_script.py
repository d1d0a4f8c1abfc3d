from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.ceremony.errors import Fault, ScriptRefused
from ca.ceremony.grammar import GRAMMAR, CertifyRequest, GenerateKey, MakeToken, RevokeAuthority, SignRootList
from ca.ceremony.script import Script, parse_script
from pki.errors import ErrorCode
from pki.keys import SignatureAlgorithm

EXAMPLES = sorted((Path(__file__).parents[3] / "docs" / "ceremonies").glob("*.toml"))
HEADER = """[ceremony]
name = "trial"
purpose = "A trial"
custodians = ["One", "Two", "Three"]
threshold = 2
witnesses = ["Witness"]
"""
TOKEN = """
[[step]]
do = "make-token"
token = "root"
label = "mohr-root"
pin = "shares"
"""


def refused(text: str) -> tuple[Fault, ...]:
    with pytest.raises(ScriptRefused) as caught:
        parse_script(text.encode())
    assert caught.value.code is ErrorCode.CEREMONY_SCRIPT
    return caught.value.faults


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_a_script(path: Path) -> None:
    script = parse_script(path.read_bytes())
    assert script.name
    assert len(script.steps) == len(script.kinds)


def test_the_examples_are_those_of_the_manual() -> None:
    names = [path.stem for path in EXAMPLES]
    told = re.findall(r"^\| `([a-z0-9-]+)\.toml`", (EXAMPLES[0].parent / "README.md").read_text(), re.MULTILINE)
    assert names == sorted(told)


PERSONS = 'key = "ca-persons"\nauthority = "persons"\ncertificate'
SYSTEMS = 'authority = "systems"\ncertificate'


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (PERSONS, PERSONS.replace("ca-p", "ca-x-p"), "the key of persons is ca-persons in the token service"),
        (SYSTEMS, "certificate", "a deployment needs a step certify-authority for systems"),
    ],
)
def test_a_deployment_under_a_parent_has_a_certificate_for_each_authority(before: str, after: str, said: str) -> None:
    text = next(path for path in EXAMPLES if path.stem == "subordinate").read_text()
    assert before in text
    with pytest.raises(ScriptRefused, match=said):
        parse_script(text.replace(before, after).encode())


def test_a_script_is_named_by_the_digest_of_its_bytes() -> None:
    first, second = (parse_script((HEADER + TOKEN + end).encode()) for end in ("", "# reviewed\n"))
    assert first.steps == second.steps
    assert first.sha256 != second.sha256


def test_members_become_values() -> None:
    script = parse_script(
        (
            HEADER
            + TOKEN
            + '\n[[step]]\ndo = "generate-key"\ntoken = "root"\nkey = "root"\nalgorithm = "PS256"\nbits = 4096\n'
            + 'purpose = "root"\n'
        ).encode()
    )
    token, key = script.steps
    assert isinstance(token, MakeToken)
    assert isinstance(key, GenerateKey)
    assert (key.algorithm, key.bits) == (SignatureAlgorithm.PS256, 4096)
    assert (script.custodians, script.threshold) == (("One", "Two", "Three"), 2)


def test_every_fault_is_told_with_its_line_and_step() -> None:
    text = (
        HEADER.replace("threshold = 2", "threshold = 4")
        + '\n[[step]]\ndo = "make-token"\ntoken = "Root"\nlabel = "mohr-root"\npin = "paper"\n'
        + '\n[[step]]\ndo = "dance"\n'
        + '\n[[step]]\ndo = "unlock"\ntokens = "root"\n'
    )
    faults = refused(text)
    assert [(fault.line, fault.step) for fault in faults] == [
        (5, None),
        (10, 1),
        (12, 1),
        (15, 2),
        (17, 3),
        (19, 3),
    ]
    assert "line 15, step 2: do is one of make-token" in str(faults[3])
    assert "unknown member 'tokens'" in str(faults[5])


def test_a_script_that_nests_without_end_is_refused() -> None:
    with pytest.raises(ScriptRefused, match="nests too deep"):
        parse_script(b"a = " + b"[" * 30_000)


@pytest.mark.parametrize(
    ("change", "line", "part"),
    [
        ('name = "trial"\nname = "again"', 3, "overwrite"),
        ('name = "trial', 2, ""),
        ('name = """trial"""', 2, "several lines"),
        ('name = "tr\u202eial"', 2, "does not see"),
        ('name = "tr\x0cial"', 2, "does not see"),
    ],
)
def test_a_syntax_fault_has_its_line(change: str, line: int, part: str) -> None:
    faults = refused(HEADER.replace('name = "trial"', change) + TOKEN)
    assert faults[0].line == line
    assert part in faults[0].text


@pytest.mark.parametrize(
    ("steps", "step", "part"),
    [
        ('[[step]]\ndo = "unlock"\ntoken = "root"\n', 1, "no step before makes or uses the token root"),
        (TOKEN + TOKEN, 2, "introduced twice"),
        (
            TOKEN + '[[step]]\ndo = "certify-root"\ntoken = "root"\nkey = "root"\ncommon_name = "R"\n',
            2,
            "no step before generates the key root",
        ),
        (
            TOKEN + '[[step]]\ndo = "revoke-authority"\ntoken = "root"\nauthority = "persons"\nreason = "superseded"\n',
            2,
            "sign-root-list must follow",
        ),
        (
            TOKEN + '[[step]]\ndo = "revoke-authority"\ntoken = "root"\nreason = "superseded"\n',
            2,
            "by authority or by serial",
        ),
        (
            TOKEN + '[[step]]\ndo = "revoke-authority"\ntoken = "root"\nserial = "aa"\nreason = "certificateHold"\n',
            2,
            "reason is one of",
        ),
        (TOKEN + '[[step]]\ndo = "read-aloud"\n', 2, "names one thing to read"),
        (TOKEN + '[[step]]\ndo = "open-deployment"\n', 2, "needs a table [deployment]"),
        (TOKEN.replace('"root"', '"service"'), 1, "must start unattended"),
        (TOKEN.replace('"shares"', '"file"'), 1, "only the service's token"),
        (
            TOKEN
            + '[[step]]\ndo = "request-certificate"\ntoken = "root"\nkey = "k"\nsubject = { CN = "x" }\n'
            + 'file = "../x"\n',
            2,
            "file is the name of a file",
        ),
        (
            (
                '[[step]]\ndo = "use-token"\ntoken = "t"\nlabel = "l"\n'
                '[[step]]\ndo = "install-certificate"\ntoken = "t"\nkey = "k"\ncertificate = "a"\nchain = "b"\n'
            ),
            2,
            "requests a certificate for the key k",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(steps: str, step: int, part: str) -> None:
    faults = refused(HEADER + steps)
    assert any(fault.step == step and part in fault.text for fault in faults), faults


def test_a_deployment_needs_all_of_its_authorities() -> None:
    wish = '[deployment]\npublic_url = "http://x"\norganization = "Mohr"\n'
    texts = " ".join(fault.text for fault in refused(HEADER + wish + TOKEN))
    for needed in ("open-deployment", "certify-root", "certify-authority for persons", "sign-root-list", "service"):
        assert needed in texts


@pytest.mark.parametrize(
    "wrong",
    [
        HEADER.replace('"Two"', '"One"'),
        HEADER.replace('["Witness"]', '["Two"]'),
        HEADER.replace("threshold = 2", "threshold = 1"),
        HEADER.replace('["Witness"]', "[]"),
        HEADER.replace("threshold = 2", "threshold = true"),
        HEADER + 'mood = "solemn"\n',
    ],
)
def test_persons_are_named_once_and_enough_of_them(wrong: str) -> None:
    assert refused(wrong + TOKEN)


def test_steps_written_inline_are_refused() -> None:
    assert refused('step = [{ do = "unlock", token = "root" }]\n' + HEADER)


def test_dates_and_persian_names_are_read() -> None:
    text = HEADER.replace('"One"', '"زهرا احمدی"') + TOKEN
    text += '[[step]]\ndo = "revoke-authority"\ntoken = "root"\nauthority = "persons"\nreason = "keyCompromise"\n'
    text += 'invalidity_date = "2026-11-01T00:00:00Z"\n[[step]]\ndo = "sign-root-list"\ntoken = "root"\n'
    script = parse_script(text.encode())
    _token, revoke, sign = script.steps
    assert isinstance(revoke, RevokeAuthority)
    assert isinstance(sign, SignRootList)
    assert revoke.invalidity_date is not None
    assert script.custodians[0] == "زهرا احمدی"


def test_windows_line_ends_are_read() -> None:
    script = parse_script((HEADER + TOKEN).replace("\n", "\r\n").encode())
    assert isinstance(script, Script)


def test_the_grammar_names_every_kind_of_step() -> None:
    assert len({form.step for form in GRAMMAR.values()}) == len(GRAMMAR)
    assert GRAMMAR["certify-request"].step is CertifyRequest


@given(st.binary(max_size=300))
def test_any_bytes_are_a_script_or_refused(data: bytes) -> None:
    try:
        parse_script(data)
    except ScriptRefused as error:
        assert error.detail


@given(st.integers(0, 10_000), st.sampled_from(["", '"', "=", "[", "\n", "]", "[[step]]\n", "\x00", "é"]))
def test_a_damaged_script_is_a_script_or_refused_with_a_line(at: int, what: str) -> None:
    source = (HEADER + TOKEN).encode()
    at %= len(source)
    try:
        parse_script(source[:at] + what.encode() + source[at + 1 :])
    except ScriptRefused as error:
        assert all(1 <= fault.line <= source.count(b"\n") + 2 for fault in error.faults)
