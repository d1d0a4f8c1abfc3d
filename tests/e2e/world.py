"""A small deployment's public folder and files to check against it, made in a second with software keys."""

import json
from datetime import timedelta
from pathlib import Path

from signer.formats.jades import add_signature_timestamp, sign_jades
from signer.samples import sample_prescription
from tests.support.pdf import page_pdf
from tests.support.pki import NOW, Holder, Issuer
from tests.support.zoo import Zoo, make_clinician, make_zoo

SIGNED_AT = NOW - timedelta(hours=2)


def make_world(home: Path, files: Path) -> None:
    """Publish what the CA would, and write one file for each thing the verdict page can say."""
    zoo = make_zoo()
    revoked = make_clinician(zoo.intermediate)
    quiet = zoo.root.issue_ca("Authority without a list")
    _publish(home, zoo, quiet, revoked)
    files.mkdir(parents=True)
    valid = _signed(zoo, zoo.clinician)
    written = {
        "valid.json": valid,
        "deferred.json": _signed(zoo, make_clinician(quiet)),
        "revoked.json": _signed(zoo, revoked),
        "broken.json": _with_other_payload(valid),
        "refused.json": _signed(zoo, make_zoo().clinician),
        "unsigned.pdf": page_pdf(),
        "unknown.bin": b"a letter without any signature",
        "empty.json": b"",
    }
    for name, data in written.items():
        (files / name).write_bytes(data)


def _publish(home: Path, zoo: Zoo, quiet: Issuer, revoked: Holder) -> None:
    published = {
        "root.pem": zoo.root.pem.encode(),
        "ca/persons.cer": zoo.intermediate.certificate.der,
        "ca/quiet.cer": quiet.certificate.der,
        "crl/root/0.crl": zoo.root.crl(),
        "crl/persons/0.crl": zoo.intermediate.crl({revoked.certificate.serial: SIGNED_AT - timedelta(days=1)}),
    }
    for name, data in published.items():
        path = home / "public" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _signed(zoo: Zoo, signer: Holder) -> bytes:
    jws = sign_jades(sample_prescription(issued_at=SIGNED_AT), signer.key, signer.chain, signed_at=SIGNED_AT)
    return add_signature_timestamp(jws, zoo.stamper(SIGNED_AT + timedelta(seconds=2)))


def _with_other_payload(jws: bytes) -> bytes:
    members = json.loads(jws)
    payload = members["payload"]
    members["payload"] = payload[:40] + ("A" if payload[40] != "A" else "B") + payload[41:]
    return json.dumps(members).encode()
