import hashlib
import re
import threading
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from asn1crypto import cms as asn1_cms
from asn1crypto import tsp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pki import der, oids
from pki.errors import ErrorCode, InvalidInput, Unavailable
from pki.keys import PublicKey, SignatureAlgorithm
from signer.errors import SignerMismatch
from signer.timestamps.authority import TimestampAnswer, TimestampAuthority
from signer.timestamps.messages import Failure, Status, build_rejection, build_request
from tests.support.clock import FakeClock
from tests.support.openssl import openssl
from tests.support.pki import NOW, TrustPath

POLICY = oids.OidArc().timestamp_policy
DIGEST = hashlib.sha256(b"data").digest()
REQUEST = build_request(DIGEST, 12345)


def request(
    *fields: bytes,
    version: int = 1,
    algorithm: bytes = der.sequence(der.oid(oids.SHA256)),
    digest: bytes = DIGEST,
) -> bytes:
    return der.sequence(der.integer(version), der.sequence(algorithm, der.octet_string(digest)), *fields)


def read(response: bytes) -> tsp.TimeStampResp:
    return tsp.TimeStampResp.load(response, strict=True)


def status_of(response: bytes) -> int:
    return der.parse(response).sequence()[0].sequence()[0].integer()


def info_of(response: bytes) -> tsp.TSTInfo:
    answer = read(response)
    assert answer["status"]["status"].native == "granted"
    return answer["time_stamp_token"]["content"]["encap_content_info"]["content"].parsed


@pytest.mark.real
@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_openssl_asks_and_verifies(
    tmp_path: Path, path: TrustPath, authority: TimestampAuthority, algorithm: str
) -> None:
    (tmp_path / "data").write_bytes(b"signature value")
    (tmp_path / "root.pem").write_text(path.root.pem)
    made = openssl("ts", "-query", "-data", tmp_path / "data", f"-{algorithm}", "-cert", "-out", tmp_path / "query")
    assert made.returncode == 0, made.stderr
    (tmp_path / "reply").write_bytes(authority.respond((tmp_path / "query").read_bytes()))
    verify = ("ts", "-verify", "-in", tmp_path / "reply", "-CAfile", tmp_path / "root.pem")
    moment = ("-attime", str(int(NOW.timestamp())))
    by_query = openssl(*verify, "-queryfile", tmp_path / "query", *moment)
    assert "Verification: OK" in by_query.stdout, by_query.stderr
    (tmp_path / "data").write_bytes(b"signature valuE")
    changed = openssl(*verify, "-data", tmp_path / "data", *moment)
    assert "Verification: OK" not in changed.stdout


def test_the_token_says_what_was_asked_and_by_whom(authority: TimestampAuthority, path: TrustPath) -> None:
    info = info_of(authority.respond(REQUEST))
    assert info["version"].native == "v1"
    assert info["policy"].native == POLICY
    assert info["message_imprint"]["hashed_message"].native == DIGEST
    assert info["gen_time"].native == NOW
    assert info["nonce"].native == 12345
    assert info["accuracy"]["seconds"].native == 1
    assert info["tsa"].chosen.untag().dump() == path.tsa.certificate.subject_der
    assert info["serial_number"].native.bit_length() == 127


def test_the_answer_for_the_ledger_agrees_with_the_wire(authority: TimestampAuthority) -> None:
    answer = authority.answer(REQUEST)
    info = info_of(answer.response)
    assert (answer.status, answer.failure, answer.error) == (Status.GRANTED, None, None)
    assert answer.serial == info["serial_number"].native
    assert answer.generated_at == info["gen_time"].native


def test_milliseconds_are_stated_without_trailing_zeros(authority: TimestampAuthority, clock: FakeClock) -> None:
    clock.time = NOW.replace(microsecond=120_999)
    answer = authority.answer(REQUEST)
    assert answer.generated_at == NOW.replace(microsecond=120_000)
    assert b"20261122090000.12Z" in answer.response


def test_the_imprint_is_repeated_as_it_came(authority: TimestampAuthority) -> None:
    explicit_null = der.sequence(der.oid(oids.SHA256), der.null())
    assert der.sequence(explicit_null, der.octet_string(DIGEST)) in authority.respond(request(algorithm=explicit_null))


@pytest.mark.parametrize("wanted", [True, False], ids=["asked", "not-asked"])
def test_certificates_travel_only_when_asked_for(authority: TimestampAuthority, wanted: bool) -> None:
    response = authority.respond(request(der.boolean(wanted)))
    token = read(response)["time_stamp_token"]["content"]
    assert (token["certificates"].native is not None) is wanted
    present = {attribute["type"].dotted for attribute in token["signer_infos"][0]["signed_attrs"]}
    assert oids.ATTR_SIGNING_CERTIFICATE_V2 in present


def test_every_serial_is_new(authority: TimestampAuthority) -> None:
    serials = {authority.answer(REQUEST).serial for _ in range(200)}
    assert len(serials) == 200


OPENSSL_WORDS = {
    Failure.BAD_ALGORITHM: "unrecognized or unsupported algorithm identifier",
    Failure.BAD_REQUEST: "transaction not permitted or supported",
    Failure.BAD_DATA_FORMAT: "the data submitted has the wrong format",
    Failure.TIME_NOT_AVAILABLE: "the TSA's time source is not available",
    Failure.UNACCEPTED_POLICY: "the requested TSA policy is not supported by the TSA",
    Failure.UNACCEPTED_EXTENSION: "the requested extension is not supported by the TSA",
    Failure.ADDITIONAL_INFORMATION_NOT_AVAILABLE: "the additional information requested could not be understood or is "
    "not available",
    Failure.SYSTEM_FAILURE: "the request cannot be handled due to system failure",
}
REFUSED = {
    "md5": (request(algorithm=der.sequence(der.oid("1.2.840.113549.2.5")), digest=bytes(16)), Failure.BAD_ALGORITHM),
    "sha1": (request(algorithm=der.sequence(der.oid(oids.SHA1)), digest=bytes(20)), Failure.BAD_ALGORITHM),
    "hash-with-parameters": (
        request(algorithm=der.sequence(der.oid(oids.SHA256), der.integer(1))),
        Failure.BAD_ALGORITHM,
    ),
    "no-algorithm": (request(algorithm=der.sequence()), Failure.BAD_ALGORITHM),
    "short-digest": (request(digest=DIGEST[:-1]), Failure.BAD_DATA_FORMAT),
    "version-2": (request(version=2), Failure.BAD_REQUEST),
    "version-alone": (der.sequence(der.integer(1)), Failure.BAD_REQUEST),
    "foreign-policy": (request(der.oid("1.3.6.1.4.1.32473.9")), Failure.UNACCEPTED_POLICY),
    "extension": (request(der.context(0, der.sequence())), Failure.UNACCEPTED_EXTENSION),
    "unknown-field": (request(der.context(1, der.null())), Failure.BAD_DATA_FORMAT),
    "fields-in-wrong-order": (request(der.boolean(True), der.integer(5)), Failure.BAD_DATA_FORMAT),
    "huge-nonce": (request(der.integer(1 << 300)), Failure.BAD_DATA_FORMAT),
    "trailing-octets": (REQUEST + b"\0", Failure.BAD_DATA_FORMAT),
    "ber-length": (b"\x30\x81" + REQUEST[1:], Failure.BAD_DATA_FORMAT),
    "oversized": (REQUEST + bytes(5000), Failure.BAD_DATA_FORMAT),
    "empty": (b"", Failure.BAD_DATA_FORMAT),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_request_is_answered_with_its_failure_bit(authority: TimestampAuthority, name: str) -> None:
    data, failure = REFUSED[name]
    answer = authority.answer(data)
    assert (answer.status, answer.failure, answer.error) == (Status.REJECTION, failure, None)
    (info,) = der.parse(answer.response).sequence()
    status, _text, bits = info.sequence()
    assert status.integer() == 2
    assert bits.bit_set() == {failure}
    assert bits.content[0] == 7 - failure % 8, "DER: the last bit is the one that is set (X.690 §11.2.2)"


@pytest.mark.real
@pytest.mark.parametrize("failure", Failure, ids=lambda failure: failure.name)
def test_openssl_reads_every_refusal(tmp_path: Path, failure: Failure) -> None:
    (tmp_path / "reply").write_bytes(build_rejection(failure, "no, thanks"))
    result = openssl("ts", "-reply", "-in", tmp_path / "reply", "-text")
    assert "Status: Rejected." in result.stdout
    assert "unknown" not in result.stdout
    assert "Status description: no, thanks" in result.stdout
    reasons = re.search(r"Failure info: (.*)", result.stdout)
    assert reasons is not None
    assert reasons[1] == OPENSSL_WORDS[failure]


@given(st.binary(max_size=120))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_get_an_answer(authority: TimestampAuthority, data: bytes) -> None:
    assert status_of(authority.respond(data)) == Status.REJECTION


@given(index=st.integers(0, len(REQUEST) - 1), value=st.integers(0, 255))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_mutated_request_gets_an_answer(authority: TimestampAuthority, index: int, value: int) -> None:
    data = bytearray(REQUEST)
    data[index] = value
    assert status_of(authority.respond(bytes(data))) in (Status.GRANTED, Status.REJECTION)


def test_time_never_runs_backwards(authority: TimestampAuthority, clock: FakeClock) -> None:
    first = authority.answer(REQUEST).generated_at
    clock.advance(milliseconds=-900)
    assert authority.answer(REQUEST).generated_at == first
    clock.advance(seconds=3)
    later = authority.answer(REQUEST).generated_at
    assert first is not None
    assert later is not None
    assert later > first


def test_a_clock_that_falls_behind_stops_the_service(authority: TimestampAuthority, clock: FakeClock) -> None:
    clock.advance(seconds=-2)
    assert authority.answer(REQUEST).failure is Failure.TIME_NOT_AVAILABLE
    clock.advance(seconds=2)
    assert authority.answer(REQUEST).status is Status.GRANTED


class SuspectClock(FakeClock):
    """A clock that is believed when `believed` says so."""

    believed = False

    def now(self) -> datetime:
        if not self.believed:
            raise Unavailable(ErrorCode.CLOCK_SUSPECT)
        return super().now()


def test_a_clock_that_is_not_believed_gives_no_time_from_the_start(path: TrustPath) -> None:
    clock = SuspectClock()
    authority = TimestampAuthority(path.tsa.key, path.tsa.chain, POLICY, timedelta(seconds=1), clock)
    answer = authority.answer(REQUEST)
    assert (answer.failure, answer.error) == (Failure.TIME_NOT_AVAILABLE, None)
    clock.believed = True
    assert authority.answer(REQUEST).status is Status.GRANTED


class FailingKey:
    """A key whose device went away."""

    def __init__(self, path: TrustPath) -> None:
        self.inner = path.tsa.key

    @property
    def algorithm(self) -> SignatureAlgorithm:
        return self.inner.algorithm

    def public_key(self) -> PublicKey:
        return self.inner.public_key()

    def sign(self, message: bytes) -> bytes:
        del message
        raise Unavailable(ErrorCode.HSM_UNAVAILABLE)


def test_a_silent_key_device_is_a_system_failure_that_the_caller_learns_of(path: TrustPath) -> None:
    authority = TimestampAuthority(FailingKey(path), path.tsa.chain, POLICY, timedelta(seconds=1), FakeClock())
    answer = authority.answer(REQUEST)
    assert answer.failure is Failure.SYSTEM_FAILURE
    assert answer.error is not None
    assert answer.error.code is ErrorCode.HSM_UNAVAILABLE


def test_a_certificate_for_something_else_cannot_stamp(path: TrustPath) -> None:
    signer = path.clinician
    lax = path.intermediate.issue(extended=(oids.EKU_TIME_STAMPING,), extended_critical=False)
    both = path.intermediate.issue(extended=(oids.EKU_TIME_STAMPING, oids.EKU_DOCUMENT_SIGNING), extended_critical=True)
    for holder in (signer, lax, both):
        with pytest.raises(InvalidInput):
            TimestampAuthority(holder.key, holder.chain, POLICY, timedelta(seconds=1), FakeClock())
    with pytest.raises(SignerMismatch):
        TimestampAuthority(signer.key, path.tsa.chain, POLICY, timedelta(seconds=1), FakeClock())


@pytest.mark.parametrize(
    ("accuracy", "seconds", "millis"),
    [(timedelta(milliseconds=500), None, 500), (timedelta(seconds=1, milliseconds=5), 1, 5)],
)
def test_accuracy_is_stated_in_seconds_and_milliseconds(
    path: TrustPath, accuracy: timedelta, seconds: int | None, millis: int
) -> None:
    authority = TimestampAuthority(path.tsa.key, path.tsa.chain, POLICY, accuracy, FakeClock())
    stated = info_of(authority.respond(REQUEST))["accuracy"]
    assert (stated["seconds"].native, stated["millis"].native) == (seconds, millis)


@pytest.mark.parametrize("accuracy", [timedelta(0), timedelta(microseconds=10), timedelta(seconds=1000)])
def test_an_accuracy_that_cannot_be_stated_is_refused(path: TrustPath, accuracy: timedelta) -> None:
    with pytest.raises(InvalidInput):
        TimestampAuthority(path.tsa.key, path.tsa.chain, POLICY, accuracy, FakeClock())


def test_threads_share_one_authority(authority: TimestampAuthority) -> None:
    answers: list[TimestampAnswer] = []

    def ask() -> None:
        answers.extend(authority.answer(REQUEST) for _ in range(20))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len({answer.serial for answer in answers}) == 80


def test_the_token_is_cms_that_another_reader_accepts(authority: TimestampAuthority) -> None:
    token = der.parse(authority.respond(REQUEST)).sequence()[1].raw
    content = asn1_cms.ContentInfo.load(token, strict=True)["content"]
    assert content["version"].native == "v3"
    assert content["encap_content_info"]["content_type"].dotted == oids.TST_INFO


class ReadingKey(FailingKey):
    """A key whose holder is shown the TSTInfo."""

    def __init__(self, path: TrustPath) -> None:
        super().__init__(path)
        self.shown: list[tuple[bytes, bytes]] = []

    def sign_attributes(self, attributes: bytes, content: bytes) -> bytes:
        self.shown.append((attributes, content))
        return self.inner.sign(attributes)


def test_a_key_that_reads_content_is_shown_what_it_stamps(path: TrustPath) -> None:
    key = ReadingKey(path)
    authority = TimestampAuthority(key, path.tsa.chain, POLICY, timedelta(seconds=1), FakeClock())
    response = authority.respond(REQUEST)
    ((attributes, content),) = key.shown
    assert info_of(response).dump() == content
    assert hashlib.sha256(content).digest() in attributes
