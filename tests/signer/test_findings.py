from signer.findings import Finding, FindingCode


def test_every_finding_speaks_both_languages() -> None:
    for code in FindingCode:
        finding = Finding(code=code)
        assert finding.text_fa
        assert finding.text_en
        assert any("\u0600" <= char <= "\u06ff" for char in finding.text_fa)
        assert finding.text_en.isascii() or "⟦" in finding.text_en


def test_only_findings_about_acting_or_unreadable_files_refuse() -> None:
    refusing = {code for code in FindingCode if code.refuses}
    assert FindingCode.PDF_SCRIPT in refusing
    assert FindingCode.HIDDEN_CHARACTERS not in refusing
    assert all(code.value.startswith("pdf-") for code in refusing)
