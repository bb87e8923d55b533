"""`make submission` in the student edition: what was saved is packed, solved or not."""

import zipfile

import nbformat
from nbformat.v4 import new_code_cell, new_output
from small_notebooks import write

from lib.workbook import notebooks
from lib.workbook.student import hand_ins
from lib.workbook.submission import submit

PERSON = ("Ada Lovelace", "123", "ada@x.org")


def test_notebooks_are_packed_as_they_stand_and_can_be_graded(stores, monkeypatch, tmp_path):
    folder = stores / "notebooks"
    error = new_output("error", ename="NotYetWritten", evalue="T3 is yours to write", traceback=[])
    about = {"grade_id": "T3-solution", "solution": True, "grade": False, "locked": False, "schema_version": 3}
    cell = new_code_cell("class LSTMCell: ...", metadata={"nbgrader": about})
    for name in ("02_memory", "03_predictive_vit"):
        write(folder / f"{name}.ipynb", cell, new_code_cell("LSTM(1, 2, 3)", outputs=[error]))
    (edition := tmp_path / "edition.json").write_text("{}")
    monkeypatch.setattr(notebooks, "FOLDER", folder)
    monkeypatch.setattr(submit, "EDITION", edition)
    monkeypatch.setattr(submit, "merged_pdf", lambda reports, *rest: (b"%PDF", [2, 3, 4]))
    assert submit.submit("B", *PERSON)
    archive = stores / "exports" / "Lovelace-123.zip"
    with zipfile.ZipFile(archive) as packed:
        assert "notebooks/02_memory.ipynb" in packed.namelist()
    (data,) = hand_ins.files_in(archive, {"02_memory.ipynb"})[0].values()
    nb = nbformat.reads(data.decode(), 4)
    assert hand_ins.source_of(nb, "T3-solution") == "class LSTMCell: ..."
    assert nb.cells[-1].outputs[0].ename == "NotYetWritten"
