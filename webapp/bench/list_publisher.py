"""A process that does nothing but publish lists, so that its memory can be told.

Arguments: HOME, how many shards, `all` of which or the first `one` is published, or serial numbers, each of which is
revoked and its list published. On standard output: the seconds of each list from database to signed file, entries,
octets, peak memory in MB.
"""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

from ca.officers.identity import OfDeployment, Officer
from ca.profiles import IssuerName
from ca.service import CertificateAuthority
from ca.status.revocation import RevocationReason
from webapp.compose import RealClock, authority_settings, opened_parts
from webapp.deployment import Deployment
from webapp.list_upkeep import write_list

ISSUER = IssuerName.PERSONS


def peak_mb() -> float:
    """Return the most memory that this program ever had resident."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return round(int(status.partition("VmHWM:")[2].split()[0]) / 1024, 1)


def main(home: str, shards: int, wanted: str, serials: list[str]) -> None:
    """Publish every list once, or after the revocation of each certificate its list."""
    with opened_parts(Deployment(Path(home))) as parts:
        settings = replace(authority_settings(parts.settings), crl_shards=shards)
        authority = CertificateAuthority(parts.database, parts.keys, settings, RealClock())
        seconds: list[float] = []
        entries = octets = 0
        for item in serials or [""] * (shards if wanted == "all" else 1):
            shard = len(seconds) if not item else authority.get(item).shard
            if item:
                by = Officer(id="bench", proof=OfDeployment(ceremony="bench"))
                authority.revoke(item, RevocationReason.SUPERSEDED, by)
            began = time.perf_counter()
            crl = authority.publish_change(ISSUER, shard)
            write_list(parts.deployment, crl, lambda crl=crl: crl.number)  # type: ignore[misc]  # bound now
            seconds.append(time.perf_counter() - began)
            entries, octets = entries + crl.entries, octets + len(crl.der)
            del crl
    said = {"seconds": seconds, "entries": entries, "octets": octets, "peak_mb": peak_mb()}
    sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4:])
