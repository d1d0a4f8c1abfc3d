"""What a compromised authority asks of others: the root's ceremony, as a script, and what relying parties are told."""

import json
from datetime import datetime
from typing import Any, Final

from ca.ceremony.script import parse_script
from ca.profiles import IssuerName
from pki.certificates import Certificate
from pki.instants import format_instant

_SCRIPT: Final = """# Revoke the compromised {authority} CA and sign the root's next list.
# Review it, put in who will be there, then carry it out:  mohr hsm ceremony FILE --home HOME
# Serial number {serial}
# SHA-256       {sha256}

[ceremony]
name = {name}
purpose = {purpose}
custodians = ["Custodian One", "Custodian Two", "Custodian Three"]
threshold = 2
witnesses = ["Witness One"]

[[step]]
do = "use-token"
token = "root"
label = "mohr-root"

[[step]]
do = "revoke-authority"
token = "root"
authority = {quoted}
reason = "cACompromise"
{since}
[[step]]
do = "sign-root-list"
token = "root"

[[step]]
do = "read-aloud"
authority = "root"
"""


def ceremony_script(authority: IssuerName, certificate: Certificate, now: datetime, since: datetime | None) -> bytes:
    """Write the ceremony that ends an authority under our root; ScriptRefused for what no ceremony takes."""
    text = _SCRIPT.format(
        authority=authority.value,
        serial=certificate.serial_hex,
        sha256=certificate.sha256.hex(),
        name=json.dumps(f"compromise-{authority}-{now:%Y%m%d-%H%M%S}"),
        purpose=json.dumps(f"Revoke the {authority} CA, whose key is compromised"),
        quoted=json.dumps(authority.value),
        since="" if since is None else f"{since_line(since)}\n",
    ).encode()
    parse_script(text)
    return text


def since_line(since: datetime) -> str:
    """Write the line of the ceremony that says since when."""
    return f'invalidity_date = "{format_instant(since)}"'


def fingerprints(certificate: Certificate, state: str) -> dict[str, Any]:
    """Write by what everybody knows the certificate that is no longer to be trusted."""
    return {
        "subject": certificate.subject,
        "serial": certificate.serial_hex,
        "sha256": certificate.sha256.hex(),
        "not_after": format_instant(certificate.not_after),
        "state": state,
    }


def told(certificate: Certificate, *, own_root: bool) -> list[str]:
    """Write what relying parties have to be told, by a way that does not depend on the compromised key."""
    above = "the root's next list" if own_root else "the parent CA's next list"
    return [
        f"Do not trust the certificate with SHA-256 {certificate.sha256.hex()} any more, whatever is signed under it.",
        f"Fetch {above}; it names serial number {certificate.serial_hex} with cACompromise.",
        "Lists and OCSP answers that are signed with the compromised key, or by a responder under it, prove nothing.",
        "Signatures with a time-stamp from before the compromise keep what that time-stamp proves; all others do not.",
    ]
