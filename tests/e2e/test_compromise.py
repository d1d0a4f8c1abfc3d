"""The runbook for a compromised authority, carried out as the manual writes it, against a pilot of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography import x509

from ca.ceremony.console import groups_of
from pki.certificates import Certificate, pem
from tests.support.deployment import LiveDeployment, pilot
from tests.support.openssl import openssl
from tests.support.programs import Ended, run_here
from webapp.cli import mohr
from webapp.compose import opened_parts

pytestmark = pytest.mark.real

RUNBOOK = Path(__file__).parents[2] / "docs" / "compromise.md"


@pytest.fixture(scope="module")
def ours() -> Iterator[LiveDeployment]:
    with pilot() as deployment:
        yield deployment


def steps() -> list[list[str]]:
    """Return the commands of the manual, without `mohr`, in their order."""
    return [line.split()[2:] for line in re.findall(r"^\$ mohr .*$", RUNBOOK.read_text(), re.MULTILINE)]


def carried_out(ours: LiveDeployment, words: list[str]) -> Ended:
    """Carry out one command of the manual; a ceremony is rehearsed by whoever knows the root's PIN."""
    home = ours.deployment.home
    arguments = [word.replace("HOME", str(home)) for word in words]
    if words[:2] != ["hsm", "ceremony"]:
        return ours.mohr(*arguments)
    script = Path(arguments[2]).read_bytes()
    with opened_parts(ours.deployment) as parts:
        root = parts.authority.named_certificate("root")
    assert root is not None
    last = [groups_of(digest)[-1] for digest in (sha256(script).digest(), sha256(root).digest())]
    answers = "\n".join((last[0], "yes", ours.root_pin, last[1], ""))
    return run_here(mohr, *arguments, "--rehearsal", "--home", str(home), answers=answers)


def test_the_runbook_ends_an_authority_and_all_below_it(ours: LiveDeployment, tmp_path: Path) -> None:
    ours.new_request(tmp_path / "r.csr")
    order = ("ca", "issue", "--profile", "clin-sign", "--file", ours.file_id, "--csr", tmp_path / "r.csr")
    good = ours.answer(*order)["serial"]
    ours.activate(ours.file_id)
    authority = x509.load_der_x509_certificate(ours.deployment.certificate_file("persons").read_bytes())
    assert len(steps()) == 6
    in_error = ours.answer("ca", "compromised", "institutions", "--officer", "officer-akbari")
    der = ours.deployment.certificate_file("institutions").read_bytes()
    assert in_error["certificate"]["sha256"] == Certificate.parse(der).sha256.hex()
    assert in_error["certificate"]["sha256"] in in_error["tell"][0]
    withdraw = ("ca", "compromised", "institutions", "--withdraw", "--officer")
    assert ours.mohr(*withdraw, "officer-akbari").code == "four-eyes"
    assert ours.answer(*withdraw, "officer-bahrami")["stage"] == "withdrawn"

    said = []
    for number, words in enumerate(steps()):
        ended = carried_out(ours, words)
        assert ended.status == 0, (words, ended.messages, ended.trace)
        said.append(json.loads(ended.output.splitlines()[-1]))
        if number == 0:
            ours.new_request(tmp_path / "r.csr")
            refused = ours.mohr(*order)
            assert (refused.status, refused.code) == (1, "authority-closed")
            assert ours.answer("ca", "show", good)["state"] == "good"
            since = ("ca", "compromised", "persons", "--since")
            assert "give it again" in ours.mohr(*since, "2026-11-20T08:00:00Z").messages
            assert "lies in the future" in ours.mohr(*since, "2999-11-20T08:00:00Z").messages
        if number == 1:
            later = ours.mohr(*since, "2026-11-20T08:00:00Z")
            assert 'put in it: invalidity_date = "2026-11-20T08:00:00Z"' in later.messages
            shown = ours.answer("ca", "show", good)
            assert (shown["state"], shown["reason"]) == ("revoked", "cACompromise")
    declared, confirmed, again, held, told, ended_all = said
    assert (declared["stage"], declared["revoked"], declared["ceremony"]) == ("declared", 0, None)
    assert (confirmed["revoked"], confirmed["left"] - confirmed["left_of_officers"]) == (1, 0)
    assert confirmed["left_of_officers"] == 3
    assert (again["revoked"], again["certificate"]["state"]) == (0, "good")
    assert held["ceremony"].startswith("compromise-persons-")
    assert told["certificate"]["state"] == "revoked"
    assert (ended_all["stage"], ended_all["left"], ended_all["revoked"]) == ("revoked", 0, 3)

    list_of_root = x509.load_der_x509_crl(ours.deployment.published_crl("root", 0) or b"")
    entry = list_of_root.get_revoked_certificate_by_serial_number(authority.serial_number)
    assert entry is not None
    reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    assert reason is x509.ReasonFlags.ca_compromise
    (tmp_path / "crl.pem").write_text(pem(ours.deployment.published_crl("root", 0) or b"", "X509 CRL"))
    check = ("verify", "-crl_check", "-CRLfile", tmp_path / "crl.pem", "-CAfile", ours.deployment.anchor)
    judged = openssl(*check, ours.deployment.certificate_file("persons"))
    assert judged.returncode != 0
    assert "revoked" in judged.stderr + judged.stdout
    assert openssl(*check, ours.deployment.certificate_file("systems")).returncode == 0
