"""OpenSSL, pyHanko and pdfsig agree on values and digests, but where docs/differences.md tells of a difference."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from pki import der, oids
from signer.formats.pades import sign_pades
from signer.validation.verdict import Crypto
from signer.validation.verify import verify_bytes
from tests.signer.validation.test_idioms_of_cms import DIGESTS, KEYS, RSA_KINDS, AnyHolder, AnyKey, named, streamed
from tests.support.carriers import CONTENT, CannotCarry, carry
from tests.support.forge import CmsForge, attribute
from tests.support.openssl import openssl
from tests.support.other_programs import REFUSED, of_openssl, of_pdfsig, of_pyhanko, pdfsig_version
from tests.support.pdf_stamps import document_stamped
from tests.support.row_cases import CASES
from tests.support.zoo import SIGNED_AT, Zoo, make_clinician

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="OpenSSL is not installed"),
]
PAGE: Final = Path(__file__).parents[3] / "docs" / "differences.md"
BYTES_MATTER: Final = (
    "nothing wrong",
    "content",
    "value",
    "file",
    "an octet after the file",
    "the file twice",
    "reference",
    "certificate nowhere",
    "SHA-1 over the content",
    "MD5 over the content",
    "ECDSA below 256 bits",
    "RSA of 1024 bits",
    "time-stamp of other octets",
    "twin",
)
"""What the names of those cases begin with that change what the programs compute; the rest is about certificates."""
HASHES_OF_RSA: Final = {
    "sha512": oids.SHA512,
    "sha512-256": oids.SHA512_256,
    "sha3-256": oids.SHA3_256,
    "sha1": oids.SHA1,
}

Told = dict[str, tuple[str, ...]]
File = tuple[bytes, bytes | None]


def table(number: int) -> Told:
    """Return what the page says of each case where programs differ."""
    found = re.findall(r"(?:^\|.*\|\n)+", PAGE.read_text(), re.MULTILINE)[number]
    told: Told = {}
    for line in found.splitlines()[2:]:
        names, *says, why = (cell.strip() for cell in line.strip("|").split("|"))
        assert why
        told |= {name: tuple(says) for name in names.split("; ")}
    return told


def of_ours(zoo: Zoo, data: bytes, content: bytes | None = None) -> str:
    found = {signature.crypto for signature in verify_bytes(data, zoo.context(content=content)).signatures}
    if not found or found == {Crypto.UNKNOWN}:
        return REFUSED
    return Crypto.BROKEN if Crypto.BROKEN in found else Crypto.INTACT


def carried(zoo: Zoo, *forms: str) -> dict[str, File]:
    files: dict[str, File] = {}
    for name, make in CASES.items():
        if not name.startswith(BYTES_MATTER) or ", stamped" in name:
            continue
        for form in forms:
            try:
                made = carry(zoo, make(zoo).act, form)
            except CannotCarry:
                continue
            files.setdefault(name, (made.data, made.content))
    return files


def _keyed(zoo: Zoo) -> dict[str, File]:
    files: dict[str, File] = {}
    private = rsa.generate_private_key(65537, 3072)
    for name, (algorithm, pad, hashed, _weak) in RSA_KINDS.items():
        key = AnyKey(private, lambda message, pad=pad, hashed=hashed: private.sign(message, pad, hashed))  # type: ignore[misc]
        holder = AnyHolder(make_clinician(zoo.intermediate, key=key).certificate, key)
        digest = HASHES_OF_RSA.get(hashed.name, oids.SHA256)
        forge = CmsForge(content=CONTENT, holder=holder, algorithm=algorithm, hash_oid=digest)
        files[f"RSA {name}"] = replace(forge, digest_name=hashed.name.replace("-", "_")).build(), None
    for name, (make, algorithm_oid, hash_oid) in KEYS.items():
        key = make()
        holder = AnyHolder(make_clinician(zoo.intermediate, key=key).certificate, key)
        forge = CmsForge(content=CONTENT, holder=holder, algorithm=named(algorithm_oid), hash_oid=hash_oid)
        files[f"key {name}"] = replace(forge, digest_name=DIGESTS[hash_oid]).build(), None
    return files


def _forged(zoo: Zoo) -> dict[str, File]:
    good = CmsForge(content=CONTENT, holder=zoo.clinician)
    backwards = sorted(good.attributes(), reverse=True)
    value = zoo.clinician.key.sign(der.tlv(der.SET, *backwards))
    digest = attribute(oids.ATTR_MESSAGE_DIGEST, der.octet_string(bytes(32)))
    content_type = attribute(oids.ATTR_CONTENT_TYPE, der.oid(oids.CMS_DATA))
    protected = der.sequence(named(oids.SHA384), der.context(1, der.oid(oids.ECDSA_WITH_SHA256)))
    loose = attribute(oids.ATTR_SIGNING_TIME, der.time(SIGNED_AT))
    forges = {
        "attributes unsorted": replace(good, arrange=lambda _a: backwards),
        "attributes signed in the order sent": replace(good, arrange=lambda _a: backwards, spoil=lambda _v: value),
        "message digest twice": replace(good, extra=(digest,)),
        "content type twice": replace(good, extra=(content_type,)),
        "no message digest": replace(good, without=(oids.ATTR_MESSAGE_DIGEST,)),
        "no content type": replace(good, without=(oids.ATTR_CONTENT_TYPE,)),
        "another content type claimed": replace(good, claimed_type=oids.TST_INFO),
        "content of a private type": replace(good, content_type="1.3.6.1.4.1.32473.9.3"),
        "other algorithms protected": replace(good, extra=(attribute(oids.ATTR_ALGORITHM_PROTECTION, protected),)),
        "signing time unsigned": replace(good, unsigned=(loose,)),
        "two signers": replace(good, signers=2),
        "51 signers": replace(good, signers=51),
    }
    files: dict[str, File] = {name: (forge.build(), None) for name, forge in forges.items()}
    inner, body = good.signed_data(), der.parse(good.build()).content
    doubled = der.sequence(der.oid(oids.CMS_SIGNED_DATA), der.context(0, inner, inner))
    long_length = b"\x30\x84" + len(body).to_bytes(4, "big") + body
    return files | {
        "streamed in chunks": (streamed(good.build()), None),
        "a length longer than needed": (long_length, None),
        "two SignedData": (doubled, None),
    }


def differing(said: Mapping[str, tuple[str, ...]]) -> Told:
    return {name: answers for name, answers in said.items() if len(set(answers)) > 1}


@pytest.mark.skipif(not openssl("version").stdout.startswith("OpenSSL 3.0."), reason="the page tells of OpenSSL 3.0")
def test_openssl_and_pyhanko_agree_on_cms_but_where_the_page_says(zoo: Zoo, tmp_path: Path) -> None:
    files = carried(zoo, "CAdES", "CAdES detached") | _keyed(zoo) | _forged(zoo)
    said = {
        name: (of_ours(zoo, data, given), of_openssl(tmp_path, data, given), of_pyhanko(data, given))
        for name, (data, given) in files.items()
    }
    assert differing(said) == table(0)


@pytest.mark.skipif(not pdfsig_version().startswith("22."), reason="the page tells of poppler 22")
def test_pdfsig_agrees_on_pdf_but_where_the_page_says(zoo: Zoo, pades: bytes, tmp_path: Path, vectors: Path) -> None:
    files = {name: data for name, (data, _given) in carried(zoo, "PAdES").items()}
    by = zoo.clinician
    files |= {
        "signed twice": sign_pades(pades, by.key, by.chain, signed_at=SIGNED_AT),
        "a document time-stamp added": document_stamped(pades, zoo.stamper(SIGNED_AT)),
        "an old sub-filter": pades.replace(b"/ETSI.CAdES.detached", b"/adbe.x509.rsa_sha1 "),
    }
    files |= {path.name: path.read_bytes() for path in sorted((vectors / "pades").glob("*.pdf"))}
    said = {name: (of_ours(zoo, data), of_pdfsig(tmp_path, data)) for name, data in files.items()}
    assert differing(said) == table(1)
