"""Names that every system can store and unpack."""

import pytest

from lib.workbook.notebooks import UsageError
from lib.workbook.submission import archive
from lib.workbook.submission.file_names import pdf_name


def test_the_name_of_the_pdf():
    assert pdf_name("", "Lovelace-123") == pdf_name(None, "Lovelace-123") == "Lovelace-123.pdf"
    assert pdf_name(" Blatt 1 (Lösung).pdf ", "x") == "Blatt 1 (Lösung).pdf"
    for odd in (
        "a",
        "a.zip",
        "../a.pdf",
        "/a.pdf",
        "C:a.pdf",
        "a/b.pdf",
        "a\\b.pdf",
        ".pdf",
        "a?.pdf",
        "nul.pdf",
        "x" * 99,
    ):
        with pytest.raises(UsageError, match="PDF_NAME: .*as in submission.pdf"):
            pdf_name(odd if odd == "a" or "." in odd else f"{odd}.pdf", "x")


@pytest.mark.parametrize(
    "name", ["/a", "../a", "a/../../b", "a\\b", "C:a", "a?", "a.", "a ", "lib/NUL.py", "x" * 181, "a\nb"]
)
def test_names_that_not_every_system_can_unpack_are_refused(name, tmp_path):
    with pytest.raises(UsageError, match="cannot be unpacked on every system"):
        archive.write(tmp_path / "a.zip", {"code": {name: b"", "b": b""}})
    assert not list(tmp_path.iterdir())


def test_names_that_differ_in_case_only_are_refused(tmp_path):
    with pytest.raises(UsageError, match="lib/A.py and lib/a.py are one file on Windows"):
        archive.write(tmp_path / "a.zip", {"code": {"lib/a.py": b"", "lib/b.py": b"", "lib/A.py": b""}})
