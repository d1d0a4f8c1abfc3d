"""The ZIP of ASiC containers: what two readers could see differently is refused, what writers do is read."""

import zipfile
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pki.errors import InvalidInput, ServiceError
from signer.parsers.asic import parse_asic
from signer.parsers.asic_container import read_container
from signer.validation.verdict import Indication
from tests.signer.parsers.test_asic import SIMPLE, extended, judged, packed, signed, stamped
from tests.support.zoo import Zoo, make_zoo


@pytest.fixture(scope="module")
def zoo() -> Zoo:
    return make_zoo()


@pytest.mark.parametrize("name", ["../scan", "/scan", "a//b", "a/./b", "a\\b", "C:/scan", "a/../b", "x" * 600])
def test_a_name_that_leaves_the_container_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        read_container(packed({name: b""}))


@pytest.mark.parametrize("names", [("scan", "scan"), ("scan", "SCAN"), ("caf\u00e9", "cafe\u0301")])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_files_of_one_name_are_refused(names: tuple[str, str]) -> None:
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w") as container:
        for name in names:
            container.writestr(name, b"1")
    with pytest.raises(InvalidInput, match="one name"):
        read_container(stream.getvalue())


@pytest.mark.parametrize(("files", "octets"), [(1, 200_000_000), (3, 50_000_000), (1, 2_000_000)])
def test_what_unpacks_to_too_much_is_refused_before_it_does(files: int, octets: int) -> None:
    data = bytearray(packed({str(number): bytes(100) for number in range(files)}, None))
    for head, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = data.find(head)
        while at >= 0:
            data[at + place : at + place + 4] = octets.to_bytes(4, "little")
            at = data.find(head, at + 4)
    with pytest.raises(InvalidInput, match="too much"):
        read_container(bytes(data))


def test_a_name_that_is_another_one_in_the_file_itself_is_refused() -> None:
    data = packed({"scan-one.txt": b"1"})
    with pytest.raises(InvalidInput, match="disagree"):
        read_container(data.replace(b"scan-one.txt", b"scan-two.txt", 1))


def test_files_that_share_octets_are_refused() -> None:
    data = bytearray(packed({"one": b"1" * 100, "two": b"2" * 100}, None))
    second = data.find(b"PK\x01\x02", data.find(b"PK\x01\x02") + 4)
    first = data.find(b"PK\x01\x02")
    data[second + 42 : second + 46] = data[first + 42 : first + 46]
    with pytest.raises(InvalidInput):
        read_container(bytes(data))


@pytest.fixture(scope="module")
def whole(zoo: Zoo) -> bytes:
    """A container of everything."""
    return packed(stamped(zoo, extended(zoo)))


@settings(max_examples=150)
@given(place=st.floats(0, 1), put=st.binary(max_size=6), cut=st.integers(0, 6))
def test_no_container_raises_but_a_service_error(whole: bytes, place: float, put: bytes, cut: int) -> None:
    at = int(place * len(whole))
    try:
        parse_asic(whole[:at] + put + whole[at + cut :])
    except ServiceError:
        return


# -- what two readers would see differently -----------------------------------------------------------


def simple(zoo: Zoo) -> bytes:
    return packed({"scan.txt": b"a scan", "META-INF/signature.p7s": signed(zoo, b"a scan")}, SIMPLE)


def test_a_container_behind_another_one_is_refused(zoo: Zoo) -> None:
    evil = packed({"scan.txt": b"another scan"}, SIMPLE)
    for data in (evil + simple(zoo), b"x" + simple(zoo), simple(zoo) + b"x"):
        verdict = judged(zoo, data)
        assert verdict.indication is not Indication.PASSED


def test_a_file_that_is_not_in_the_directory_is_refused(zoo: Zoo) -> None:
    hidden = packed({"scan.txt": b"another scan"}, None)
    good = simple(zoo)
    body = hidden[: hidden.index(b"PK\x01\x02")]
    moved = bytearray(body + good)
    at = moved.find(b"PK\x01\x02")
    while at >= 0:  # the directory's places, moved behind the hidden file
        place = int.from_bytes(moved[at + 42 : at + 46], "little") + len(body)
        moved[at + 42 : at + 46] = place.to_bytes(4, "little")
        at = moved.find(b"PK\x01\x02", at + 4)
    end = moved.rfind(b"PK\x05\x06")
    begin = int.from_bytes(moved[end + 16 : end + 20], "little") + len(body)
    moved[end + 16 : end + 20] = begin.to_bytes(4, "little")
    with pytest.raises(InvalidInput, match="belong to no file"):
        read_container(bytes(moved))


def test_a_second_name_of_a_file_is_refused() -> None:
    info = zipfile.ZipInfo("evil.txt")
    path = b"scan.txt"
    info.extra = (0x7075).to_bytes(2, "little") + (5 + len(path)).to_bytes(2, "little") + bytes(5) + path
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w") as container:
        container.writestr(info, b"1")
    with pytest.raises(InvalidInput, match="second name"):
        read_container(stream.getvalue())


def test_a_name_that_ends_early_for_some_is_refused() -> None:
    data = packed({"scan-txt": b"1"}, None).replace(b"scan-txt", b"scan\0txt")
    with pytest.raises(InvalidInput):
        read_container(data)


class Pipe(BytesIO):
    """Where nothing can be gone back to, as writers of streams have it: sizes follow the files."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: object) -> int:
        raise OSError

    def tell(self) -> int:
        raise OSError


def test_a_container_written_as_a_stream_is_read(zoo: Zoo) -> None:
    stream = Pipe()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as container:
        container.writestr("scan.txt", b"a scan")
        container.writestr("META-INF/signature.p7s", signed(zoo, b"a scan"))
    assert judged(zoo, stream.getvalue()).indication is Indication.PASSED


def test_a_name_in_utf_8_that_does_not_say_so_is_the_one_of_the_manifest(zoo: Zoo) -> None:
    data = bytearray(packed(extended(zoo)))
    for head, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(head)
        while at >= 0:
            data[at + flags + 1] &= 0xF7  # not said to be UTF-8
            at = data.find(head, at + 4)
    assert judged(zoo, bytes(data)).indication is Indication.PASSED
