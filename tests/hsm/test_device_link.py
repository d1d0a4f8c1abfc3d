"""The line between front and device process, over a real SoftHSM2 token."""

import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key

from hsm.child_process import child_environment, module_command
from hsm.device.calls import PART_OCTETS, DeviceAnswer
from hsm.device.contract import device_input
from hsm.device.link import DeviceLink
from hsm.errors import ConfigurationInvalid, HsmUnavailable, KeyAbsent, KeyMismatch, MechanismRefused, PinIncorrect
from hsm.pin import PinTries
from hsm.private_files import write_private
from hsm.softhsm import SoftHsmToken, create_softhsm_token, find_module
from pki.keys import DEFAULT_RSA_BITS, PublicKey, SignatureAlgorithm, verify_signature, x509_signature
from tests.support.capabilities import looks_into_processes
from tests.support.device_links import Owner, order_for
from tests.support.hung import go_on, hang
from tests.support.patience import PATIENCE

ES256 = SignatureAlgorithm.ES256

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(find_module() is None, reason="SoftHSM2 is not installed"),
]


@dataclass(kw_only=True)
class LinkedToken:
    """A link that is open, its owner's loop, and a P-256 key."""

    folder: Path
    token: SoftHsmToken
    owner: Owner
    reference: bytes
    public_key: PublicKey

    @property
    def link(self) -> DeviceLink:
        return self.owner.link

    def check(self, answer: DeviceAnswer, *messages: bytes) -> None:
        """Hold the values against the key."""
        assert answer.error is None, answer.error
        for message, value in zip(messages, answer.value, strict=True):
            verify_signature(self.public_key, x509_signature(ES256, value), message)


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SoftHsmToken]:
    folder = tmp_path_factory.mktemp("link")
    return folder, create_softhsm_token(folder / "token", "mohr-link")


@pytest.fixture
def linked(token: tuple[Path, SoftHsmToken]) -> Iterator[LinkedToken]:
    folder, made = token
    (folder / "tries").unlink(missing_ok=True)
    owner = Owner(DeviceLink(order_for(made, folder), time.monotonic))
    owner.open()
    reference, public_key = generate(owner, ES256)
    yield LinkedToken(folder=folder, token=made, owner=owner, reference=reference, public_key=public_key)
    owner.link.close()


def generate(owner: Owner, algorithm: SignatureAlgorithm) -> tuple[bytes, PublicKey]:
    value: Any = owner.value(partial(owner.link.generate, "label", algorithm, DEFAULT_RSA_BITS))
    reference, spki_der = value
    public_key = load_der_public_key(spki_der)
    assert isinstance(public_key, PublicKey)
    return reference, public_key


@pytest.mark.parametrize("algorithm", SignatureAlgorithm)
def test_every_algorithm_signs_over_the_link(linked: LinkedToken, algorithm: SignatureAlgorithm) -> None:
    owner, link = linked.owner, linked.link
    reference, public_key = generate(owner, algorithm)
    messages = [b"", b"message", bytes(100_000)]
    inputs = [device_input(algorithm, message) for message in messages]
    values: Any = owner.value(partial(link.sign, reference, algorithm, inputs))
    for message, value in zip(messages, values, strict=True):
        verify_signature(public_key, x509_signature(algorithm, value), message, algorithm)
    said: Any = owner.value(partial(link.attributes, reference))
    assert said["sensitive"] is True
    spki: Any = owner.value(partial(link.public_key, reference, algorithm))
    assert load_der_public_key(spki) == public_key
    assert (link.generation, link.available, link.reason) == (1, True, "")


def test_many_calls_under_way_are_answered_in_their_order(linked: LinkedToken) -> None:
    messages = [b"message %d" % number for number in range(200)]
    answers: list[tuple[bytes, DeviceAnswer]] = []
    for message in messages:
        done = partial(lambda message, answer: answers.append((message, answer)), message)
        linked.link.sign(linked.reference, ES256, [device_input(ES256, message)], done)
        assert not answers, "answered from inside the call"
    linked.owner.run_until(lambda: len(answers) == len(messages))
    assert [message for message, _ in answers] == messages
    for message, answer in answers:
        linked.check(answer, message)


@pytest.mark.parametrize("count", [0, 1, 32, 33, 100, 1000])
def test_a_call_of_many_inputs_is_one_answer(linked: LinkedToken, count: int) -> None:
    messages = [b"message %d" % number for number in range(count)]
    inputs = [device_input(ES256, message) for message in messages]
    linked.check(linked.owner.ask(partial(linked.link.sign, linked.reference, ES256, inputs)), *messages)


def test_errors_keep_their_names_over_the_link_and_leave_the_device_open(linked: LinkedToken) -> None:
    owner, link = linked.owner, linked.link
    sign = partial(link.sign, linked.reference)
    assert type(owner.error(partial(sign, ES256, [b"short"]))) is MechanismRefused
    assert type(owner.error(partial(sign, SignatureAlgorithm.RS256, [bytes(32)]))) is KeyMismatch
    assert type(owner.error(partial(link.sign, b"none", ES256, [bytes(32)]))) is KeyAbsent
    assert type(owner.error(partial(link.attributes, b"none"))) is KeyAbsent
    assert type(owner.error(partial(sign, SignatureAlgorithm.EDDSA, [bytes(PART_OCTETS + 1)]))) is MechanismRefused
    assert (link.generation, link.available) == (2, True), "opened once more to look for the keys"


def test_one_bad_part_fails_the_whole_call_once(linked: LinkedToken) -> None:
    inputs = [bytes(32)] * 40 + [b"short"] + [bytes(32)] * 40
    assert isinstance(linked.owner.error(partial(linked.link.sign, linked.reference, ES256, inputs)), MechanismRefused)
    linked.check(
        linked.owner.ask(partial(linked.link.sign, linked.reference, ES256, [device_input(ES256, b"m")])), b"m"
    )


def test_a_process_that_crashes_fails_its_calls_and_is_started_again(linked: LinkedToken) -> None:
    owner, link = linked.owner, linked.link
    assert link.pid is not None
    answers: list[DeviceAnswer] = []
    hang(link.pid)
    for _ in range(5):
        link.sign(linked.reference, ES256, [bytes(32)], answers.append)
    os.kill(link.pid, signal.SIGSEGV)
    go_on(link.pid)
    owner.run_until(lambda: not link.available)
    assert [type(answer.error) for answer in answers] == [HsmUnavailable] * 5
    assert isinstance(owner.error(partial(link.sign, linked.reference, ES256, [bytes(32)])), HsmUnavailable)
    owner.run_until(lambda: link.available)
    assert link.generation == 2
    linked.check(owner.ask(partial(link.sign, linked.reference, ES256, [device_input(ES256, b"m")])), b"m")


def test_an_answer_that_waited_while_the_owner_slept_is_taken_and_nobody_is_killed(linked: LinkedToken) -> None:
    pid, answers = linked.link.pid, list[DeviceAnswer]()
    linked.link.sign(linked.reference, ES256, [device_input(ES256, b"asked")], answers.append)
    time.sleep(1.5)  # the owner is stopped, or busy: longer than any call may take
    line = linked.link.socket
    assert line is not None
    assert select.select([line], [], [], PATIENCE)[0]
    linked.link.tick()
    (answer,) = answers
    linked.check(answer, b"asked")
    assert linked.link.pid == pid
    assert linked.link.available


def test_a_process_that_hangs_is_killed_and_started_again(linked: LinkedToken) -> None:
    owner, link = linked.owner, linked.link
    assert link.pid is not None
    hung = link.pid
    hang(hung)
    began = time.monotonic()
    assert isinstance(owner.error(partial(link.sign, linked.reference, ES256, [bytes(32)])), HsmUnavailable)
    assert time.monotonic() - began < 10
    owner.run_until(lambda: link.available)
    assert link.pid != hung
    linked.check(owner.ask(partial(link.sign, linked.reference, ES256, [device_input(ES256, b"m")])), b"m")
    owner.run_until(lambda: not link._dying)


def test_closing_fails_what_is_under_way_and_ends_the_process(linked: LinkedToken) -> None:
    answers: list[DeviceAnswer] = []
    linked.link.sign(linked.reference, ES256, [bytes(32)] * 100, answers.append)
    pid = linked.link.pid
    linked.link.close()
    assert [type(answer.error) for answer in answers] == [HsmUnavailable]
    assert not Path(f"/proc/{pid}").exists()
    assert isinstance(linked.owner.error(partial(linked.link.attributes, linked.reference)), HsmUnavailable)


@looks_into_processes
def test_the_process_inherits_one_socket_and_no_setting_of_ours(linked: LinkedToken) -> None:
    pid = linked.link.pid
    held = {str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    assert sum(name.startswith("socket:") for name in held) == 1
    command = Path(f"/proc/{pid}/cmdline").read_bytes()
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    for hidden in (str(linked.folder / "pin"), linked.token.pin.reveal()):
        assert hidden.encode() not in command + environment


def test_the_process_ends_with_its_parent(linked: LinkedToken) -> None:
    parent = subprocess.Popen(
        module_command("tests.hsm.linked_parent", str(linked.token.module_path), str(linked.folder)),
        env=child_environment(**linked.token.environment),
        stdout=subprocess.PIPE,
    )
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        hang(pid)  # also one that does not look
        parent.kill()
    limit = time.monotonic() + PATIENCE
    while Path(f"/proc/{pid}").exists() and b"Z" not in Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2]:
        assert time.monotonic() < limit, "the device process outlives its parent"
        time.sleep(0.01)


def test_a_wrong_pin_is_fatal_and_counted_across_restarts(token: tuple[Path, SoftHsmToken]) -> None:
    folder, made = token
    (folder / "tries").unlink(missing_ok=True)
    order = order_for(made, folder)
    for failed in (1, 2, 2):
        write_private(folder / "pin", b"wrong")
        owner = Owner(DeviceLink(order, time.monotonic))
        owner.open()
        assert isinstance(owner.link.fatal, PinIncorrect)
        owner.run_until(partial(lambda link: not link._dying, owner.link))
        assert owner.link.tick() > 1, "it goes on trying"
        assert PinTries(folder / "tries", 2).failed == failed
        owner.link.close()


@pytest.mark.parametrize(
    "changes",
    [
        {"device": {"kind": "pkcs11", "module": "/nowhere/none.so", "token": "mohr-link"}},
        {"device": {"kind": "pkcs11", "module": "/dev/null", "token": "mohr-link"}},
        {"device": {"kind": "pkcs11", "module": __file__, "token": "mohr-link"}},
        {"device": {"kind": "pkcs11", "module": "/usr/lib/softhsm/libsofthsm2.so", "token": "x" * 33}},
        {"device": {"kind": "pkcs11", "token": "mohr-link"}},
        {"device": {"kind": "another"}},
        {"pin": {"elsewhere": "/nowhere/pin"}},
        {"pin": {"file": "/nowhere/pin"}},
    ],
)
def test_settings_that_never_worked_are_fatal(token: tuple[Path, SoftHsmToken], changes: dict[str, object]) -> None:
    folder, made = token
    owner = Owner(DeviceLink(order_for(made, folder, **changes), time.monotonic))
    owner.open()
    assert isinstance(owner.link.fatal, ConfigurationInvalid)
    owner.link.close()


def test_a_token_that_is_not_there_is_waited_for(token: tuple[Path, SoftHsmToken]) -> None:
    folder, made = token
    away = made.configuration.parent / "away"
    tokens = made.configuration.parent / "tokens"
    (folder / "tries").unlink(missing_ok=True)
    tokens.rename(away)
    owner = Owner(DeviceLink(order_for(made, folder), time.monotonic))
    try:
        owner.link.open()
        limit = time.monotonic() + 1.5
        owner.run_until(lambda: time.monotonic() > limit)
        assert not owner.link.available
        assert owner.link.fatal is None
    finally:
        away.rename(tokens)
    owner.run_until(lambda: owner.link.available)
    assert PinTries(folder / "tries", 2).failed == 0
    owner.link.close()
