import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.key_uri import FileUri, KeyUri, ObjectType, Pkcs11Uri, format_key_uri, parse_key_uri
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


@given(uri=pkcs11_uris | file_uris)
def test_what_is_written_reads_back_the_same(uri: KeyUri) -> None:
    assert parse_key_uri(format_key_uri(uri)) == uri


@given(text=st.text() | st.text().map(lambda rest: f"pkcs11:{rest}") | st.text().map(lambda rest: f"file:{rest}"))
def test_the_parser_never_raises_anything_but_service_errors(text: str) -> None:
    try:
        uri = parse_key_uri(text)
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
