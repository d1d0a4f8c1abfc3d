import string

from pki.errors import ErrorCode, InvalidInput
from pki.messages import MESSAGES, sentence


def test_every_code_has_both_sentences() -> None:
    assert set(MESSAGES) == set(ErrorCode)
    for message in MESSAGES.values():
        assert any("\u0600" <= char <= "\u06ff" for char in message.fa)
        assert set(message.en) <= set(string.printable)
        assert message.fa.endswith(".")
        assert message.en.endswith(".")


def test_a_sentence_names_the_code_and_the_detail() -> None:
    text = sentence(InvalidInput(ErrorCode.INPUT_EMPTY, "rx.json"))
    assert text.startswith("input-empty: ")
    assert "(rx.json)" in text
