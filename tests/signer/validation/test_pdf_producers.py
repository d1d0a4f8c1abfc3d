"""Documents that pyHanko certifies, fills in, encrypts and signs after ours: no false alarm, and none missed."""

from io import BytesIO
from pathlib import Path

import pytest
from pyhanko.pdf_utils.generic import TextStringObject, pdf_name
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.pdf_utils.writer import copy_into_new_writer
from pyhanko.sign import signers
from pyhanko.sign.fields import FieldMDPAction, FieldMDPSpec, MDPPerm, SigFieldSpec, SigSeedSubFilter

from signer.formats.pades import sign_pades
from signer.samples import sample_pdf
from signer.validation.verify import verify_bytes
from tests.signer.validation.expect import FAILED, PASSED, expect
from tests.support.pdf import form_pdf
from tests.support.zoo import SIGNED_AT, Zoo


@pytest.fixture(scope="module")
def signer(zoo: Zoo, tmp_path_factory: pytest.TempPathFactory) -> signers.SimpleSigner:
    folder: Path = tmp_path_factory.mktemp("signer")
    key, own, chain = folder / "key", folder / "own.pem", folder / "chain.pem"
    key.write_bytes(zoo.clinician.key.private_pem())
    own.write_text(zoo.clinician.pem)
    chain.write_text(zoo.intermediate.pem)
    loaded = signers.SimpleSigner.load(str(key), str(own), (str(chain),))  # type: ignore[no-untyped-call]  # untyped upstream
    assert isinstance(loaded, signers.SimpleSigner)
    return loaded


def signed(
    pdf: bytes,
    signer: signers.SimpleSigner,
    name: str,
    *,
    level: MDPPerm | None = None,
    lock: FieldMDPSpec | None = None,
) -> bytes:
    writer = IncrementalPdfFileWriter(BytesIO(pdf))
    if writer.prev.encrypted:
        writer.encrypt("")  # type: ignore[no-untyped-call]  # untyped upstream
    metadata = signers.PdfSignatureMetadata(
        field_name=name,
        subfilter=SigSeedSubFilter.PADES,
        certify=level is not None,
        docmdp_permissions=level or MDPPerm.FILL_FORMS,
    )
    field = SigFieldSpec(name, field_mdp_spec=lock)
    output = BytesIO()
    signers.sign_pdf(writer, metadata, signer=signer, new_field_spec=field, output=output)
    return output.getvalue()


def filled(pdf: bytes, value: str) -> bytes:
    writer = IncrementalPdfFileWriter(BytesIO(pdf))
    field = writer.root["/AcroForm"]["/Fields"][0]
    field[pdf_name("/V")] = TextStringObject(value)
    writer.update_container(field)
    output = BytesIO()
    writer.write(output)  # type: ignore[no-untyped-call]  # untyped upstream
    return output.getvalue()


@pytest.mark.parametrize(("level", "verdict"), [(MDPPerm.FILL_FORMS, PASSED), (MDPPerm.NO_CHANGES, FAILED)])
def test_a_certified_form_is_filled_in_as_far_as_its_author_allows(
    zoo: Zoo, signer: signers.SimpleSigner, level: MDPPerm, verdict: object
) -> None:
    certified = signed(form_pdf(), signer, "Author", level=level)
    expect(verify_bytes(certified, zoo.context()), PASSED)
    assert verify_bytes(filled(certified, "2"), zoo.context()).indication is verdict


def test_a_form_goes_from_hand_to_hand(zoo: Zoo, signer: signers.SimpleSigner) -> None:
    """Certified, filled in, signed with a lock by ours, and filled in once more, which the lock forbids."""
    certified = signed(form_pdf(), signer, "Author", level=MDPPerm.FILL_FORMS)
    twice = sign_pades(filled(certified, "2"), zoo.clinician.key, zoo.clinician.chain, signed_at=SIGNED_AT)
    verdict = verify_bytes(twice, zoo.context())
    expect(verdict, PASSED)
    assert len(verdict.signatures) == 2
    late = verify_bytes(filled(twice, "3"), zoo.context())
    assert [signature.indication for signature in late.signatures] == [PASSED, FAILED]


@pytest.mark.parametrize(("locked", "verdict"), [("Dose", FAILED), ("Other", PASSED)])
def test_an_approval_with_a_lock_of_its_own(
    zoo: Zoo, signer: signers.SimpleSigner, locked: str, verdict: object
) -> None:
    lock = FieldMDPSpec(FieldMDPAction.INCLUDE, [locked])
    approved = signed(form_pdf(), signer, "One", lock=lock)
    assert verify_bytes(filled(approved, "2"), zoo.context()).indication is verdict


def test_an_encrypted_file_is_signed_twice(zoo: Zoo, signer: signers.SimpleSigner) -> None:
    writer = copy_into_new_writer(PdfFileReader(BytesIO(sample_pdf())))
    writer.encrypt(owner_pass="owner", user_pass="")  # type: ignore[no-untyped-call]  # untyped upstream
    output = BytesIO()
    writer.write(output)  # type: ignore[no-untyped-call]  # untyped upstream
    twice = signed(signed(output.getvalue(), signer, "One"), signer, "Two")
    verdict = verify_bytes(twice, zoo.context())
    expect(verdict, PASSED)
    assert len(verdict.signatures) == 2
