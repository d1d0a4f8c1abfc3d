"""Forms filled in after a signature: allowed exactly where the signers said so (DocMDP, FieldMDP), else a change.

The signature values are empty shells: what follows a signature is judged before anybody asks who signed.
"""

import pytest

from signer.parsers.pdf import PdfField, read_pdf
from signer.parsers.pdf_permissions import Action, Lock, Permissions
from signer.validation.reasons import Reason
from tests.signer.validation.test_pdf_shadows import DRAWING, raw_object, with_field, with_objects
from tests.support.pdf import page_pdf, ranged, value_entries

TEXT = "<< /Type /Annot /Subtype /Widget /FT /Tx /T (%s) /V (1) /DA (/Helv 9 Tf 0 g) /Rect [0 %d 50 %d] /P 3 0 R >>"
BOX = "<< /Type /Annot /Subtype /Widget /FT /Btn /T (Paid) /V /Off /AS /Off /Rect [60 0 70 9] /P 3 0 R >>"
DOSE, GROUP, NOTE, PAID, EMPTY, SIGNED, VALUE = range(6, 13)
WHOLE = "/All"


def mdp(method: str, parameters: str) -> str:
    return f"<< /Type /SigRef /TransformMethod /{method} /TransformParams << {parameters} >> >>"


def certification(level: int | str = 2) -> str:
    return mdp("DocMDP", f"/Type /TransformParams /V /1.2 /P {level}")


def field_lock(action: str, *names: str) -> str:
    listed = " ".join(f"({name})" for name in names)
    return f"/Action {action}" + (f" /Fields [{listed}]" if names else "")


def choice(action: str, *names: str) -> str:
    return mdp("FieldMDP", field_lock(action, *names))


def signed_form(*references: str, lock: str = "") -> bytes:
    """Return a form of a dose, a patient's note, a box and an empty signature field, signed in another field."""
    objects = (
        TEXT % ("Dose", 0, 20),
        f"<< /T (patient) /Kids [{NOTE} 0 R] >>",
        TEXT.replace("/FT", f"/Parent {GROUP} 0 R /FT") % ("note", 30, 50),
        BOX,
        "<< /Type /Annot /Subtype /Widget /FT /Sig /T (Later) /Rect [0 60 50 80] /P 3 0 R >>",
        f"<< /Type /Annot /Subtype /Widget /FT /Sig /T (First) /V {VALUE} 0 R /Rect [0 0 0 0] /P 3 0 R {lock} >>",
        f"<< {value_entries('/Reference [' + ' '.join(references) + ']')} >>",
    )
    fields = f"/Fields [{DOSE} 0 R {GROUP} 0 R {PAID} 0 R {EMPTY} 0 R {SIGNED} 0 R]"
    shown = f"/Annots [{DOSE} 0 R {NOTE} 0 R {PAID} 0 R {EMPTY} 0 R {SIGNED} 0 R]"
    return ranged(page_pdf(catalogue=f"/AcroForm << {fields} /DA (/Helv 0 Tf 0 g) >>", page=shown, extra=objects))


def rewritten(pdf: bytes, number: int, *changes: tuple[bytes, bytes]) -> bytes:
    """Add a revision that writes one object with other octets."""
    value = raw_object(pdf, number)
    for old, new in changes:
        assert old in value
        value = value.replace(old, new, 1)
    return with_objects(pdf, {number: value})


def filled(pdf: bytes, number: int) -> bytes:
    return rewritten(pdf, number, (b"/V (1)", b"/V (100)"))


def first(pdf: bytes) -> PdfField:
    return next(field for field in read_pdf(pdf).fields if field.name == "First")


def is_change(pdf: bytes) -> bool:
    field = first(pdf)
    assert [note.reason for note in field.defects] in ([], [Reason.DOCUMENT_CHANGED])
    return bool(field.defects)


# What each says of the fields Dose and patient.note: whether it leaves them free.
SAYINGS: dict[str, tuple[tuple[str, ...], str, bool, bool]] = {
    "nothing": ((), "", False, False),
    "level 1": ((certification(1),), "", False, False),
    "level 2": ((certification(2),), "", True, True),
    "level 3": ((certification(3),), "", True, True),
    "no level that is known": ((certification(4),), "", False, False),
    "a level that is no number": ((certification("/Two"),), "", False, False),
    "level 2 by silence": ((mdp("DocMDP", "/V /1.2"),), "", True, True),
    "all": ((choice("/All"),), "", False, False),
    "all but one": ((choice("/Exclude", "Dose"),), "", True, False),
    "one of them": ((choice("/Include", "Dose"),), "", False, True),
    "a group": ((choice("/Include", "patient"),), "", True, False),
    "all but a group": ((choice("/Exclude", "patient"),), "", False, True),
    "a name that only begins alike": ((choice("/Include", "pat", "Dos"),), "", True, True),
    "a lock without names": ((choice("/Include"),), "", False, False),
    "a lock of no known kind": ((choice("/Some", "Dose"),), "", False, False),
    "a lock without parameters": (("<< /TransformMethod /FieldMDP >>",), "", False, False),
    "level 2 with a lock": ((certification(2), choice("/Include", "Dose")), "", False, True),
    "level 1 with a lock": ((certification(1), choice("/Include", "Dose")), "", False, False),
    "two levels": ((certification(3), certification(1)), "", False, False),
    "a level beside a lock": ((choice("/Include", "Dose").replace("/Action", "/P 1 /Action"),), "", False, False),
    "the field's own lock": ((), f"/Lock << {field_lock('/Include', 'Dose')} >>", False, True),
    "the field's own lock of all": ((certification(2),), f"/Lock << {field_lock(WHOLE)} >>", False, False),
    "the field's own level": ((certification(2),), f"/Lock << /P 1 {field_lock('/Include', 'Dose')} >>", False, False),
    "two locks": ((choice("/Include", "Dose"), choice("/Include", "patient.note")), "", False, False),
}


@pytest.mark.parametrize("name", SAYINGS)
def test_a_field_is_filled_in_only_where_the_signature_leaves_it_free(name: str) -> None:
    references, lock, *free = SAYINGS[name]
    signed = signed_form(*references, lock=lock)
    assert not is_change(signed)
    for number, is_free in zip((DOSE, NOTE), free, strict=True):
        later = filled(signed, number)
        assert is_change(later) is not is_free
        if is_free:
            assert first(later).notes[0].detail == "form value"
        else:
            assert "/V: another value" in first(later).defects[0].detail


def test_a_locked_field_that_changed_is_named_with_its_object_and_page() -> None:
    (defect,) = first(filled(signed_form(choice("/All")), NOTE)).defects
    assert (defect.detail, defect.about) == ("/Pages/Kids[0]/Annots[1]/V: another value", f"{NOTE} 0 R, page 1")


FILLED: dict[str, tuple[int, tuple[tuple[bytes, bytes], ...], bool]] = {
    "a face": (DOSE, ((b"/V (1)", b"/V (2) /AP << /N 50 0 R >>"),), False),
    "a box that is ticked": (PAID, ((b"/V /Off /AS /Off", b"/V /Yes /AS /Yes"),), False),
    "no value": (DOSE, ((b"/V (1)", b""),), False),
    "closed": (DOSE, ((b"/V (1)", b"/V (1) /Ff 1"),), False),
    "a value that is a dictionary": (DOSE, ((b"/V (1)", b"/V << /A 1 >>"),), True),
    "moved": (DOSE, ((b"/Rect [0 0 50 20]", b"/Rect [0 0 500 200]"),), True),
    "hidden": (DOSE, ((b"/V (1)", b"/V (1) /F 2"),), True),
    "other letters": (DOSE, ((b"/DA (/Helv 9 Tf 0 g)", b"/DA (/Helv 9 Tf 1 g)"),), True),
    "another name": (DOSE, ((b"(Dose)", b"(Other)"),), True),
    "another kind": (DOSE, ((b"/FT /Tx", b"/FT /Ch"),), True),
    "an action": (DOSE, ((b"/V (1)", b"/V (1) /A << /S /JavaScript >>"),), True),
    "another flag": (DOSE, ((b"/V (1)", b"/V (1) /Ff 8192"),), True),
    "a background": (DOSE, ((b"/V (1)", b"/V (1) /MK << /BG [1] >>"),), True),
    "a group's value": (GROUP, ((b"/T (patient)", b"/T (patient) /V (x)"),), True),
    "the signature": (SIGNED, ((b"/Rect [0 0 0 0]", b"/Rect [0 0 9 9]"),), True),
}


@pytest.mark.parametrize("name", FILLED)
def test_filling_in_changes_a_value_and_its_face_and_nothing_else(name: str) -> None:
    number, changes, changed = FILLED[name]
    signed = signed_form(certification(2))
    later = with_objects(rewritten(signed, number, *changes), {50: DRAWING})
    assert is_change(later) is changed


def test_a_field_becomes_read_only_where_something_may_change_at_all() -> None:
    for level, changed in ((1, True), (2, False)):
        signed = signed_form(certification(level), choice("/All"))
        assert is_change(rewritten(signed, DOSE, (b"/V (1)", b"/V (1) /Ff 1"))) is changed


def test_form_values_are_never_drawn_anew() -> None:
    signed = signed_form(certification(2))
    assert is_change(rewritten(signed, 1, (b"/DA (/Helv 0 Tf 0 g)", b"/NeedAppearances true /DA (/Helv 0 Tf 0 g)")))


def test_annotations_are_changes_at_every_level() -> None:
    note = b"<< /Type /Annot /Subtype /FreeText /Rect [0 0 50 20] /Contents (10 tablets) >>"
    for level in (1, 2, 3):
        signed = signed_form(certification(level))
        page = raw_object(signed, 3).replace(b"/Annots [", b"/Annots [50 0 R ", 1)
        (defect,) = first(with_objects(signed, {3: page, 50: note})).defects
        assert (defect.detail, defect.about) == ("/Pages/Kids[0]/Annots[0]: an annotation was added", "3 0 R, page 1")


LATER = b"<< /Type /Annot /Subtype /Widget /FT /Sig /T (New) /V 51 0 R /Rect [%s] /AP << /N 52 0 R >> /P 3 0 R >>"
SIGNATURE = b"<< /Type /Sig /SubFilter /ETSI.CAdES.detached >>"


def with_new_signature(pdf: bytes, box: bytes, kind: bytes = SIGNATURE) -> bytes:
    return with_field(pdf, LATER % box, {51: kind, 52: DRAWING})


@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_sneaky_signature_shows_nothing_on_a_certified_page(level: int) -> None:
    signed = signed_form(certification(level))
    (defect,) = first(with_new_signature(signed, b"300 300 400 400")).defects
    assert "a new signature field that shows something" in defect.detail
    assert is_change(with_new_signature(signed, b"0 0 0 0")) is (level == 1)
    stamp = with_new_signature(signed, b"0 0 0 0", b"<< /Type /DocTimeStamp /SubFilter /ETSI.RFC3161 >>")
    assert not is_change(stamp)


@pytest.mark.parametrize(
    ("references", "changed"), [((), False), ((choice("/Include", "Dose"),), False), ((choice("/All"),), True)]
)
def test_a_new_signature_is_shown_where_no_lock_forbids_it(references: tuple[str, ...], *, changed: bool) -> None:
    assert is_change(with_new_signature(signed_form(*references), b"300 300 400 400")) is changed


def test_a_document_time_stamp_shows_nothing_whoever_made_it() -> None:
    token, signed = b"<< /Type /DocTimeStamp /SubFilter /ETSI.RFC3161 >>", signed_form()
    assert not is_change(with_new_signature(signed, b"0 0 0 0", token))
    (defect,) = first(with_new_signature(signed, b"300 300 400 400", token)).defects
    assert "a document time-stamp that shows something" in defect.detail


def test_a_document_time_stamp_in_an_empty_field_leaves_it_as_it_looked() -> None:
    signed = signed_form()
    token = b"<< /Type /DocTimeStamp /SubFilter /ETSI.RFC3161 >>"
    for face, changed in ((b"", False), (b" /AP << /N 52 0 R >>", True)):
        later = rewritten(signed, EMPTY, (b"/T (Later)", b"/T (Later) /V 51 0 R" + face))
        later = with_objects(later, {51: token, 52: DRAWING})
        (found,) = (field for field in read_pdf(later).fields if field.name == "First")
        assert bool(found.defects) is changed


def test_a_time_stamp_that_was_shown_when_the_document_was_signed_stays() -> None:
    token = "<< /Type /DocTimeStamp /SubFilter /ETSI.RFC3161 >>"
    shown = "<< /Type /Annot /Subtype /Widget /FT /Sig /T (Old) /V 7 0 R /Rect [0 0 9 9] /P 3 0 R /AP << /N 8 0 R >> >>"
    field = "<< /Type /Annot /Subtype /Widget /FT /Sig /T (First) /V 10 0 R /Rect [0 0 0 0] /P 3 0 R >>"
    extra = (shown, token, DRAWING.decode(), field, f"<< {value_entries()} >>")
    form = "/AcroForm << /Fields [6 0 R 9 0 R] >>"
    signed = ranged(page_pdf(catalogue=form, page="/Annots [6 0 R 9 0 R]", extra=extra))
    assert not is_change(with_objects(signed, {60: b"<< >>"}))


@pytest.mark.parametrize("box", [b"10 10 30 30", b"50 20 0 0", b"-9 -9 999 999", b"1 2 3", b"/A /B /C /D"])
def test_a_new_signature_covers_no_field_that_was_there(box: bytes) -> None:
    (defect,) = first(with_new_signature(signed_form(), box)).defects
    assert "a signature field over another annotation" in defect.detail


@pytest.mark.parametrize(
    ("references", "changed"),
    [((), False), ((certification(2),), False), ((certification(1),), True), ((choice("/All"),), True)],
)
def test_an_empty_field_is_signed_unless_it_is_locked(references: tuple[str, ...], *, changed: bool) -> None:
    signed = signed_form(*references)
    later = rewritten(signed, EMPTY, (b"/T (Later)", b"/T (Later) /V 51 0 R /AP << /N 52 0 R >>"))
    later = with_objects(later, {51: SIGNATURE, 52: DRAWING})
    (found,) = (field for field in read_pdf(later).fields if field.name == "First")
    assert bool(found.defects) is changed


def second_signature(pdf: bytes, references: str = "") -> bytes:
    """Sign the empty field with another empty shell."""
    field = raw_object(pdf, EMPTY).replace(b"/T (Later)", b"/T (Later) /V 60 0 R", 1)
    return ranged(with_objects(pdf, {EMPTY: field, 60: f"<< {value_entries(references)} >>".encode()}))


def judged(pdf: bytes) -> dict[str, bool]:
    contents = read_pdf(pdf)
    assert contents.unreadable == ()
    return {field.name: bool(field.defects) for field in contents.fields}


def test_a_certification_speaks_for_the_signatures_after_it_and_a_lock_for_its_own_alone() -> None:
    certified = second_signature(signed_form(certification(2)))
    assert judged(certified) == {"First": False, "Later": False}
    assert judged(filled(certified, DOSE)) == {"First": False, "Later": False}
    locked = second_signature(signed_form(choice("/Include", "Dose")))
    assert judged(filled(locked, NOTE)) == {"First": False, "Later": True}
    assert judged(filled(locked, DOSE)) == {"First": True, "Later": True}


def test_what_one_signature_forbids_no_later_one_allows() -> None:
    for reference in (certification(3), choice("/Exclude", "Dose")):
        twice = second_signature(signed_form(certification(2), choice("/All")), f"/Reference [{reference}]")
        assert judged(filled(twice, DOSE)) == {"First": True, "Later": True}


def test_a_form_filled_in_between_two_signatures_is_the_second_s_document() -> None:
    twice = second_signature(filled(signed_form(certification(2)), DOSE))
    assert judged(twice) == {"First": False, "Later": False}
    assert first(twice).notes[0].detail == "form value, signature"


def test_a_later_revision_cannot_loosen_what_was_signed() -> None:
    signed = signed_form(certification(1))
    loose = rewritten(signed, VALUE, (b"/P 1", b"/P 3"))
    contents = read_pdf(loose)
    assert contents.unreadable or contents.fields[0].defects
    lock = signed_form(lock="/Lock << /Action /All >>")
    assert is_change(filled(rewritten(lock, SIGNED, (b"/Action /All", b"/Action /Exclude /Fields [(Dose)]")), DOSE))


def test_each_revision_is_explained_by_object_page_and_kind() -> None:
    later = with_new_signature(filled(signed_form(certification(2)), DOSE), b"0 0 0 0")
    extended, *revisions = first(later).notes
    assert extended.detail == "form value, signature"
    assert [note.reason for note in revisions] == [Reason.DOCUMENT_REVISION] * 2
    assert revisions[0].detail == f"form field Dose on page 1 ({DOSE} 0 R)"
    assert revisions[1].detail == (
        "catalogue (1 0 R); page 1 (3 0 R); signature field New on page 1 (50 0 R);"
        " signature of New (51 0 R); drawing (52 0 R)"
    )
    starts = [note.about.split()[:4] for note in revisions]
    assert [start[:2] for start in starts] == [["revision", "2,"], ["revision", "3,"]]


def test_a_revision_that_changes_what_was_signed_is_explained_too() -> None:
    field = first(filled(signed_form(), DOSE))
    assert [note.detail for note in field.notes] == [f"form field Dose on page 1 ({DOSE} 0 R)"]


def test_names_of_locks_hold_whole_branches() -> None:
    lock = Lock(Action.INCLUDE, frozenset({"a.b"}))
    assert [lock.holds(name) for name in ("a", "a.b", "a.b.c", "a.bc", "b", "")] == [
        False,
        True,
        True,
        False,
        False,
        False,
    ]
    free = Lock(Action.EXCLUDE, frozenset({"a"}))
    assert [free.holds(name) for name in ("a", "a.b", "ab", "")] == [False, False, True, True]


def test_silence_is_no_permission() -> None:
    assert not Permissions().may_fill("Dose")
    assert (
        not Permissions()
        .after(Permissions(locks=(Lock(Action.INCLUDE, frozenset({"A"})),), chooses=True))
        .may_fill("B")
    )
