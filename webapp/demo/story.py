"""The story: enrol → sign → verify → connect a centre → revoke → verify again → audit.

Each step compares what happened with what must happen; the first difference ends the demo loudly.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pki.certificates import load_certificates
from pki.errors import ErrorCode, VerificationFailed
from signer.samples import sample_pdf, sample_prescription
from signer.validation import ocsp
from signer.validation.answers import Good, Revoked
from webapp.demo.people import DemoPhysician
from webapp.demo.programs import Programs
from webapp.http_client import ask
from webapp.outbox import Outbox

SIGN_PIN, AUTH_PIN = "135790", "246801"
CLERK, FIRST_OFFICER, SECOND_OFFICER = "clerk-parsa", "officer-akbari", "officer-bahrami"


@dataclass
class Story:
    """One telling. `say` receives a line per step; `checks` keeps what was compared."""

    programs: Programs
    home: Path
    public_url: str
    exchange_url: str
    say: Callable[[str], None]
    checks: list[dict[str, str]] = field(default_factory=list)
    physician: DemoPhysician = field(default_factory=DemoPhysician.make)
    serials: dict[str, str] = field(default_factory=dict)

    def check(self, what: str, expected: str, actual: object) -> None:
        """Compare; VerificationFailed (`demo-differs`) on the first difference."""
        self.checks.append({"what": what, "expected": expected, "actual": str(actual)})
        if str(actual) != expected:
            raise VerificationFailed(ErrorCode.DEMO_DIFFERS, f"{what}: expected {expected}, got {actual}")
        self.say(f"  ✓ {what}: {actual}")

    def _file(self, name: str) -> Path:
        return self.programs.folder / name

    def _mohr(self, *arguments: str, expect: int | None = 0) -> dict[str, Any]:
        return self.programs.run("mohr", *arguments, "--home", str(self.home), expect=expect).json()

    # -- enrolment --------------------------------------------------------------------------------

    def enrol(self) -> None:
        """Register the physician, make both keys on the card, issue and write back both certificates."""
        self.say("A physician is enrolled; two officers approve; the keys are made on the card")
        self._file("physician.json").write_bytes(self.physician.registration())
        submitted = self._mohr("ca", "file", "submit", str(self._file("physician.json")), "--officer", CLERK)
        file_id = str(submitted["id"])
        early = self.programs.run(
            "mohr", "ca", "file", "approve", file_id, "--officer", CLERK, "--home", str(self.home), expect=None
        )
        self.check("the submitter cannot approve", "1", early.status)
        self._mohr("ca", "file", "approve", file_id, "--officer", FIRST_OFFICER)
        approved = self._mohr("ca", "file", "approve", file_id, "--officer", SECOND_OFFICER)
        self.check("registration file", "approved", approved["state"])
        for usage, profile, pin in (("sign", "clin-sign", SIGN_PIN), ("auth", "clin-auth", AUTH_PIN)):
            self._issue_to_card(usage, profile, pin, file_id)
        self._activate(file_id)

    def _activate(self, file_id: str) -> None:
        """Have the physician give the codes of the letter and the SMS."""
        self.say("Nothing is good before the physician activates it with two codes")
        self.check("OCSP before activation", "certificateHold", self._ocsp("sign"))
        sent = self._mohr("ca", "activation", "send", file_id, "--officer", "clerk-parsa")
        codes = Outbox(self.home / "outbox").codes_of(sent["activation"])
        done = self.programs.run(
            "mohr", "ca", "activate", sent["activation"], "--home", str(self.home), typed=codes
        ).json()
        states = {certificate["serial"]: certificate["state"] for certificate in done["certificates"]}
        for usage, serial in self.serials.items():
            self.check(f"{usage} certificate after activation", "good", states.get(serial))
        self.check("OCSP after activation", "good", self._ocsp("sign"))

    def _ocsp(self, usage: str) -> str:
        """Ask the responder about a certificate: `good`, or why not."""
        certificate = load_certificates(self._file(f"{usage}.pem").read_bytes())[0]
        issuer = load_certificates((self.home / "public" / "ca" / "persons.cer").read_bytes())[0]
        question = base64.b64encode(ocsp.build_request(certificate, issuer)).decode()
        answer = ask(f"{self.public_url}/ocsp/{quote(question, safe='')}")
        found = ocsp.evaluate(
            ocsp.parse_response(answer.body), certificate, issuer, datetime.now(UTC), origin=self.public_url
        )
        match found:
            case Good():
                return "good"
            case Revoked(reason=reason):
                return reason
        return "silent"

    def _issue_to_card(self, usage: str, profile: str, pin: str, file_id: str) -> None:
        csr, certificate = self._file(f"{usage}.csr"), self._file(f"{usage}.pem")
        self.programs.run("mohr-agent", "personalise", "keygen", "--usage", usage, "--csr", str(csr), secrets=(pin,))
        order = ("--profile", profile, "--file", file_id, "--csr", str(csr), "-o", str(certificate))
        issued = self._mohr("ca", "issue", *order, "--officer", CLERK)
        self.serials[usage] = str(issued["serial"])
        self.programs.run("mohr-agent", "personalise", "write", "--usage", usage, str(certificate), secrets=(pin,))
        cards = self.programs.run("mohr-agent", "cards", "--json").json()
        keys = [key for reader in cards["readers"] if reader["card"] for key in reader["card"]["keys"]]
        on_card = next(key["serial"] for key in keys if key["usage"] == usage)
        self.check(f"{profile} certificate on the card", self.serials[usage], on_card)

    # -- signing and verifying --------------------------------------------------------------------

    def sign(self) -> None:
        """Sign a FHIR prescription (JAdES B-T), its printable code (COSE) and a PDF (PAdES B-B) with the card."""
        self.say("The physician signs a FHIR prescription, its printable code and a PDF")
        person = self.physician
        self._file("rx.json").write_bytes(
            sample_prescription(
                prescriber=f"{person.given_name} {person.surname}", council_number=person.council_number
            )
        )
        self._file("report.pdf").write_bytes(sample_pdf())
        self._sign("rx.json", "jades", "rx.jades.json", "--level", "T", "--tsa", f"{self.public_url}/tsa")
        self._sign("rx.json", "cose", "rx.code.txt")
        self._sign("report.pdf", "pades", "report.signed.pdf")

    def _sign(self, source: str, form: str, target: str, *more: str) -> None:
        self.programs.run(
            "mohr-agent", "sign", source, "--format", form, "--yes", "-o", target, *more, secrets=(SIGN_PIN,)
        )

    def verify(self, name: str, expected: str, exit_status: int, *more: str) -> dict[str, Any]:
        """Verify one file with the deployment's anchors; return the verdict."""
        verdict = self._mohr("verify", str(self._file(name)), "--json", *more, expect=exit_status)
        outcome = f"{verdict['indication']}/{verdict['sub_indication'] or '-'}"
        self.check(f"verify {name}", expected, outcome)
        return verdict

    def verify_signed(self) -> None:
        """An auditor verifies all files, the code beside its document, and a forged one."""
        self.say("An auditor verifies")
        verdict = self.verify("rx.jades.json", "TOTAL-PASSED/-", 0)
        signature = verdict["signatures"][0]
        self.check(
            "council number in the verdict",
            self.physician.council_number,
            signature["signer"]["identity"]["council_number"],
        )
        self.check("time is proved by", "timestamp", signature["time_proof"])
        self.verify("report.signed.pdf", "TOTAL-PASSED/-", 0)
        code = self.verify("rx.code.txt", "TOTAL-PASSED/-", 0, "--content", str(self._file("rx.json")))
        self.check("the printed code may be used", "valid", code["signatures"][0]["care"])
        signed = json.loads(self._file("rx.jades.json").read_bytes())
        payload = signed["payload"]
        signed["payload"] = ("A" if payload[40] != "A" else "B").join((payload[:40], payload[41:]))
        self._file("forged.jades.json").write_text(json.dumps(signed), encoding="utf-8")
        self.verify("forged.jades.json", "TOTAL-FAILED/SIG_CRYPTO_FAILURE", 1)

    # -- a centre ---------------------------------------------------------------------------------

    def connect_centre(self) -> None:
        """Give a centre its HIX token, get an access token and call the protected endpoint with it."""
        self.say("A centre gets its HIX token and calls the exchange")
        requested = self._mohr(
            "token", "request", "--siam", "pilot-clinic-1", "--system", "his-demo-1", "--officer", CLERK
        )
        token_id = str(requested["id"])
        self._mohr("token", "approve", token_id, "--officer", FIRST_OFFICER)
        self._mohr("token", "approve", token_id, "--officer", SECOND_OFFICER)
        self.programs.run("mohr", "centre", "keygen", "--out", "centre.key", "--csr", "centre.csr")
        mine = ("--csr", str(self._file("centre.csr")), "-o", str(self._file("centre.pem")))
        activated = self._mohr("token", "activate", token_id, *mine, "--officer", CLERK)
        self.check("connection token", "active", activated["state"])
        self._call_exchange(token_id)

    def _call_exchange(self, client_id: str) -> None:
        anchor = str(self.home / "public" / "root.pem")
        mine = ("--key", "centre.key", "--cert", "centre.pem")
        answer = self.programs.run(
            "mohr",
            "centre",
            "token",
            "--issuer",
            self.public_url,
            "--client-id",
            client_id,
            "--scope",
            "hix.submit",
            *mine,
        ).json()
        self._file("access.jwt").write_text(str(answer["access_token"]), encoding="ascii")
        self.programs.run("mohr-gateway", "fetch", "--issuer", self.public_url, "--cache", "gateway")
        offline = ("verify", "@access.jwt", "--cache", "gateway", "--issuer", self.public_url, "--json", "--cert")
        self.check(
            "offline gateway", "accept", self.programs.run("mohr-gateway", *offline, "centre.pem").json()["decision"]
        )
        stolen = self.programs.run("mohr-gateway", *offline, "sign.pem", expect=1).json()
        self.check("a stolen token at the gateway", "refuse", stolen["decision"])
        url = f"{self.exchange_url}/api/v1/hix/echo"
        call = self.programs.run(
            "mohr", "centre", "call", url, "--token", "@access.jwt", *mine, "--cacert", anchor
        ).json()
        self.check("protected endpoint", "200", call["status"])
        bare = self.programs.run(
            "mohr", "centre", "call", url, "--token", "@access.jwt", "--cacert", anchor, expect=None
        ).json()
        self.check("the same call without the certificate", "401", bare["status"])

    # -- revocation and audit ---------------------------------------------------------------------

    def revoke(self) -> None:
        """Revoke the signing certificate; old signatures with a timestamp stand, new ones fall."""
        self.say("The card is reported lost: the signing certificate is revoked")
        lost = ("ca", "revoke", self.serials["sign"], "--reason", "key-compromise", "--officer")
        clerk = self.programs.run("mohr", *lost, CLERK, "--home", str(self.home), expect=None)
        self.check("who issues does not revoke", "1", clerk.status)
        revoked = self._mohr(*lost, FIRST_OFFICER)
        self.check("certificate state", "revoked", revoked["state"])
        self._sign("rx.json", "jades", "late.jades.json", "--level", "T", "--tsa", f"{self.public_url}/tsa")
        self.verify("rx.jades.json", "TOTAL-PASSED/-", 0)
        self.verify("report.signed.pdf", "INDETERMINATE/REVOKED_NO_POE", 2)
        self.verify("late.jades.json", "TOTAL-FAILED/REVOKED", 1)

    def audit(self) -> None:
        """The ledger holds against a checkpoint kept outside."""
        self.say("The ledger is checked against a checkpoint kept outside")
        outside = self._file("checkpoint.kept")
        self.programs.run("mohr", "audit", "checkpoint", "--home", str(self.home), "-o", str(outside))
        report = self._mohr("audit", "verify", "--checkpoint", str(outside), "--json")
        self.check("audit ledger", "consistent", report["state"])

    def tell(self) -> None:
        """Play everything in order."""
        self.enrol()
        self.sign()
        self.verify_signed()
        self.connect_centre()
        self.revoke()
        self.audit()
