import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.key_uri import (
    FileUri,
    KeyUri,
    ObjectType,
    Pkcs11Uri,
    TransitUri,
    format_key_uri,
    parse_key_uri,
    parse_token,
    transit_key,
)
from pki.errors import ErrorCode, InvalidInput, ServiceError

labels = st.text(st.characters(min_codepoint=0x20, exclude_characters="\x7f", codec="utf-8"), min_size=1, max_size=40)
pkcs11_uris = st.builds(
    Pkcs11Uri,
    token=st.none() | labels,
    object=st.none() | labels,
    id=st.none() | st.binary(min_size=1, max_size=64),
    type=st.none() | st.sampled_from(ObjectType),
)
file_uris = st.builds(FileUri, path=labels)
transit_uris = st.builds(
    TransitUri,
    name=st.from_regex(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,80}[A-Za-z0-9_])?", fullmatch=True),
    version=st.none() | st.integers(1, 999_999_999),
)
schemes = st.sampled_from(["", "pkcs11:", "transit:", "file:"])


@given(uri=pkcs11_uris | transit_uris | file_uris)
def test_what_is_written_reads_back_the_same(uri: KeyUri) -> None:
    assert parse_key_uri(format_key_uri(uri)) == uri


@given(uri=transit_uris)
def test_a_device_s_reference_names_the_same_transit_key(uri: TransitUri) -> None:
    assert transit_key(uri.reference) == uri


@given(scheme=schemes, rest=st.text())
def test_the_parser_never_raises_anything_but_service_errors(scheme: str, rest: str) -> None:
    try:
        uri = parse_key_uri(scheme + rest)
    except ServiceError as error:
        assert error.code is ErrorCode.KEY_URI_MALFORMED
    else:
        assert parse_key_uri(format_key_uri(uri)) == uri


def test_the_example_of_the_standard_is_read() -> None:
    uri = parse_key_uri(
        "pkcs11:token=Software%20PKCS%2311%20softtoken;id=%69%95%3E%5C%F4%BD%EC%91;object=my-sign-key;type=private"
    )
    assert uri == Pkcs11Uri(
        token="Software PKCS#11 softtoken",
        object="my-sign-key",
        id=bytes.fromhex("69953e5cf4bdec91"),
        type=ObjectType.PRIVATE,
    )


def test_a_persian_label_is_percent_encoded_utf_8() -> None:
    assert format_key_uri(Pkcs11Uri(object="مهر")) == "pkcs11:object=%D9%85%D9%87%D8%B1"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("file:/keys/a.pem", "/keys/a.pem"),
        ("file:a.pem", "a.pem"),
        ("FILE:///keys/a%20b.pem", "/keys/a b.pem"),
        ("file://localhost/keys/a.pem", "/keys/a.pem"),
    ],
)
def test_a_file_uri_is_read_in_each_of_its_spellings(text: str, path: str) -> None:
    assert parse_key_uri(text) == FileUri(path=path)


@pytest.mark.parametrize(
    "text",
    [
        "pkcs11:object=a?pin-value=1234",
        "pkcs11:object=a?pin-source=file:/etc/pin",
        "pkcs11:object=a?module-path=/tmp/evil.so",
        "pkcs11:slot-id=0;object=a",
        "pkcs11:object=a;object=b",
        "pkcs11:object=",
        "pkcs11:object=a b",
        "pkcs11:object=%00",
        "pkcs11:object=%ff",
        "pkcs11:object=%4",
        "pkcs11:pin-value=1234",
        "pkcs11:type=pub",
        "pkcs11:object=a;",
        "file:",
        "file://server/keys/a.pem",
        "file://localhost",
        "file:/a?b",
        "file:/a#b",
        "transit:",
        "transit:-a",
        "transit:a.",
        "transit:a/b",
        "transit:a:1",
        "transit:a%20b",
        "transit:a\n",
        "transit:\u0664",
        "transit:" + "a" * 300,
        "transit:a;",
        "transit:a;version=",
        "transit:a;version=0",
        "transit:a;version=01",
        "transit:a;version=\u0661",
        "transit:a;version=1;version=2",
        "transit:a;version=9999999999",
        "transit:a;token=1234",
        "https://example/",
        "nothing",
        "",
        "pkcs11:object=" + "a" * 5000,
    ],
)
def test_a_uri_that_is_secret_ambiguous_or_malformed_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_key_uri(text)
    assert refused.value.code is ErrorCode.KEY_URI_MALFORMED
    assert "1234" not in str(refused.value)


@pytest.mark.parametrize("reference", [b"", b":1", b"a:", b"a:0", b"a:1:2", b"a;version=1", b"\xff:1", b"a\xd9\x85:1"])
def test_a_reference_that_names_no_transit_key_is_refused(reference: bytes) -> None:
    with pytest.raises(InvalidInput):
        transit_key(reference)


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("mohr-service", Pkcs11Uri(token="mohr-service")),
        ("Bank of keys", Pkcs11Uri(token="Bank of keys")),
        ("pkcs11:token=a;serial=01;manufacturer=SoftHSM%20project", None),
    ],
)
def test_a_token_is_named_by_its_label_or_a_uri(text: str, token: Pkcs11Uri | None) -> None:
    expected = token or Pkcs11Uri(token="a", serial="01", manufacturer="SoftHSM project")
    assert parse_token(text) == expected
    assert parse_token(format_key_uri(expected)) == expected


@pytest.mark.parametrize("text", ["", "x" * 33, "pkcs11:", "pkcs11:object=a", "pkcs11:token=a;slot-id=1"])
def test_what_names_no_token_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_token(text)
