import pytest
from smartcard import scard

from cardreader.errors import (
    CardAbsent,
    CardProtocolError,
    CardRemoved,
    CardUnsupported,
    ReaderBusy,
    ReaderNotFound,
    ReaderServiceDown,
)
from cardreader.pcsc.faults import fault, require
from pki.errors import ServiceError


@pytest.mark.parametrize(
    ("result", "error"),
    [
        (0x8010001D, ReaderServiceDown),
        (0x80100016, CardRemoved),
        (0x80100069, CardRemoved),
        (0x80100068, CardRemoved),
        (0x80100017, ReaderNotFound),
        (0x80100009, ReaderNotFound),
        (0x8010000B, ReaderBusy),
        (0x8010000C, CardAbsent),
        (0x80100066, CardUnsupported),
        (0x80100001, CardProtocolError),
    ],
)
def test_each_code_that_pcscd_gives_has_its_error(result: int, error: type[ServiceError]) -> None:
    found = fault(result, "transmit")
    assert type(found) is error
    assert found.detail == f"transmit: PC/SC error {result:08X}"


def test_every_code_pyscard_knows_becomes_an_error_of_ours() -> None:
    codes = [value for name, value in vars(scard).items() if name.startswith(("SCARD_E_", "SCARD_W_", "SCARD_F_"))]
    assert len(codes) > 30
    for code in codes:
        assert isinstance(fault(code, "x"), ServiceError)


def test_success_is_no_error() -> None:
    require(0, "transmit")
    with pytest.raises(CardRemoved):
        require(0x80100069, "transmit")
