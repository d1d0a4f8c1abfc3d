"""The emulated card by its APDUs: PIN counters as a state machine, files, chaining, hostile bytes."""

import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_private_key
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cardreader.apdu import CommandApdu, Instruction, ResponseApdu, parse_response
from cardreader.cards.public_keys import from_template
from cardreader.emulated import layout
from cardreader.emulated.card import ATR, EmulatedCard
from cardreader.emulated.state import PIN_TRIES, CardState
from pki.keys import SignatureAlgorithm, verify_signature
from tests.support.emulated_card import AUTH_PIN, PUK, SIGN_PIN, new_state, personalised_state

REFERENCES = {layout.AUTH_PIN: AUTH_PIN, layout.SIGN_PIN: SIGN_PIN, layout.PUK: PUK}


class Wire:
    """An emulated card with its last saved state."""

    def __init__(self, state: CardState) -> None:
        self.saves = 0
        self.state = state
        self.card = EmulatedCard(state, self._save)

    def _save(self, _state: CardState) -> None:
        self.saves += 1

    def send(self, ins: int, p1: int = 0, p2: int = 0, data: bytes = b"", ne: int = 0, cla: int = 0) -> ResponseApdu:
        command = CommandApdu(cla=cla, ins=ins, p1=p1, p2=p2, data=data, ne=ne)
        return parse_response(self.card.process(bytes(command.encode())))

    def verify(self, reference: int, digits: bytes) -> int:
        return self.send(Instruction.VERIFY, p2=reference, data=digits.ljust(16, b"\0")).sw

    def select_path(self, path: str) -> ResponseApdu:
        return self.send(Instruction.SELECT, 0x08, data=bytes.fromhex(path), ne=256)

    def sign(self, algorithm: int, key: int, data: bytes) -> ResponseApdu:
        environment = bytes((0x80, 1, algorithm, 0x84, 1, key))
        response = self.send(Instruction.MANAGE_SECURITY_ENVIRONMENT, 0x41, 0xB6, environment)
        if not response.ok:
            return response
        return self.send(Instruction.PERFORM_SECURITY_OPERATION, 0x9E, 0x9A, data, 256)


@pytest.fixture
def wire() -> Wire:
    return Wire(personalised_state())


# --- PIN counters ---------------------------------------------------------------------------------


class PinCounters(RuleBasedStateMachine):
    """Three secrets, their counters and what is verified, against a model of twenty lines."""

    def __init__(self) -> None:
        super().__init__()
        self.wire = Wire(personalised_state())
        self.secrets = dict(REFERENCES)
        self.tries = dict.fromkeys(REFERENCES, PIN_TRIES)
        self.verified: set[int] = set()

    references = st.sampled_from(sorted(REFERENCES))
    holders = st.sampled_from([layout.AUTH_PIN, layout.SIGN_PIN])
    digits = st.sampled_from([b"11111111", b"22222222", b"33333333"])

    def _expected(self, reference: int, *, right: bool) -> int:
        """Count one try in the model and return the status word it must give."""
        if self.tries[reference] == 0:
            return 0x6983
        self.tries[reference] = PIN_TRIES if right else self.tries[reference] - 1
        return 0x9000 if right else 0x63C0 | self.tries[reference]

    @rule(reference=references)
    def right_pin(self, reference: int) -> None:
        expected = self._expected(reference, right=True)
        assert self.wire.verify(reference, self.secrets[reference]) == expected
        self.verified.discard(reference)
        if expected == 0x9000 and reference != layout.PUK:
            self.verified.add(reference)

    @rule(reference=references, digits=st.sampled_from([b"0000", b"999999", b"", b"0" * 16]))
    def wrong_pin(self, reference: int, digits: bytes) -> None:
        expected = self._expected(reference, right=False)
        assert self.wire.verify(reference, digits) == expected
        self.verified.discard(reference)

    @rule(reference=holders, new=digits, right=st.booleans())
    def change(self, reference: int, new: bytes, right: bool) -> None:
        old = self.secrets[reference] if right else b"0000"
        expected = self._expected(reference, right=right)
        data = old.ljust(16, b"\0") + new.ljust(16, b"\0")
        assert self.wire.send(Instruction.CHANGE_REFERENCE_DATA, p2=reference, data=data).sw == expected
        self.verified.discard(reference)
        if expected == 0x9000:
            self.secrets[reference] = new

    @rule(reference=holders, new=digits, right=st.booleans())
    def unblock(self, reference: int, new: bytes, right: bool) -> None:
        puk = self.secrets[layout.PUK] if right else b"00000000"
        expected = self._expected(layout.PUK, right=right)
        data = puk.ljust(16, b"\0") + new.ljust(16, b"\0")
        assert self.wire.send(Instruction.RESET_RETRY_COUNTER, p2=reference, data=data).sw == expected
        self.verified.discard(reference)
        if expected == 0x9000:
            self.secrets[reference], self.tries[reference] = new, PIN_TRIES

    @rule(key=st.sampled_from([layout.AUTH_KEY, layout.SIGN_KEY]))
    def sign(self, key: int) -> None:
        response = self.wire.sign(layout.ECDSA, key, bytes(32))
        assert response.sw == (0x9000 if key in self.verified else 0x6982)
        if key == layout.SIGN_KEY:
            self.verified.discard(layout.SIGN_PIN)

    @rule()
    def power_cycle(self) -> None:
        self.wire.card.reset()
        self.verified.clear()

    @rule()
    def select_application(self) -> None:
        assert self.wire.send(Instruction.SELECT, 0x04, data=layout.PKCS15_AID, ne=256).ok
        self.verified.clear()

    @invariant()
    def the_counter_is_what_the_model_says(self) -> None:
        for reference, tries in self.tries.items():
            told = self.wire.send(Instruction.VERIFY, p2=reference).sw
            assert told == (0x9000 if reference in self.verified else 0x63C0 | tries if tries else 0x6983)
            assert self.wire.state.pins[reference].tries_left == tries


TestPinCounters = PinCounters.TestCase
TestPinCounters.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def test_the_signature_pin_is_spent_by_one_signature_and_the_other_is_not(wire: Wire) -> None:
    for reference, key, again in (
        (layout.SIGN_PIN, layout.SIGN_KEY, 0x6982),
        (layout.AUTH_PIN, layout.AUTH_KEY, 0x9000),
    ):
        assert wire.verify(reference, REFERENCES[reference]) == 0x9000
        assert wire.sign(layout.ECDSA, key, bytes(32)).ok
        assert wire.sign(layout.ECDSA, key, bytes(32)).sw == again


def test_a_wrong_try_is_saved_before_the_card_answers(wire: Wire) -> None:
    before = wire.saves
    assert wire.verify(layout.SIGN_PIN, b"000000") == 0x63C2
    assert wire.saves == before + 1


@pytest.mark.parametrize("new", [b"12345", b"1" * 13, b"12a456", b"123456\0007"])
def test_a_new_pin_outside_the_limits_is_refused_and_the_old_one_stays(wire: Wire, new: bytes) -> None:
    data = SIGN_PIN.ljust(16, b"\0") + new.ljust(16, b"\0")
    assert wire.send(Instruction.CHANGE_REFERENCE_DATA, p2=layout.SIGN_PIN, data=data).sw == 0x6A80
    assert wire.verify(layout.SIGN_PIN, SIGN_PIN) == 0x9000


@pytest.mark.parametrize(
    ("ins", "p2", "size", "sw"),
    [
        (Instruction.VERIFY, 9, 16, 0x6A88),
        (Instruction.CHANGE_REFERENCE_DATA, 9, 32, 0x6A88),
        (Instruction.RESET_RETRY_COUNTER, 9, 32, 0x6A88),
        (Instruction.RESET_RETRY_COUNTER, layout.PUK, 32, 0x6A88),
        (Instruction.CHANGE_REFERENCE_DATA, layout.SIGN_PIN, 16, 0x6700),
        (Instruction.RESET_RETRY_COUNTER, layout.SIGN_PIN, 16, 0x6700),
        (Instruction.VERIFY, layout.SIGN_PIN, 17, 0x6700),
    ],
)
def test_malformed_pin_commands_take_no_try(wire: Wire, ins: int, p2: int, size: int, sw: int) -> None:
    assert wire.send(ins, p2=p2, data=b"1" * size).sw == sw
    assert all(record.tries_left == PIN_TRIES for record in wire.state.pins.values())


# --- keys -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [(layout.GENERATE_EC, SignatureAlgorithm.ES256), (layout.GENERATE_RSA, SignatureAlgorithm.RS256)],
)
def test_a_generated_key_signs_what_it_is_given(algorithm: int, kind: SignatureAlgorithm) -> None:
    wire = Wire(new_state())
    wire.verify(layout.AUTH_PIN, AUTH_PIN)
    environment = bytes((0x80, 1, algorithm, 0x84, 1, layout.AUTH_KEY))
    assert wire.send(Instruction.MANAGE_SECURITY_ENVIRONMENT, 0x41, 0xB6, environment).ok
    response = wire.send(Instruction.GENERATE_KEY_PAIR, 0x80, ne=256)
    public = response.data
    while response.sw1 == 0x61:
        response = wire.send(Instruction.GET_RESPONSE, ne=response.sw2 or 256)
        public += response.data
    key = from_template(public)
    digest = hashlib.sha256(b"message").digest()
    if kind is SignatureAlgorithm.RS256:
        digest = bytes.fromhex("3031300d060960864801650304020105000420") + digest
    use = layout.RSA_PKCS1 if kind is SignatureAlgorithm.RS256 else layout.ECDSA
    verify_signature(key, wire.sign(use, layout.AUTH_KEY, digest).data, b"message")


def test_a_key_is_not_made_without_its_own_pin() -> None:
    wire = Wire(new_state())
    wire.verify(layout.AUTH_PIN, AUTH_PIN)
    environment = bytes((0x80, 1, layout.GENERATE_EC, 0x84, 1, layout.SIGN_KEY))
    wire.send(Instruction.MANAGE_SECURITY_ENVIRONMENT, 0x41, 0xB6, environment)
    assert wire.send(Instruction.GENERATE_KEY_PAIR, 0x80, ne=256).sw == 0x6982
    assert wire.state.keys[layout.SIGN_KEY].pkcs8 == b""


@pytest.mark.parametrize(
    ("algorithm", "key", "size", "sw"),
    [
        (layout.ECDSA, layout.AUTH_KEY, 31, 0x6A80),
        (layout.RSA_PKCS1, layout.AUTH_KEY, 51, 0x6985),
        (layout.GENERATE_EC, layout.AUTH_KEY, 32, 0x6985),
        (0x77, layout.AUTH_KEY, 32, 0x6A81),
        (layout.ECDSA, 0x77, 32, 0x6A88),
    ],
)
def test_a_signature_that_cannot_be_is_refused(wire: Wire, algorithm: int, key: int, size: int, sw: int) -> None:
    wire.verify(layout.AUTH_PIN, AUTH_PIN)
    assert wire.sign(algorithm, key, bytes(size)).sw == sw


def test_an_rsa_input_too_long_for_its_padding_is_refused() -> None:
    wire = Wire(personalised_state(SignatureAlgorithm.RS256))
    wire.verify(layout.AUTH_PIN, AUTH_PIN)
    assert wire.sign(layout.RSA_PKCS1, layout.AUTH_KEY, bytes(246)).sw == 0x6A80
    assert wire.sign(layout.ECDSA, layout.AUTH_KEY, bytes(32)).sw == 0x6985


def test_the_iso_applet_reference_takes_digests_and_hashes_messages_with_sha1(wire: Wire) -> None:
    key = wire.state.keys[layout.AUTH_KEY]
    public = load_der_private_key(key.pkcs8, None).public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    wire.verify(layout.AUTH_PIN, AUTH_PIN)
    message = wire.sign(layout.ECDSA_ISO_APPLET, layout.AUTH_KEY, b"message")
    public.verify(message.data, b"message", ec.ECDSA(hashes.SHA1()))  # noqa: S303 - what that driver asks for
    digest = wire.sign(layout.ECDSA_ISO_APPLET, layout.AUTH_KEY, hashlib.sha256(b"message").digest())
    public.verify(digest.data, b"message", ec.ECDSA(hashes.SHA256()))


def test_signing_needs_an_environment(wire: Wire) -> None:
    wire.verify(layout.AUTH_PIN, AUTH_PIN)
    assert wire.send(Instruction.PERFORM_SECURITY_OPERATION, 0x9E, 0x9A, bytes(32), 256).sw == 0x6985
    assert wire.send(Instruction.GENERATE_KEY_PAIR, 0x80, ne=256).sw == 0x6985
    for data in (b"", b"\x80\x01", b"\x80\x01\x22", b"\x80\x01\x22\x84\x02\x01\x01", b"\x80\x01\x22" * 2):
        assert wire.send(Instruction.MANAGE_SECURITY_ENVIRONMENT, 0x41, 0xB6, data).sw == 0x6A80


# --- files ----------------------------------------------------------------------------------------


def test_files_are_selected_by_path_identifier_and_name(wire: Wire) -> None:
    assert wire.select_path("50155032").ok
    assert wire.select_path("3F0050155032").ok
    assert wire.send(Instruction.SELECT, 0x00, data=b"\x3f\x00", ne=256).ok
    assert wire.send(Instruction.SELECT, 0x00, ne=256).ok
    assert wire.send(Instruction.SELECT, 0x00, data=b"\x2f\x00", ne=256).ok
    assert wire.send(Instruction.SELECT, 0x01, data=b"\x50\x15", ne=256).ok
    assert wire.send(Instruction.SELECT, 0x02, data=b"\x50\x31", ne=256).ok
    assert wire.send(Instruction.SELECT, 0x09, data=b"\x50\x32", ne=256).ok
    assert (
        wire.send(Instruction.SELECT, 0x04, data=bytes.fromhex("F276A288BCFBA69D34F31001"), ne=256).data[:2] == b"\0\6"
    )


@pytest.mark.parametrize(
    ("p1", "p2", "data", "sw"),
    [
        (0x08, 0, "5016", 0x6A82),
        (0x08, 0, "50", 0x6A80),
        (0x08, 0, "", 0x6A80),
        (0x04, 0, "A000", 0x6A82),
        (0x05, 0, "5015", 0x6A86),
        (0x08, 1, "5015", 0x6A86),
        (0x02, 0, "5031", 0x6A82),
    ],
)
def test_what_cannot_be_selected_is_said(wire: Wire, p1: int, p2: int, data: str, sw: int) -> None:
    assert wire.send(Instruction.SELECT, p1, p2, bytes.fromhex(data), 256).sw == sw


def test_reading_ends_with_the_file(wire: Wire) -> None:
    assert wire.send(Instruction.READ_BINARY, ne=256).sw == 0x6986
    size = len(wire.state.files["3F0050155032"])
    wire.select_path("50155032")
    assert len(wire.send(Instruction.READ_BINARY, ne=256).data) == size
    assert wire.send(Instruction.READ_BINARY, p1=0, p2=size - 2, ne=10).sw == 0x6282
    assert wire.send(Instruction.READ_BINARY, p1=size >> 8, p2=size & 0xFF, ne=10).sw == 0x6B00
    assert wire.send(Instruction.READ_BINARY, p1=0x81, ne=10).sw == 0x6A86


def test_writing_needs_a_pin_and_never_touches_what_describes_the_card(wire: Wire) -> None:
    wire.select_path("50154404")
    assert wire.send(Instruction.UPDATE_BINARY, data=b"x").sw == 0x6982
    wire.verify(layout.AUTH_PIN, AUTH_PIN)
    assert wire.send(Instruction.UPDATE_BINARY, data=b"x").ok
    assert wire.send(Instruction.UPDATE_BINARY, p1=0x7F, p2=0xFF, data=b"x").sw == 0x6A84
    assert wire.send(Instruction.UPDATE_BINARY).sw == 0x6A86
    for fixed in ("5031", "5032", "4401"):
        wire.select_path(f"5015{fixed}")
        assert wire.send(Instruction.UPDATE_BINARY, data=b"x").sw == 0x6982
    wire.select_path("5015")
    assert wire.send(Instruction.UPDATE_BINARY, data=b"x").sw == 0x6986


# --- transport ------------------------------------------------------------------------------------


def test_an_extended_command_brings_the_whole_answer_at_once(wire: Wire) -> None:
    wire.select_path("50154402")
    assert len(wire.send(Instruction.READ_BINARY, ne=65536).data) == 1024


def test_a_chain_is_joined_and_a_broken_one_refused(wire: Wire) -> None:
    padded = SIGN_PIN.ljust(16, b"\0")
    assert wire.send(Instruction.VERIFY, p2=layout.SIGN_PIN, data=padded[:5], cla=0x10).ok
    assert wire.send(Instruction.VERIFY, p2=layout.SIGN_PIN, data=padded[5:]).ok
    assert wire.send(Instruction.VERIFY, p2=layout.SIGN_PIN, data=padded[:5], cla=0x10).ok
    assert wire.send(Instruction.VERIFY, p2=layout.AUTH_PIN, data=padded[5:]).sw == 0x6883


def test_get_response_without_an_answer_waiting_is_refused(wire: Wire) -> None:
    assert wire.send(Instruction.GET_RESPONSE, ne=256).sw == 0x6985


def test_unknown_instructions_and_classes_are_refused(wire: Wire) -> None:
    assert wire.send(0xCA, ne=256).sw == 0x6D00
    assert wire.send(Instruction.SELECT, cla=0x80).sw == 0x6E00


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_the_card_answers_anything_with_a_status_word(messages: list[bytes]) -> None:
    wire = Wire(new_state())
    for message in messages:
        parse_response(wire.card.process(message))


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*Instruction]),
            st.sampled_from([0, 1, 2, 4, 8, 9, 0x41, 0x80, 0x9E]),
            st.sampled_from([0, 1, 2, 3, 0x9A, 0xB6]),
            st.binary(max_size=40),
            st.sampled_from([0, 8, 256, 65536]),
            st.sampled_from([0x00, 0x10]),
        ),
        max_size=8,
    )
)
def test_any_sequence_of_its_instructions_is_answered(
    commands: list[tuple[int, int, int, bytes, int, int]],
) -> None:
    wire = Wire(new_state())
    for ins, p1, p2, data, ne, cla in commands:
        wire.send(ins, p1, p2, data, ne, cla)


def test_the_answer_to_reset_has_a_right_check_octet() -> None:
    check = 0
    for octet in ATR[1:]:
        check ^= octet
    assert check == 0
    assert ATR[1] & 0x0F == len(ATR) - 5
