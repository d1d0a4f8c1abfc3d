"""Directories as OpenSC 0.23 encodes them (an encoder that is not ours), our own round trips, and hostile bytes."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardreader.cards import directory, directory_encoding
from cardreader.cards.directory import (
    AlgorithmInfo,
    Application,
    FilePath,
    PinEntry,
    PrivateKeyEntry,
    TokenInfo,
)
from cardreader.cards.objects import KeyUsage
from cardreader.errors import CardProtocolError
from cardreader.pin import PinFormat
from pki.errors import ServiceError
from tests.support.opensc_files import AODF, CDF, EF_DIR, ODF, PRKDF, PUKDF, TOKEN_INFO

PARSERS: list[Callable[[bytes], object]] = [
    directory.parse_ef_dir,
    directory.parse_odf,
    directory.parse_token_info,
    directory.parse_aodf,
    directory.parse_prkdf,
    directory.parse_pukdf,
    directory.parse_cdf,
    directory.parse_unused_space,
]
PADDINGS = [b"", bytes(40), b"\xff" * 40]


def full(name: str) -> FilePath:
    return FilePath(path=bytes.fromhex(f"3f005015{name}"))


@pytest.mark.parametrize("padding", PADDINGS)
def test_ef_dir_names_the_application(padding: bytes) -> None:
    (application,) = directory.parse_ef_dir(EF_DIR + padding)
    assert application == Application(
        aid=bytes.fromhex("a000000063504b43532d3135"), label="JavaCard isoApplet", path=bytes.fromhex("3f005015")
    )


@pytest.mark.parametrize("padding", PADDINGS)
def test_the_odf_names_a_file_for_each_kind_of_object(padding: bytes) -> None:
    found = directory.parse_odf(ODF + padding)
    assert found == {8: (full("4401"),), 0: (full("4402"),), 1: (full("4403"),), 4: (full("4404"),)}


@pytest.mark.parametrize("padding", PADDINGS)
def test_token_info_names_the_card(padding: bytes) -> None:
    info = directory.parse_token_info(TOKEN_INFO + padding)
    assert info == TokenInfo(serial=b"\0\0", manufacturer="unknown", label="JavaCard isoApplet", algorithms=())


@pytest.mark.parametrize("padding", PADDINGS)
def test_the_aodf_describes_the_pin(padding: bytes) -> None:
    (pin,) = directory.parse_aodf(AODF + padding)
    assert pin == PinEntry(
        auth_id=b"\xff",
        label="User PIN",
        reference=1,
        format=PinFormat(min_length=4, max_length=16, stored_length=16),
        unblocking=False,
        puk_auth_id=None,
    )


@pytest.mark.parametrize("padding", PADDINGS)
def test_the_prkdf_describes_both_keys(padding: bytes) -> None:
    elliptic, rsa = directory.parse_prkdf(PRKDF + padding)
    assert (elliptic.key_id, elliptic.label, elliptic.is_rsa, elliptic.key_reference) == (b"\x02", "cert 2", False, 0)
    assert (rsa.key_id, rsa.label, rsa.is_rsa, rsa.key_reference) == (b"\x01", "cert 1", True, 1)
    assert elliptic.auth_id == rsa.auth_id == b"\xff"
    assert elliptic.usage == {2, 3}
    assert elliptic.path == FilePath(path=bytes.fromhex("3f005015"))
    assert elliptic.user_consent == 0


@pytest.mark.parametrize("padding", PADDINGS)
def test_public_keys_and_certificates_say_where_they_lie(padding: bytes) -> None:
    public = directory.parse_pukdf(PUKDF + padding)
    assert [(entry.key_id, entry.path) for entry in public] == [(b"\x02", full("3300")), (b"\x01", full("3301"))]
    certificates = directory.parse_cdf(CDF + padding)
    assert [(entry.key_id, entry.path) for entry in certificates] == [(b"\x01", full("3400")), (b"\x02", full("3401"))]


# --- our own encoder ------------------------------------------------------------------------------

labels = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20).map(str.strip)
identifiers = st.binary(min_size=1, max_size=8)
paths = st.builds(
    FilePath,
    path=st.lists(st.binary(min_size=2, max_size=2), min_size=1, max_size=4).map(b"".join),
    index=st.just(0),
    length=st.none() | st.integers(1, 0xFFFF),
)
formats = st.tuples(st.integers(4, 8), st.integers(8, 16)).map(
    lambda sizes: PinFormat(min_length=sizes[0], max_length=sizes[1], stored_length=16, pad=0xFF)
)


@given(
    st.builds(
        PinEntry,
        auth_id=identifiers,
        label=labels,
        reference=st.integers(0, 255),
        format=formats,
        unblocking=st.booleans(),
        puk_auth_id=st.none() | identifiers,
    )
)
def test_a_pin_written_is_the_pin_read(entry: PinEntry) -> None:
    assert directory.parse_aodf(directory_encoding.pin(entry)) == (entry,)


@given(
    st.builds(
        PrivateKeyEntry,
        key_id=identifiers,
        label=labels,
        auth_id=st.none() | identifiers,
        user_consent=st.integers(0, 5),
        usage=st.sampled_from([directory_encoding.usage_bits(usage) for usage in KeyUsage]),
        key_reference=st.integers(0, 255),
        is_rsa=st.booleans(),
        path=paths,
        raw=st.just(b""),
    )
)
def test_a_key_written_is_the_key_read(entry: PrivateKeyEntry) -> None:
    (read,) = directory.parse_prkdf(directory_encoding.private_key(entry))
    assert read.raw == directory_encoding.private_key(entry)
    for field in ("key_id", "label", "auth_id", "user_consent", "usage", "key_reference", "is_rsa", "path"):
        assert getattr(read, field) == getattr(entry, field)


@given(identifiers, labels, paths)
def test_a_certificate_written_is_the_certificate_read(key_id: bytes, label: str, where: FilePath) -> None:
    (read,) = directory.parse_cdf(directory_encoding.certificate(key_id, label, where))
    assert (read.key_id, read.label, read.path) == (key_id, label, where)


@given(st.lists(paths.filter(lambda path: path.length is not None), max_size=5))
def test_unused_space_written_is_unused_space_read(spaces: list[FilePath]) -> None:
    assert directory.parse_unused_space(directory_encoding.unused_space(spaces)) == tuple(spaces)


@given(
    st.builds(
        TokenInfo,
        serial=st.binary(min_size=1, max_size=16),
        manufacturer=labels,
        label=labels,
        algorithms=st.lists(
            st.builds(
                AlgorithmInfo,
                mechanism=st.sampled_from([0, 1, 0x1040, 0x1041]),
                operations=st.sets(st.integers(0, 7)).map(frozenset),
                reference=st.none() | st.integers(0, 255),
            ),
            max_size=4,
        ).map(tuple),
    )
)
def test_token_info_written_is_token_info_read(info: TokenInfo) -> None:
    assert directory.parse_token_info(directory_encoding.token_info(info)) == info


# --- hostile bytes --------------------------------------------------------------------------------


@given(st.sampled_from(PARSERS), st.binary(max_size=300))
def test_no_parser_raises_anything_but_a_service_error(parse: Callable[[bytes], object], data: bytes) -> None:
    try:
        parse(data)
    except ServiceError:
        return


@given(
    st.sampled_from(PARSERS),
    st.sampled_from([EF_DIR, ODF, TOKEN_INFO, AODF, PRKDF, PUKDF, CDF]),
    st.integers(0, 400),
    st.integers(0, 255),
)
def test_one_changed_octet_of_a_real_file_gives_an_answer_or_a_card_error(
    parse: Callable[[bytes], object], content: bytes, position: int, octet: int
) -> None:
    changed = bytearray(content)
    changed[position % len(changed)] = octet
    try:
        parse(bytes(changed))
    except ServiceError as error:
        assert isinstance(error, CardProtocolError)


@pytest.mark.parametrize("content", [ODF, TOKEN_INFO, AODF, PRKDF, PUKDF, CDF, EF_DIR])
def test_a_truncated_file_is_refused(content: bytes) -> None:
    for parse in PARSERS:
        with pytest.raises(CardProtocolError):
            parse(content[:-1])


def test_two_keys_with_one_identifier_are_refused() -> None:
    entry = PRKDF[: 2 + PRKDF[1]]
    with pytest.raises(CardProtocolError, match="one identifier"):
        directory.parse_prkdf(entry + entry)


def test_pin_lengths_that_contradict_each_other_are_refused() -> None:
    entry = directory_encoding.pin(
        PinEntry(
            auth_id=b"\x01",
            label="",
            reference=1,
            format=PinFormat(min_length=12, max_length=8, stored_length=16),
            unblocking=False,
            puk_auth_id=None,
        )
    )
    with pytest.raises(CardProtocolError, match="contradict"):
        directory.parse_aodf(entry)


def test_objects_of_other_kinds_are_skipped() -> None:
    biometric = bytes.fromhex("a0023000")
    assert len(directory.parse_aodf(biometric + AODF)) == 1
    assert directory.parse_cdf(bytes.fromhex("a2023000")) == ()
    assert directory.parse_prkdf(bytes.fromhex("a2023000")) == ()


@pytest.mark.parametrize("path", ["", "3f", "3f0050", "3f00" * 9])
def test_a_path_of_bad_length_is_refused(path: str) -> None:
    encoded = directory_encoding.certificate(b"\x01", "x", FilePath(path=bytes.fromhex(path)))
    with pytest.raises(CardProtocolError, match="path of bad length"):
        directory.parse_cdf(encoded)


def test_unused_space_must_say_how_much() -> None:
    with pytest.raises(CardProtocolError, match="without a length"):
        directory.parse_unused_space(directory_encoding.unused_space([FilePath(path=b"\x33\x01")]))
