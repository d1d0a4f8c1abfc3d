"""What OpenSSL, pyHanko and pdfsig say of a signature's value and digests: `intact`, `broken`, or nothing."""

import asyncio
import logging
import re
import shutil
import subprocess
import warnings
from pathlib import Path

from asn1crypto import cms
from pyhanko.sign.validation import async_validate_cms_signature
from pyhanko.sign.validation.generic_cms import async_validate_detached_cms

from tests.support.openssl import openssl

INTACT, BROKEN, REFUSED = "intact", "broken", "refused"


def of_openssl(folder: Path, data: bytes, content: bytes | None = None) -> str:
    """Ask `openssl cms -verify -noverify`, which checks value and digests and no path."""
    (folder / "signed").write_bytes(data)
    given: tuple[str | Path, ...] = ()
    if content is not None:
        (folder / "content").write_bytes(content)
        given = ("-content", folder / "content")
    done = openssl(
        *("cms", "-verify", "-noverify", "-binary", "-inform", "DER", "-in", folder / "signed"),
        *given,
        *("-out", folder / "out"),
    )
    if done.returncode == 0:
        return INTACT
    told = ("verification failure", "digest failure", "digest mismatch", "verify error", "content verify error")
    return BROKEN if any(word in done.stderr for word in told) else REFUSED


def of_pyhanko(data: bytes, content: bytes | None = None) -> str:
    """Ask pyHanko, whatever it raises being a refusal."""
    logging.getLogger("pyhanko").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own use of its libraries
        return _of_pyhanko(data, content)


def _of_pyhanko(data: bytes, content: bytes | None) -> str:
    try:
        signed = cms.ContentInfo.load(data, strict=True)["content"]
        if content is None:
            status = asyncio.run(async_validate_cms_signature(signed))
        else:
            status = asyncio.run(async_validate_detached_cms(content, signed))
    except Exception:  # noqa: BLE001 - a peer that raises anything refuses
        return REFUSED
    return INTACT if status.intact and status.valid else BROKEN


def pdfsig_version() -> str:
    """Return poppler's version; empty where it is not installed."""
    if shutil.which("pdfsig") is None:
        return ""
    done = subprocess.run(["pdfsig", "-v"], capture_output=True, text=True, timeout=30, check=False)
    return next(iter(re.findall(r"version (\S+)", done.stderr + done.stdout)), "")


def of_pdfsig(folder: Path, pdf: bytes) -> str:
    """Ask poppler's `pdfsig` of all signatures of a PDF."""
    (folder / "signed.pdf").write_bytes(pdf)
    command = ["pdfsig", "-nocert", str(folder / "signed.pdf")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    said = [line.partition(":")[2].strip() for line in done.stdout.splitlines() if "Signature Validation:" in line]
    if not said or any("Valid" not in one and "Invalid" not in one and "Mismatch" not in one for one in said):
        return REFUSED
    return INTACT if all(one == "Signature is Valid." for one in said) else BROKEN
