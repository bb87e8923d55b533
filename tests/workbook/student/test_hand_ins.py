"""What comes in: archives and notebooks of every kind, of which nothing but cells is taken."""

import json
import os
import unicodedata
import zipfile

import nbformat
import pytest
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell

from lib.workbook.notebooks import UsageError
from lib.workbook.student import hand_ins

NAME = "02_memory.ipynb"


def about(name, locked=False):
    return {
        "nbgrader": {"grade_id": name, "locked": locked, "solution": not locked, "grade": False, "schema_version": 3}
    }


def release():
    cells = [new_markdown_cell("text"), new_code_cell("stub", metadata=about("T3-solution"))]
    return new_notebook(cells=[*cells, new_code_cell('check("T3")', metadata=about("T3-check", locked=True))])


def packed(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def test_archives_and_folders_are_found_by_name(tmp_path):
    packed(tmp_path / "Lovelace-123.zip", {})
    (tmp_path / "Turing 5").mkdir()
    (tmp_path / "Hopper_99_assignsubmission_file").mkdir()
    packed(tmp_path / "Hopper_99_assignsubmission_file" / "Hopper-7.zip", {})
    (tmp_path / "list.csv").write_text("")
    assert hand_ins.found(tmp_path) == (
        {
            "Hopper-7": tmp_path / "Hopper_99_assignsubmission_file" / "Hopper-7.zip",
            "Lovelace-123": tmp_path / "Lovelace-123.zip",
            "Turing_5": tmp_path / "Turing 5",
        },
        [],
    )
    with pytest.raises(UsageError, match="there is no folder"):
        hand_ins.found(tmp_path / "nowhere")


def test_of_two_hand_ins_of_a_student_the_newer_one_is_graded_and_both_are_named(tmp_path):
    for age, name in enumerate(("Ada-1.zip", "Ada-1 (1).ZIP", "Ada-1 (2).zip")):
        os.utime(packed(tmp_path / name, {}), (1000 - age, 1000 - age))
    found, told = hand_ins.found(tmp_path)
    assert found == {"Ada-1": tmp_path / "Ada-1.zip"}
    assert told[1] == "Ada-1: of two hand-ins the newer one is graded, Ada-1.zip, and not Ada-1 (1).ZIP"


def test_archives_of_one_name_in_folders_of_their_own_are_named_like_these(tmp_path):
    for name in ("Ada Lovelace_1_file", "Bob_2_file"):
        (tmp_path / name).mkdir()
        packed(tmp_path / name / "hand-in.zip", {})
    assert list(hand_ins.found(tmp_path)[0]) == ["Ada_Lovelace_1_file", "Bob_2_file"]


def test_umlauts_and_other_archives(tmp_path):
    packed(tmp_path / unicodedata.normalize("NFD", "Müller-Öz-7.zip"), {"notebooks/02_memory.ipynb": "x"})
    (tmp_path / "Bob-2.rar").write_bytes(b"Rar!")
    found, told = hand_ins.found(tmp_path)
    assert list(found) == ["Müller-Öz-7"] and hand_ins.files_in(found["Müller-Öz-7"], {NAME}) == ({NAME: b"x"}, [])
    assert told == ["Bob-2.rar is no zip archive and no folder, and is left out: unpack it into a folder Bob-2"]


def test_a_notebook_of_another_name_is_taken_where_none_has_the_right_one(tmp_path):
    files = {
        "02_memory (1).ipynb": "b",
        "a/02_Memory-Copy1.ipynb": "c",
        ".ipynb_checkpoints/02_memory-checkpoint.ipynb": "d",
    }
    found, told = hand_ins.files_in(packed(tmp_path / "x.zip", files), {NAME})
    assert found == {NAME: b"b"}
    assert told == ["02_memory (1).ipynb is taken for 02_memory.ipynb (and not a/02_Memory-Copy1.ipynb)"]


def test_a_wrong_folder_is_named_with_what_it_holds(tmp_path):
    path = packed(tmp_path / "x.zip", {"lib/models/vae.py": "", "Ada-1.zip": ""})
    with pytest.raises(UsageError, match="x.zip holds none of the notebooks 02_memory.ipynb, but Ada-1.zip, vae.py"):
        hand_ins.files_in(path, {NAME})
    (tmp_path / "empty.zip").write_bytes(b"")
    with pytest.raises(UsageError, match="empty.zip cannot be read: File is not a zip file"):
        hand_ins.files_in(tmp_path / "empty.zip", {NAME})


def test_only_notebooks_of_the_course_are_read_wherever_they_lie(tmp_path):
    files = {
        "../../02_memory.ipynb": b"far",
        "a/notebooks/02_memory.ipynb": b"deep",
        "notebooks/02_memory.ipynb": b"right",
    }
    files |= {"/etc/passwd": b"x", "notebooks/other.ipynb": b"y", "student/checks/02.py": b"z"}
    path = packed(tmp_path / "x.zip", files)
    assert hand_ins.files_in(path, {NAME}) == ({NAME: b"right"}, [])
    assert sorted(one.name for one in tmp_path.iterdir()) == ["x.zip"], "nothing was unpacked"
    (tmp_path / "y" / "deep").mkdir(parents=True)
    (tmp_path / "y" / "deep" / NAME).write_bytes(b"here")
    (tmp_path / "y" / NAME).symlink_to("/etc/hostname")
    assert hand_ins.files_in(tmp_path / "y", {NAME}) == ({NAME: b"here"}, [])


def test_what_is_no_archive_or_too_large_is_refused(tmp_path, monkeypatch):
    (tmp_path / "x.zip").write_bytes(b"PK nonsense")
    with pytest.raises(UsageError, match="x.zip cannot be read"):
        hand_ins.files_in(tmp_path / "x.zip", {NAME})
    monkeypatch.setattr(hand_ins, "MOST_BYTES", 1000)
    bomb = packed(tmp_path / "bomb.zip", {NAME: b"0" * 5000})
    with pytest.raises(UsageError, match="larger than"):
        hand_ins.files_in(bomb, {NAME})


def tidied(tmp_path, nb):
    path = tmp_path / NAME
    path.write_text(nb if isinstance(nb, str) else nbformat.writes(nb), "utf-8")
    return hand_ins.tidied(path, release())


def test_a_students_cells_are_taken_and_everything_else_is_ours(tmp_path):
    handed = release()
    handed.cells[1].source = "mine"
    handed.cells[2].source = "check = lambda *a: 15."
    handed.cells[2].metadata.nbgrader.points = 1000
    handed.cells.append(new_code_cell("again", metadata=about("T3-solution")))
    handed.cells.append(new_code_cell("x", metadata={"nbgrader": "odd"}))
    output = new_output("display_data", {"text/html": "<script>", "image/png": "abc", "text/plain": "1"})
    handed.cells.append(new_code_cell("plot()", outputs=[output]))
    nb = tidied(tmp_path, handed)
    assert hand_ins.source_of(nb, "T3-solution") == "mine" and hand_ins.source_of(nb, "T3-check") == 'check("T3")'
    assert nb.cells[2].metadata == release().cells[2].metadata
    assert not nb.cells[3].metadata and nb.cells[3].source == "again"
    assert nb.cells[-1].outputs[0].data == {"image/png": "abc", "text/plain": "1"}


def test_nothing_that_a_student_writes_is_run_in_the_browser_of_those_who_mark(tmp_path):
    handed = release()
    handed.cells[0].source += "<script>fetch('/api/kernels')</script>"
    handed.cells += [new_raw_cell("<script>1</script>"), new_markdown_cell("$a < b$ <img src=x onerror=alert(1)>")]
    picture = new_output("display_data", {"image/png": 'x"><script>'})
    handed.cells.append(new_code_cell("'<script>'", outputs=[picture, new_output("stream", text="<script>")]))
    html = HTMLExporter().from_notebook_node(tidied(tmp_path, handed))[0].split("<main>")[1].split("</main>")[0]
    assert "<script>" not in html and "<img" not in html and "&lt;script&gt;" in html


def test_cells_that_were_deleted_or_turned_to_text_come_back_as_they_were_given_out(tmp_path):
    handed = new_notebook(cells=[new_markdown_cell("class LSTMCell", metadata=about("T3-solution"))])
    nb = tidied(tmp_path, handed)
    assert hand_ins.source_of(nb, "T3-solution") == "stub" and hand_ins.source_of(nb, "T3-check") == 'check("T3")'
    nbformat.validate(nb)


CODE = "class LSTMCell:\n    pass"


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["stub", "x = 1", "%%time\n" + CODE], "%%time\n" + CODE),  # written into a cell of one's own
        ([CODE, "class LSTMCell: 'a draft'"], CODE),  # the task's own cell counts, if anything stands there
        (["stub", "class LSTMCell("], "stub"),
    ],
)
def test_code_that_was_written_into_another_cell_is_found(tmp_path, cells, expected):
    stub = "class LSTMCell:\n    raise NotImplementedError"
    given = new_notebook(cells=[new_code_cell(stub, metadata=about("T3-solution"))])
    handed = new_notebook(cells=[new_code_cell(text.replace("stub", stub)) for text in cells])
    handed.cells[0].metadata = about("T3-solution")
    (path := tmp_path / NAME).write_text(nbformat.writes(handed), "utf-8")
    assert hand_ins.source_of(hand_ins.tidied(path, given), "T3-solution") == expected.replace("stub", stub)


def test_words_that_were_written_below_an_empty_answer_are_found(tmp_path):
    question, empty, more = "**T4** (3 points). How many?", "*Your answer.*", "## Next"
    given = new_notebook(cells=[new_markdown_cell(question), new_markdown_cell(empty, metadata=about("T4-answer-1"))])
    given.cells.append(new_markdown_cell(more))
    for texts in ([question, empty, "Four.", more], [question, "Four.", more]):
        handed = new_notebook(cells=[new_markdown_cell(text) for text in texts])
        if empty in texts:
            handed.cells[1].metadata = about("T4-answer-1")
        (path := tmp_path / NAME).write_text(nbformat.writes(handed), "utf-8")
        assert hand_ins.source_of(hand_ins.tidied(path, given), "T4-answer-1") == "Four."


def test_line_ends_of_windows_and_commands_of_ipython_are_no_python():
    assert hand_ins.python("%%time\r\nx = 5\r\n!ls\r\ny = x % 2") == "x = 5\ny = x % 2"


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"cells": 3}), "[" * 100_000])
def test_what_is_no_notebook_is_refused_in_one_line(tmp_path, text):
    with pytest.raises(UsageError, match="is no notebook that can be read"):
        tidied(tmp_path, text)
