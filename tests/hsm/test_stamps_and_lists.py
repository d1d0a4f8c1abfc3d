"""Wrong requests whose content is wrong: time-stamps with their TSTInfo, certificate lists with their entries."""

import mmap
import time
from datetime import timedelta
from hashlib import sha384, sha512
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.custodian.limits import KeyLimits
from hsm.custodian.purposes import MessageKind, MessageRead, check_message
from hsm.custodian.reading import revocation_lists
from hsm.errors import PurposeRefused
from hsm.provider import KeyPurpose
from pki import der, oids
from tests.hsm import good_messages as good
from tests.hsm import messages as m
from tests.hsm.good_messages import LIMITS, NOW, rule

# --- time-stamps ----------------------------------------------------------------------------------


def stamp(
    content: bytes | None, attributes: bytes | None = None, limits: KeyLimits | None = LIMITS, *, key: str = "timestamp"
) -> MessageRead:
    attributes = attributes or m.stamp_attributes(content or b"")
    return check_message(rule(KeyPurpose(key)), attributes, limits=limits, now=NOW, content=content)


def refused(content: bytes | None, why: str, attributes: bytes | None = None) -> None:
    with pytest.raises(PurposeRefused, match=why):
        stamp(content, attributes)


def test_a_time_stamp_within_its_limits_is_signed() -> None:
    read = stamp(good.stamp())
    assert (read.kind, read.instant) == (MessageKind.TIMESTAMP_ATTRIBUTES, NOW)


def test_a_time_stamp_with_everything_optional_is_signed() -> None:
    accuracy, name = der.sequence(der.integer(1)), der.context(0, der.context(4, m.ISSUER))
    stamp(good.stamp(accuracy, der.boolean(True), der.integer(5), name, der.context(1, m.key_usage(1))))
    stamp(good.stamp(accuracy, der.integer(-5), name))


def test_attributes_without_their_content_are_refused() -> None:
    refused(None, "without the content", m.stamp_attributes(good.stamp()))
    assert stamp(None, m.stamp_attributes(good.stamp()), None).kind is MessageKind.TIMESTAMP_ATTRIBUTES


def test_attributes_of_other_content_are_refused() -> None:
    refused(good.stamp(), "other content", m.stamp_attributes(good.stamp(serial=der.integer(6))))
    refused(good.stamp(), "other content", m.stamp_attributes(b"", digest=sha384(good.stamp()).digest()))


def test_a_digest_of_the_content_in_another_algorithm_than_the_keys_is_refused() -> None:
    refused(good.stamp(), "other content", m.stamp_attributes(b"", digest=sha512(good.stamp()).digest()))


def test_a_time_stamp_that_names_no_certificate_is_refused() -> None:
    refused(good.stamp(), "signing certificate", m.stamp_attributes(good.stamp(), names_certificate=False))


@pytest.mark.parametrize("milliseconds", [-1001, 1001, 3_600_000, -3_600_000])
def test_a_time_that_is_not_now_is_refused(milliseconds: int) -> None:
    refused(good.stamp(generated=NOW + timedelta(milliseconds=milliseconds)), "genTime")


@pytest.mark.parametrize("milliseconds", [-1000, -1, 1, 1000])
def test_a_time_within_the_tolerance_is_signed(milliseconds: int) -> None:
    stamp(good.stamp(generated=NOW + timedelta(milliseconds=milliseconds)))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (m.tst_info(version=der.integer(2)), "version 1"),
        (good.stamp(policy="1.2.3"), "policy"),  # type: ignore[arg-type]  # a policy is text
        (good.stamp(hash_algorithm=oids.SHA1, imprint=bytes(20)), "weak hash"),  # type: ignore[arg-type]
        (good.stamp(hash_algorithm=oids.SHA256, imprint=bytes(20)), "bad size"),  # type: ignore[arg-type]
        (good.stamp(serial=der.integer(0)), "serial"),
        (good.stamp(serial=der.integer(-(2**100))), "serial"),
        (good.stamp(serial=der.integer(2**170)), "serial"),
        (good.stamp(der.integer(5), der.boolean(True)), "no known form"),
        (good.stamp(der.integer(5), der.integer(5)), "no known form"),
        (good.stamp(der.utf8("more")), "no known form"),
        (der.sequence(), "version 1"),
        (der.sequence(der.integer(1)), "version 1"),
        (b"", "well-formed"),
        (b"text", "well-formed"),
        (good.certificate(), "well-formed"),
    ],
)
def test_content_that_is_no_time_stamp_is_refused(content: bytes, why: str) -> None:
    refused(content, why)


def test_a_utc_time_is_no_time_of_a_stamp() -> None:
    fields = der.parse(good.stamp()).sequence()
    content = der.sequence(*(node.raw for node in fields[:4]), der.time(NOW))
    refused(content, "well-formed")


def test_a_time_stamp_is_no_certificate_and_a_certificate_no_time_stamp() -> None:
    with pytest.raises(PurposeRefused, match="does not sign"):
        stamp(good.stamp(), key="certificate-authority")
    with pytest.raises(PurposeRefused, match="does not sign"):
        check_message(rule(KeyPurpose.TIMESTAMP), good.certificate(), limits=LIMITS, now=NOW)
    with pytest.raises(PurposeRefused, match="does not sign: crl"):
        check_message(rule(KeyPurpose.TIMESTAMP), good.stamp(), limits=LIMITS, now=NOW)
    with pytest.raises(PurposeRefused):
        check_message(rule(), good.stamp(), limits=LIMITS, now=NOW)


def test_a_seal_over_data_that_was_shown_must_digest_it() -> None:
    attributes = m.signed_attributes(oids.CMS_DATA)
    seal = rule(KeyPurpose.SEAL)
    assert check_message(seal, attributes, limits=LIMITS, now=NOW).kind is MessageKind.DATA_ATTRIBUTES
    assert check_message(seal, attributes, limits=LIMITS, now=NOW, content=b"").kind is MessageKind.DATA_ATTRIBUTES
    with pytest.raises(PurposeRefused, match="other content"):
        check_message(seal, attributes, limits=LIMITS, now=NOW, content=b"shown")


# --- lists ----------------------------------------------------------------------------------------

REVOKED = der.time(NOW)
REASON = m.extension(oids.CRL_REASON, der.integer(4, der.ENUMERATED))
DATE = m.extension(oids.INVALIDITY_DATE, der.generalized_time(NOW))


def entry(serial: int = 2**150 + 1, *extensions: bytes, at: bytes = REVOKED) -> bytes:
    return der.sequence(der.integer(serial), at, *([der.sequence(*extensions)] if extensions else []))


def listed(*entries: bytes) -> MessageRead:
    return check_message(rule(), good.revocation_list(entries=der.sequence(*entries)), limits=LIMITS, now=NOW)


USUAL = (entry(), entry(2**150, REASON), entry(2**120, REASON, DATE), entry(5, DATE), entry(0xFF00), entry(127, REASON))
ODD = (
    entry(5, DATE, REASON),
    entry(5, at=der.generalized_time(NOW.replace(year=2060))),
    entry(5, m.extension("2.5.29.29", der.sequence(), critical=True)),
)


@given(entries=st.lists(st.sampled_from(USUAL + ODD), min_size=1, max_size=20))
def test_entries_of_every_form_are_read(entries: list[bytes]) -> None:
    assert listed(*entries).kind is MessageKind.REVOCATION_LIST


BAD = {
    "serial 0": entry(0),
    "negative serial": entry(-5),
    "large negative serial": entry(-(2**150)),
    "serial of 21 octets": entry(2**160),
    "serial with a leading zero": der.sequence(der.tlv(der.INTEGER, b"\0\x05"), REVOKED),
    "serial of no octets": der.sequence(der.tlv(der.INTEGER), REVOKED),
    "no serial": der.sequence(REVOKED),
    "no time": der.sequence(der.integer(5)),
    "month 13": entry(at=der.tlv(der.UTC_TIME, b"261301000000Z")),
    "hour 24": entry(at=der.tlv(der.UTC_TIME, b"261201240000Z")),
    "GeneralizedTime before 2050": entry(at=der.generalized_time(NOW)),
    "local time": entry(at=der.tlv(der.UTC_TIME, b"261201000000+0330")),
    "empty extensions": der.sequence(der.integer(5), REVOKED, der.sequence()),
    "empty extension": entry(5, der.sequence()),
    "nameless extension": entry(5, der.sequence(der.null(), der.octet_string(der.null()))),
    "extension without a value": entry(5, der.sequence(der.oid(oids.CRL_REASON))),
    "extension of two values": entry(5, m.extension(oids.CRL_REASON, der.null() + der.null())),
    "four fields": der.sequence(der.integer(5), REVOKED, der.sequence(REASON), der.null()),
    "a set": der.set_of([der.integer(5), REVOKED]),
    "an empty sequence": der.sequence(),
    "octets": b"\x00\x00",
    "half an entry": entry()[:-3],
    "length beyond the list": b"\x30\x7f\x02\x01\x05",
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("before", [0, 1, 3])
def test_one_bad_entry_refuses_the_list(name: str, before: int) -> None:
    with pytest.raises(PurposeRefused):
        listed(*USUAL[:before], BAD[name], entry())
    with pytest.raises(PurposeRefused):
        listed(*USUAL[:before], BAD[name])


def test_an_empty_list_of_entries_is_refused() -> None:
    with pytest.raises(PurposeRefused, match="left out"):
        listed()


def test_a_list_of_odd_entries_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocation_lists, "MAX_ODD_ENTRIES", 3)
    listed(*ODD)
    with pytest.raises(PurposeRefused, match="unusual"):
        listed(*ODD, ODD[0])


def test_a_long_list_in_a_memory_file_is_read_where_it_lies(tmp_path: Path) -> None:
    count = 100_000
    message = good.revocation_list(entries=der.sequence(entry(2**150, REASON) * count))
    (tmp_path / "list").write_bytes(message)
    with (tmp_path / "list").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        begun = time.process_time()
        read = check_message(rule(), mapped, limits=LIMITS, now=NOW)  # type: ignore[arg-type]  # reads like bytes
        spent = time.process_time() - begun
    assert read.crl_number == 7
    assert spent < 1.0  # 10 ms on an idle machine


REMOVED = m.extension(oids.CRL_REASON, der.integer(8, der.ENUMERATED))


def delta(base: int, *entries: bytes) -> MessageRead:
    extensions = (*good.LIST_EXTENSIONS, m.extension(oids.DELTA_CRL_INDICATOR, der.integer(base), critical=True))
    message = good.revocation_list(entries=der.sequence(*entries), extensions=extensions)
    return check_message(rule(), message, limits=LIMITS, now=NOW)


@pytest.mark.parametrize("removal", [entry(5, REMOVED), entry(2**150, REMOVED, DATE), entry(5, DATE, REMOVED)])
def test_a_removal_is_for_deltas_alone(removal: bytes) -> None:
    assert delta(3, USUAL[1], removal).crl_number == 7
    with pytest.raises(PurposeRefused, match="deltas alone"):
        listed(USUAL[1], removal)


@pytest.mark.parametrize("base", [-1, 7, 8])
def test_a_delta_follows_its_base(base: int) -> None:
    with pytest.raises(PurposeRefused, match="base"):
        delta(base, USUAL[0])
