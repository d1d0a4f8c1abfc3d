from __future__ import annotations

from base64 import b64decode, b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import strategies as st

from pki.errors import ErrorCode, InvalidInput, ServiceError, VerificationFailed
from pki.keys import SignatureAlgorithm
from pki.merkle import EMPTY_ROOT
from pki.notes import (
    MAX_SIGNATURES,
    Checkpoint,
    VerifierKey,
    build_checkpoint,
    open_checkpoint,
    parse_checkpoint,
    parse_note,
    parse_verifier_key,
    sign_checkpoint,
    sign_note,
    verifier_key,
    verify_note,
)

# The example note and keys of the Go package golang.org/x/mod/sumdb/note, an independent implementation.
GO_VERIFIER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_SEED = b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_SIGNATURE = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
GO_NOTE = f"{GO_TEXT}\n\u2014 PeterNeumann {GO_SIGNATURE}\n"


class SeedKey:
    """An Ed25519 key from a fixed seed."""

    algorithm = SignatureAlgorithm.EDDSA

    def __init__(self, seed: bytes) -> None:
        self._key = ed25519.Ed25519PrivateKey.from_private_bytes(seed)

    def public_key(self) -> ed25519.Ed25519PublicKey:
        return self._key.public_key()

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)


LOG, WITNESS = SeedKey(b"\1" * 32), SeedKey(b"\2" * 32)
ORIGIN = "ledger.example/mohr"
LOG_KEY = verifier_key(ORIGIN, LOG)
WITNESS_KEY = verifier_key("witness.example", WITNESS)
CHECKPOINT = Checkpoint(origin=ORIGIN, size=20852163, root=bytes(range(32)))


def signature_lines(note: str) -> str:
    return note.rpartition("\n\n")[2]


def test_a_note_signed_elsewhere_verifies_and_signing_gives_the_same_octets() -> None:
    peter = parse_verifier_key(GO_VERIFIER)
    assert verify_note(GO_NOTE, (peter,)).text == GO_TEXT
    assert sign_note(GO_TEXT, "PeterNeumann", SeedKey(GO_SEED)) == GO_NOTE
    assert str(peter) == GO_VERIFIER


def test_a_checkpoint_reads_as_the_specification_prints_it() -> None:
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    checkpoint = parse_checkpoint(text)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert build_checkpoint(checkpoint) == text
    assert parse_checkpoint(text + "opaque\n").extensions == ("opaque",)


def test_signatures_of_unknown_keys_are_ignored_wherever_they_stand() -> None:
    text = build_checkpoint(CHECKPOINT)
    own, other = sign_note(text, ORIGIN, LOG), sign_note(text, "witness.example", WITNESS)
    for note in (own + signature_lines(other), other + signature_lines(own)):
        assert open_checkpoint(note, LOG_KEY) == CHECKPOINT
        assert len(parse_note(note).signatures) == 2
        assert len(verify_note(note, (LOG_KEY, WITNESS_KEY)).signatures) == 2


def test_a_failing_signature_of_a_known_key_spoils_the_note_beside_a_good_one() -> None:
    note = sign_checkpoint(CHECKPOINT, LOG)
    elsewhere = sign_checkpoint(Checkpoint(origin=ORIGIN, size=1, root=EMPTY_ROOT), LOG)
    with pytest.raises(VerificationFailed) as caught:
        verify_note(note + signature_lines(elsewhere), (LOG_KEY,))
    assert caught.value.code is ErrorCode.CHECKPOINT_INVALID


def test_a_note_that_no_known_key_signed_is_refused() -> None:
    with pytest.raises(VerificationFailed):
        verify_note(sign_checkpoint(CHECKPOINT, LOG), (WITNESS_KEY,))
    with pytest.raises(VerificationFailed):
        verify_note(sign_checkpoint(CHECKPOINT, LOG), ())


def test_the_same_key_under_another_name_is_another_key() -> None:
    assert verifier_key("ledger.example/other", LOG).key_id != LOG_KEY.key_id
    with pytest.raises(VerificationFailed):
        open_checkpoint(sign_checkpoint(CHECKPOINT, LOG), verifier_key("ledger.example/other", LOG))


def test_a_checkpoint_of_another_log_signed_under_this_name_is_refused() -> None:
    foreign = build_checkpoint(Checkpoint(origin="ledger.example/other", size=1, root=EMPTY_ROOT))
    with pytest.raises(VerificationFailed) as caught:
        open_checkpoint(sign_note(foreign, ORIGIN, LOG), LOG_KEY)
    assert "another log" in caught.value.detail


@given(st.data())
def test_no_changed_octet_of_a_signed_checkpoint_goes_unseen(data: st.DataObject) -> None:
    note = sign_checkpoint(CHECKPOINT, LOG).encode()
    place = data.draw(st.integers(0, len(note) - 1))
    changed = bytearray(note)
    changed[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ServiceError):
        open_checkpoint(changed.decode("utf-8", "surrogateescape"), LOG_KEY)


@given(
    st.text(st.characters(exclude_categories=("Zs", "Zl", "Zp", "Cc", "Cs"), exclude_characters="+"), min_size=1),
    st.integers(0, 2**63 - 1),
    st.binary(min_size=32, max_size=32),
)
def test_what_is_signed_is_what_is_read(origin: str, size: int, root: bytes) -> None:
    checkpoint = Checkpoint(origin=origin, size=size, root=root)
    key = verifier_key(origin, LOG)
    assert open_checkpoint(sign_checkpoint(checkpoint, LOG), key) == checkpoint
    assert parse_verifier_key(str(key)) == key


@pytest.mark.parametrize(
    "note",
    [
        "",
        "text\n",
        "text\n\n",
        "text\n\n\u2014 name AAAAAAA=",
        "text\n\n\u2014 name AAAAAAA=\n\n",
        "text\n\n- name AAAAAAA=\n",
        "text\n\n\u2014 na+me AAAAAAA=\n",
        "text\n\n\u2014 na\u00a0me AAAAAAA=\n",
        "text\n\n\u2014  AAAAAAA=\n",
        "text\n\n\u2014 name AAAA\n",
        "text\n\n\u2014 name AAAAAAB=\n",
        "text\n\n\u2014 name AAAAAAA= \n",
        "text\n\n\u2014 name\n",
        "te\rxt\n\n\u2014 name AAAAAAA=\n",
        "te\ud800xt\n\n\u2014 name AAAAAAA=\n",
        "text\n\n" + "\u2014 name AAAAAAA=\n" * (MAX_SIGNATURES + 1),
        "t" * 262_144 + "\n\n\u2014 name AAAAAAA=\n",
    ],
)
def test_a_malformed_note_is_refused(note: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_note(note)
    assert caught.value.code is ErrorCode.CHECKPOINT_INVALID


ROOT_TEXT = b64encode(EMPTY_ROOT).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"o\n1\n{ROOT_TEXT}",
        f"\n1\n{ROOT_TEXT}\n",
        "o\n1\n",
        f"o\n01\n{ROOT_TEXT}\n",
        f"o\n-1\n{ROOT_TEXT}\n",
        f"o\n+1\n{ROOT_TEXT}\n",
        f"o\n\u0661\n{ROOT_TEXT}\n",
        f"o\n{2**63}\n{ROOT_TEXT}\n",
        f"o\n{10**19}\n{ROOT_TEXT}\n",
        f"o\n1\n{ROOT_TEXT[:-1]}\n",
        "o\n1\nAAAA\n",
        f"o\n1\n{ROOT_TEXT}\n\n",
        f"o\n1\n{ROOT_TEXT}\n\nx\n",
    ],
)
def test_a_malformed_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_checkpoint(text)


def test_a_checkpoint_that_would_read_differently_is_not_built() -> None:
    for odd in (
        Checkpoint(origin="a\nb", size=1, root=EMPTY_ROOT),
        Checkpoint(origin="", size=1, root=EMPTY_ROOT),
        Checkpoint(origin="o", size=-1, root=EMPTY_ROOT),
        Checkpoint(origin="o", size=1, root=b"short"),
        Checkpoint(origin="o", size=1, root=EMPTY_ROOT, extensions=("a\nb",)),
    ):
        with pytest.raises(InvalidInput):
            build_checkpoint(odd)


def test_text_without_a_last_newline_and_names_with_spaces_are_not_signed() -> None:
    with pytest.raises(InvalidInput):
        sign_note("text", "name", LOG)
    with pytest.raises(InvalidInput):
        sign_note("text\n", "a name", LOG)


def test_only_ed25519_keys_sign_notes() -> None:
    class EcKey:
        algorithm = SignatureAlgorithm.ES256

        def public_key(self) -> ec.EllipticCurvePublicKey:
            return ec.generate_private_key(ec.SECP256R1()).public_key()

        def sign(self, message: bytes) -> bytes:
            raise AssertionError("must not be asked")

    with pytest.raises(InvalidInput) as caught:
        sign_note("text\n", "name", EcKey())
    assert caught.value.code is ErrorCode.KEY_REFUSED


def test_a_device_that_returns_a_wrong_signature_is_found_out_before_anyone_sees_the_note() -> None:
    class Broken(SeedKey):
        def sign(self, message: bytes) -> bytes:
            return super().sign(message + b"!")

    with pytest.raises(VerificationFailed):
        sign_note("text\n", "name", Broken(b"\3" * 32))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+00000000",
        "name+00000000+",
        f"{GO_VERIFIER[:-4]}",
        GO_VERIFIER.replace("c74f", "c74e"),
        GO_VERIFIER.replace("PeterNeumann", "Peter Neumann"),
        GO_VERIFIER.replace("+AR", "+BR"),
        GO_VERIFIER + "\n",
    ],
)
def test_a_malformed_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_verifier_key(text)


@given(st.text() | st.text(st.sampled_from("\n\u2014 +AZaz09=/\ud800\x00")))
def test_the_readers_never_raise_anything_but_ours(text: str) -> None:
    for reader in (parse_note, parse_checkpoint, parse_verifier_key):
        try:
            reader(text)
        except InvalidInput as error:
            assert error.code is ErrorCode.CHECKPOINT_INVALID


def test_a_verifier_key_is_a_value() -> None:
    assert VerifierKey(name=ORIGIN, public_key=LOG.public_key()) == LOG_KEY
