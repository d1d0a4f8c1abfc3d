"""Four eyes over real mutual TLS: gunicorn as `mohr serve` runs it, asked by curl and by OpenSSL."""

from __future__ import annotations

import json
import subprocess

import pytest

from hsm.soft import UnsafeSoftKey
from pki.csr import build_csr
from pki.keys import SignatureAlgorithm
from tests.e2e.door import Door
from tests.support.deployment import PHYSICIAN, LiveDeployment

pytestmark = pytest.mark.real
PARSA, AKBARI, BAHRAMI = "clerk-parsa", "officer-akbari", "officer-bahrami"


def test_three_officers_take_a_registration_through_four_eyes(door: Door, live: LiveDeployment) -> None:
    status, file = door.curl("/api/v1/registrations", officer=PARSA, body=PHYSICIAN)
    assert (status, file["state"], file["submitted_by"]) == (201, "submitted", PARSA)
    approvals = f"/api/v1/registrations/{file['id']}/approvals"
    status, problem = door.curl(approvals, officer=PARSA, body={})
    assert (status, problem["code"], problem["reason"]) == (403, "four-eyes", "officer.submitted-it")
    assert door.curl(approvals, officer=AKBARI, body={})[1]["state"] == "submitted"
    status, problem = door.curl(approvals, officer=AKBARI, body={})
    assert (status, problem["reason"]) == (403, "officer.twice")
    status, approved = door.curl(approvals, officer=BAHRAMI, body={})
    assert (status, approved["state"]) == (200, "approved")
    assert [given["officer"] for given in approved["approvals"]] == [AKBARI, BAHRAMI]
    assert door.curl(approvals, officer=BAHRAMI, body={})[1]["code"] == "state-illegal"
    shown = door.curl(f"/api/v1/registrations/{file['id']}", officer=PARSA)[1]
    assert shown == approved
    assert PHYSICIAN["national_code"] not in json.dumps(shown)
    wish, issued = door.folder / "wish.csr", door.folder / "issued.pem"
    live.new_request(wish)
    live.answer("ca", "issue", "--profile", "clin-auth", "--file", file["id"], "--csr", wish, "-o", issued)
    live.activate(file["id"])


def test_a_refusal_is_said_with_its_reason(door: Door) -> None:
    _, file = door.curl("/api/v1/registrations", officer=PARSA, body=PHYSICIAN)
    place = f"/api/v1/registrations/{file['id']}"
    assert door.curl(f"{place}/refusal", officer=AKBARI, body={"reason": "licence lapsed"})[1]["state"] == "refused"
    assert door.curl(f"{place}/approvals", officer=BAHRAMI, body={})[1]["code"] == "state-illegal"
    assert door.curl(place, officer=BAHRAMI)[1]["reason"] == "licence lapsed"


def test_nobody_comes_in_without_a_certificate_or_by_a_header(door: Door) -> None:
    certificate = (door.deployment.officers / AKBARI / "certificate.pem").read_text().replace("\n", "%0A")
    for words in (
        (),
        ("--header", f"X-SSL-Client-Cert: {certificate}"),
        ("--header", "X-Forwarded-User: officer-akbari"),
    ):
        for path, body in (("/api/v1/officers", None), ("/api/v1/registrations", PHYSICIAN)):
            status, problem = door.curl(path, *words, body=body)
            assert (status, problem["reason"]) == (401, "officer.no-certificate")


def test_a_role_that_an_officer_lacks_is_not_lent_by_the_connection(door: Door) -> None:
    status, problem = door.curl("/api/v1/registrations", officer=AKBARI, body=PHYSICIAN)
    assert (status, problem["code"], problem["reason"]) == (403, "not-allowed", "officer.no-role")


def test_another_site_s_page_in_the_officer_s_browser_changes_nothing(door: Door) -> None:
    status, problem = door.curl(
        "/api/v1/registrations", "--header", "Sec-Fetch-Site: cross-site", officer=PARSA, body=PHYSICIAN
    )
    assert (status, problem["code"]) == (403, "cross-site-refused")
    status, problem = door.curl(
        "/api/v1/registrations", "--header", "Content-Type: text/plain", "--data-binary", "{}", officer=PARSA
    )
    assert (status, problem["code"]) == (415, "media-type-refused")


def test_an_officer_is_enrolled_bound_granted_a_role_suspended_and_restored(door: Door, live: LiveDeployment) -> None:
    member = {"kind": "officer", "officer_id": "officer-nikan", "given_name": "نیکان", "surname": "نمونه"}
    _, file = door.curl("/api/v1/registrations", officer=PARSA, body=member)
    for officer in (AKBARI, BAHRAMI):
        door.curl(f"/api/v1/registrations/{file['id']}/approvals", officer=officer, body={})
    place = door.deployment.officers / "officer-nikan"
    place.mkdir(mode=0o700)
    key = UnsafeSoftKey.generate(SignatureAlgorithm.ES256)
    (place / "key.pem").write_bytes(key.private_pem())
    (place / "wish.csr").write_bytes(build_csr(key, "a wish"))
    certificate = place / "certificate.pem"
    live.answer(
        "ca", "issue", "--profile", "officer-auth", "--file", file["id"], "--csr", place / "wish.csr", "-o", certificate
    )
    nikan = "/api/v1/officers/officer-nikan"

    enrolment = {"id": "officer-nikan", "name": "نیکان نمونه", "realm": "ministry", "national_code": "0000012351"}
    status, enrolled = door.curl("/api/v1/officers", officer=PARSA, body=enrolment)
    assert (status, enrolled["roles"]) == (201, [])
    assert "0000012351" not in json.dumps(door.curl("/api/v1/officers", officer=PARSA))
    assert door.curl("/api/v1/officers", officer="officer-nikan")[1]["reason"] == "officer.unknown"
    assert door.curl(f"{nikan}/certificates", officer=AKBARI, body={"pem": certificate.read_text()})[0] == 200
    assert door.curl("/api/v1/officers", officer="officer-nikan")[0] == 200
    assert door.curl("/api/v1/registrations", officer="officer-nikan", body=PHYSICIAN)[1]["reason"] == "officer.no-role"

    wish = {"role": "registrar", "realm": "ministry", "professions": ["nurse"]}
    status, request = door.curl(f"{nikan}/roles", officer=PARSA, body=wish)
    assert (status, request["state"], request["professions"]) == (201, "requested", ["nurse"])
    granting = f"/api/v1/role-requests/{request['id']}/approvals"
    assert door.curl(granting, officer=PARSA, body={})[1]["reason"] == "officer.submitted-it"
    assert door.curl(granting, officer=AKBARI, body={})[1]["state"] == "granted"
    status, problem = door.curl("/api/v1/registrations", officer="officer-nikan", body=PHYSICIAN)
    assert (status, problem["code"], problem["reason"]) == (403, "scope-exceeded", "officer.out-of-profession")
    nurse = PHYSICIAN | {"profession": "nurse", "council_number": "A12345", "national_code": "0000012343"}
    status, submitted = door.curl("/api/v1/registrations", officer="officer-nikan", body=nurse)
    assert (status, submitted.get("code")) == (201, None)

    assert door.curl(f"{nikan}/suspension", officer=BAHRAMI, body={"reason": "on leave"})[1]["state"] == "suspended"
    assert door.curl("/api/v1/registrations", officer="officer-nikan", body=nurse)[1]["code"] == "officer-suspended"
    assert door.curl(f"{nikan}/restoration", officer=BAHRAMI, body={})[1]["state"] == "active"


def test_a_realm_is_added_within_its_parent(door: Door) -> None:
    university = {
        "id": "university-a",
        "parent": "ministry",
        "level": "university",
        "name": "دانشگاه",
        "provinces": ["تهران"],
    }
    assert door.curl("/api/v1/realms", officer=PARSA, body=university)[0] == 201
    wide = {
        "id": "hospital-a",
        "parent": "university-a",
        "level": "hospital",
        "name": "بیمارستان",
        "provinces": ["فارس"],
    }
    assert door.curl("/api/v1/realms", officer=PARSA, body=wide)[1]["code"] == "scope-exceeded"
    listed = door.curl("/api/v1/realms", officer=AKBARI)[1]["realms"]
    assert {"ministry", "university-a"} <= {realm["id"] for realm in listed}


def test_openssl_s_client_is_let_in_with_an_officer_s_certificate(door: Door) -> None:
    place = door.deployment.officers / AKBARI
    request = b"GET /api/v1/realms HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    host = door.url.removeprefix("https://")
    mine = ("-cert", str(place / "certificate.pem"), "-key", str(place / "key.pem"))
    theirs = ("-CAfile", str(door.deployment.anchor), "-verify_return_error")
    ended = subprocess.run(
        ["openssl", "s_client", "-connect", host, *theirs, *mine, "-quiet", "-ign_eof"],
        input=request,
        check=False,
        capture_output=True,
        timeout=20,
    )
    assert ended.stdout.startswith(b"HTTP/1.1 200 OK"), ended.stderr
    assert b'"ministry"' in ended.stdout
