"""A verdict as the XML report of ETSI TS 119 102-2 (v1.2.1). The same verdict gives the same octets.

Every check that was reached stands as a constraint, with what was found in Persian and English; a time-stamp has a
report of its own. Certificates are given whole, signed content by digest, time-stamps by name.
"""

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Final
from xml.etree import ElementTree as ET  # writes alone: nothing of a stranger's is parsed

from pki.certificates import Certificate
from signer.validation.names import readable_name
from signer.validation.reasons import REASONS
from signer.validation.report import instant
from signer.validation.report_checks import (
    Check,
    Outcome,
    file_checks,
    in_order,
    process_of,
    signature_checks,
    timestamp_checks,
)
from signer.validation.verdict import (
    FileVerdict,
    Finding,
    Indication,
    SignatureVerdict,
    SubIndication,
    TimestampVerdict,
)

_VR: Final = "http://uri.etsi.org/19102/v1.2.1#"
_DS: Final = "http://www.w3.org/2000/09/xmldsig#"
_XADES: Final = "http://uri.etsi.org/01903/v1.3.2#"
_ETSI: Final = "urn:etsi:019102"
_OWN: Final = "urn:mohr:validation"
_SHA256: Final = "http://www.w3.org/2001/04/xmlenc#sha256"
_MAIN: Final = {
    Indication.PASSED: "total-passed",
    Indication.FAILED: "total-failed",
    Indication.INDETERMINATE: "indeterminate",
}
_ENDED: Final = {
    Outcome.PASSED: "passed",
    Outcome.INFORMED: "passed",
    Outcome.FAILED: "failed",
    Outcome.INDETERMINATE: "indeterminate",
}
_PART: Final = {indication: name.removeprefix("total-") for indication, name in _MAIN.items()}
_UNPRINTABLE: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

for _prefix, _space in (("vr", _VR), ("ds", _DS), ("XAdES", _XADES)):
    ET.register_namespace(_prefix, _space)


def report_xml(verdict: FileVerdict) -> bytes:
    """Write the report as UTF-8."""
    root = ET.Element(f"{{{_VR}}}ValidationReport")
    report = _Report(root, verdict)
    for signature in verdict.signatures:
        report.add_signature(signature)
    if not verdict.signatures:
        report.add_nothing()
    report.add_objects()
    ET.indent(root, " ")
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))


def _add(parent: ET.Element, name: str, text: str | None = None, *, space: str = _VR, **attributes: str) -> ET.Element:
    found = ET.SubElement(parent, f"{{{space}}}{name}", attributes)
    if text is not None:
        found.text = _UNPRINTABLE.sub("\ufffd", text)
    return found


class _Report:
    """The report being written: objects are collected while signatures refer to them."""

    def __init__(self, root: ET.Element, verdict: FileVerdict) -> None:
        self._root, self._verdict = root, verdict
        self._certificates: dict[str, Certificate] = {}
        self._stamps: dict[str, TimestampVerdict] = {}
        self._contents: dict[str, str] = {}
        self._names: set[str] = set()

    def add_nothing(self) -> None:
        """Say how a file without signatures was judged."""
        part = _add(self._root, "SignatureValidationReport")
        self._constraints(part, in_order(file_checks(self._verdict)))
        _status(part, self._verdict.indication, self._verdict.sub_indication)

    def add_signature(self, signature: SignatureVerdict) -> None:
        """Add what was found about a signature, then about those who signed it."""
        part = _add(self._root, "SignatureValidationReport")
        identifier = _add(part, "SignatureIdentifier", id=self._unique(signature.id))
        _add(identifier, "HashOnly", "false")
        _add(identifier, "DocHashOnly", "false")
        of_file = (check for check in in_order(file_checks(self._verdict)) if check.findings)
        groups = signature_checks(signature, self._verdict)
        own = in_order(group for group in groups if not group.groups)  # a time-stamp has a report of its own
        self._constraints(part, (*of_file, *own))
        self._times(part, signature)
        self._document(part, signature)
        self._attributes(part, signature)
        if signature.signer is not None:
            certificate = signature.signer.certificate
            signer = _add(part, "SignerInformation")
            _add(signer, "SignerCertificate", VOReference=self._certificate(certificate))
            _add(signer, "Signer", readable_name(certificate.subject_der))
        quality = _add(part, "SignatureQuality")
        for kind, grade in (("assurance", signature.assurance), ("care", signature.care), ("level", signature.level)):
            if grade is not None:
                _add(quality, "SignatureQualityInformation", f"{_OWN}:{kind}:{grade}")
        process = _add(part, "SignatureValidationProcess")
        _add(process, "SignatureValidationProcessID", f"{_ETSI}:validationprocess:{process_of(signature)}")
        self._evidence(_status(part, signature.indication, signature.sub_indication), signature)
        for counter in signature.counter_signatures:
            self.add_signature(counter)

    def _unique(self, name: str) -> str:
        found, number = name, 1
        while found in self._names:
            number += 1
            found = f"{name}-{number}"
        self._names.add(found)
        return found

    def _constraints(self, part: ET.Element, checks: Iterable[Check]) -> None:
        report = _add(part, "ValidationConstraintsEvaluationReport")
        policy = _add(report, "SignatureValidationPolicy")
        _add(_add(policy, "SignaturePolicyIdentifier"), "SignaturePolicyImplied", space=_XADES)
        _add(policy, "PolicyName", self._verdict.policy.name)
        for check in checks:
            if check.outcome is not Outcome.NOT_REACHED:
                _constraint(report, check)

    def _times(self, part: ET.Element, signature: SignatureVerdict) -> None:
        times = _add(part, "ValidationTimeInfo")
        _add(times, "ValidationTime", instant(self._verdict.validated_at))
        best = _add(times, "BestSignatureTime")
        _add(best, "POETime", instant(signature.proven_at or self._verdict.validated_at))
        _add(best, "TypeOfProof", f"{_ETSI}:poetype:validation")
        proofs = [
            stamp
            for stamp in (*signature.timestamps, *self._verdict.timestamps)
            if stamp.generated_at == signature.proven_at and signature.id in stamp.covers
        ]
        if proofs:
            _add(best, "POEObject", VOReference=self._stamp(proofs[0]))

    def _document(self, part: ET.Element, signature: SignatureVerdict) -> None:
        if not signature.covered:
            return
        document = _add(part, "SignersDocument")
        _digest(document, signature.covered[0].sha256)
        for covered in signature.covered:
            name = f"D-{covered.sha256[:16]}"
            self._contents[name] = covered.sha256
            _add(document, "SignersDocumentRepresentation", VOReference=name)

    def _attributes(self, part: ET.Element, signature: SignatureVerdict) -> None:
        attributes = _add(part, "SignatureAttributes")
        if signature.claimed_at is not None:
            _add(_add(attributes, "SigningTime", Signed="true"), "Time", instant(signature.claimed_at))
        for kind, name in (("signature", "SignatureTimeStamp"), ("archive", "ArchiveTimeStamp")):
            for stamp in signature.timestamps:
                if stamp.kind == kind and stamp.generated_at is not None:
                    added = _add(attributes, name, Signed="false")
                    _add(added, "AttributeObject", VOReference=self._stamp(stamp))
                    _add(added, "TimeStampValue", instant(stamp.generated_at))

    def _evidence(self, status: ET.Element, judged: SignatureVerdict | TimestampVerdict) -> None:
        if not judged.chain:
            return
        data = _add(status, "AssociatedValidationReportData")
        chain = _add(data, "CertificateChain")
        *path, anchor = judged.chain
        for index, certificate in enumerate(path or [anchor]):
            name = "IntermediateCertificate" if index else "SigningCertificate"
            _add(chain, name, VOReference=self._certificate(certificate))
        _add(chain, "TrustAnchor", VOReference=self._certificate(anchor))
        by_serial = {certificate.serial_hex: certificate for certificate in judged.chain}
        revoked = [known for known in judged.statuses if known.revoked_at is not None and known.serial in by_serial]
        for known in revoked[:1]:  # the schema has room for one
            said = _add(data, "RevocationStatusInformation")
            _add(said, "ValidationObjectId", VOReference=self._certificate(by_serial[known.serial]))
            _add(said, "RevocationTime", instant(known.revoked_at))
            if known.reason is not None:
                _add(said, "RevocationReason", f"{_OWN}:revocationReason:{known.reason}")

    # -- objects -----------------------------------------------------------------------------------

    def _certificate(self, certificate: Certificate) -> str:
        name = f"C-{certificate.sha256.hex()[:16]}"
        self._certificates[name] = certificate
        return name

    def _stamp(self, stamp: TimestampVerdict) -> str:
        self._stamps[stamp.id] = stamp
        return stamp.id

    def add_objects(self) -> None:
        """Add what signatures referred to, and the time-stamps of the file itself with their verdicts."""
        for stamp in self._verdict.timestamps:
            self._stamp(stamp)
        for stamp in self._stamps.values():
            for certificate in stamp.chain:
                self._certificate(certificate)
        if not (self._certificates or self._stamps or self._contents):
            return
        objects = _add(self._root, "SignatureValidationObjects")
        for name, certificate in self._certificates.items():
            shown = _object(objects, name, "certificate")
            _add(shown, "base64", b64encode(certificate.der).decode("ascii"))
        for name, sha256 in self._contents.items():
            _digest(_object(objects, name, "signedData"), sha256)
        for stamp in self._stamps.values():
            _add(_object(objects, stamp.id, "timestamp"), "URI", f"{_OWN}:timestamp:{stamp.id}")
            if stamp.generated_at is not None:
                proof = _add(objects[-1], "POEProvisioning")
                _add(proof, "POETime", instant(stamp.generated_at))
                for name in stamp.covers:
                    if name in self._names or name in self._stamps:
                        _add(proof, "ValidationObject", VOReference=name)
            report = _add(objects[-1], "ValidationReport")
            self._constraints(report, in_order((timestamp_checks(stamp, self._verdict.policy),)))
            self._evidence(_status(report, stamp.indication, stamp.sub_indication, _PART), stamp)


def _object(objects: ET.Element, name: str, kind: str) -> ET.Element:
    added = _add(objects, "ValidationObject", id=name)
    _add(added, "ObjectType", f"{_ETSI}:validationObject:{kind}")
    return _add(added, "ValidationObjectRepresentation")


def _digest(parent: ET.Element, sha256: str) -> None:
    digest = _add(parent, "DigestAlgAndValue")
    _add(digest, "DigestMethod", space=_DS, Algorithm=_SHA256)
    _add(digest, "DigestValue", b64encode(bytes.fromhex(sha256)).decode("ascii"), space=_DS)


def _status(
    part: ET.Element,
    indication: Indication,
    sub_indication: SubIndication | None,
    names: Mapping[Indication, str] = _MAIN,
) -> ET.Element:
    status = _add(part, "SignatureValidationStatus")
    _indications(status, indication, sub_indication, names)
    return status


def _indications(
    status: ET.Element,
    indication: Indication,
    sub_indication: SubIndication | None,
    names: Mapping[Indication, str],
) -> None:
    """Write an indication: total ones are a signature's own, what it is made of passes or fails (§4.3.4.2)."""
    _add(status, "MainIndication", f"{_ETSI}:mainindication:{names[indication]}")
    if sub_indication is not None:
        _add(status, "SubIndication", f"{_ETSI}:subindication:{sub_indication}")


def _constraint(report: ET.Element, check: Check) -> None:
    """Write one constraint: what was asked, of what, and how it ended with everything that was found."""
    constraint = _add(report, "ValidationConstraint")
    _add(constraint, "ValidationConstraintIdentifier", f"{_OWN}:{check.constraint.block}:{check.constraint.name}")
    for kind, text in (("level", check.level), ("certificate", check.about), ("evidence", check.evidence)):
        if text:
            _typed(_add(constraint, "ValidationConstraintParameter"), kind, text)
    asked = "disabled" if check.outcome is Outcome.NOT_ASKED else "applied"
    _add(_add(constraint, "ConstraintStatus"), "Status", f"{_ETSI}:constraintStatus:{asked}")
    if check.outcome is Outcome.NOT_ASKED:
        return
    status = _add(constraint, "ValidationStatus")
    _add(status, "MainIndication", f"{_ETSI}:mainindication:{_ENDED[check.outcome]}")
    for sub in dict.fromkeys(finding.sub_indication for finding in check.findings if finding.sub_indication):
        _add(status, "SubIndication", f"{_ETSI}:subindication:{sub}")
    for finding in check.findings:
        _texts(_add(status, "AssociatedValidationReportData"), finding)


def _typed(parent: ET.Element, kind: str, text: str) -> None:
    _add(parent, "Type", f"{_OWN}:{kind}")
    _add(parent, "Value", text)


def _texts(data: ET.Element, finding: Finding) -> None:
    """Say a finding in words, and about what it is."""
    additional = _add(data, "AdditionalValidationReportData")
    message = REASONS[finding.reason]
    said = (
        ("reason", str(finding.reason)),
        ("text:fa", message.fa),
        ("text:en", message.en),
        ("detail", finding.detail),
        ("about", finding.about),
    )
    for kind, text in said:
        if text:
            _typed(_add(additional, "ReportData"), kind, text)
