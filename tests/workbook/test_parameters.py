"""Notebooks as they are found and read, and the values that they are run with."""

import json
import os
import re

import nbformat
import pytest
from small_notebooks import write

from lib.training import arithmetic
from lib.workbook import notebooks
from lib.workbook.command_line import main
from lib.workbook.notebooks import UsageError

# --- values -----------------------------------------------------------------------------------------------------------


def test_profile_then_retrain_then_by_hand(folder):
    path = folder / "02_works.ipynb"
    assert notebooks.parameters(path, "cpu") == {}
    assert notebooks.parameters(path, "smoke") == {"steps": 1}
    assert notebooks.parameters(path, "gpu", "all") == {"retrain": "all"}
    assert notebooks.parameters(path, "smoke", "1", ["steps=9", " rate = 1e-3", "text=a: b"]) == {
        "steps": 9,
        "retrain": True,
        "rate": 1e-3,
        "text": "a: b",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "profiles.smoke.yaml must be YAML that maps the notebooks' names to mappings"),
        ("02_works: [1]", "must be YAML"),
        ("02_works: 3", "must be YAML"),
        ("02_works: {steps: 1", "must be YAML .* \\(while parsing a flow mapping"),
        ("02_works: {steps: 2026-99-99}", "must be YAML .* \\(month must be in"),
        ("[" * 5000, "must be YAML"),
        ("02_works: {1: 2}", "02_works.ipynb has no parameter 1; it has text, steps"),
        ("02_works: {steps: [1]}", "02_works.ipynb: steps wants a whole number above 0, such as 3; got \\[1\\]"),
        ("02_works: {text: 3}", "text wants a text, such as 'as it stands'; got 3"),
        (
            "02_works: {arithmetic: [float8]}",
            "arithmetic in profiles/smoke.yaml wants a list of bfloat16, channels_last",
        ),
        ("02_works: {arithmetic: bfloat16}", "02_works.ipynb: arithmetic .* wants a list of"),
    ],
)
def test_a_damaged_profile_is_one_line(text, message, folder):
    (folder / "profiles" / "smoke.yaml").write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        notebooks.parameters(folder / "02_works.ipynb", "smoke")
    assert "\n" not in str(caught.value)
    (folder / "profiles" / "smoke.yaml").unlink()
    with pytest.raises(UsageError, match="smoke.yaml must be YAML .*No such file"):
        notebooks.parameters(folder / "02_works.ipynb", "smoke")


def test_a_profile_chooses_the_arithmetic_of_the_trainings(folder, monkeypatch):
    monkeypatch.setenv("WORKBOOK_ARITHMETIC", "of the run before")
    path = folder / "02_works.ipynb"
    (folder / "profiles" / "smoke.yaml").write_text("02_works: {steps: 1, arithmetic: [bfloat16, channels_last]}")
    assert notebooks.parameters(path, "smoke") == {"steps": 1}, "no parameter of the notebook"
    notebooks.set_environment(path, "smoke", {})
    assert arithmetic.chosen() == ["bfloat16", "channels_last"]
    notebooks.set_environment(path, "cpu", {})
    assert arithmetic.chosen() == []


# --- paths that are typed ---------------------------------------------------------------------------------------------

SOURCES = """source = "tale"  # "tale", "verses", or the path of a text file
own = "2D"  # any text, or the path of a picture
plain = "x"  # a preset"""


def test_a_path_is_meant_from_where_it_is_typed(tmp_path, monkeypatch):
    root, elsewhere = tmp_path / "workbook", tmp_path / "else where"
    path = write(root / "notebooks" / "01_text.ipynb", parameters=SOURCES)

    def placed(text, name="source"):
        return notebooks.parameters(path, "cpu", extra=[f"{name}={text}"])[name]

    for folder in (root / "texts", elsewhere):
        folder.mkdir()
        for name in ("my.txt", "tale", "x"):
            (folder / name).write_text("text")
    (root / "notebooks" / "beside.txt").write_text("text")
    monkeypatch.chdir(root / "texts")
    assert placed("my.txt") == "../texts/my.txt" and placed("../texts/my.txt") == "../texts/my.txt"
    assert placed("beside.txt") == "beside.txt", "relative to the notebook"
    assert placed("tale") == "tale", "a name that is known, whatever lies there"
    assert placed("x", "plain") == "x", "not said to be a path"
    assert placed("my.txt", "own") == "../texts/my.txt" and placed("no file.png", "own") == "no file.png"
    assert placed(str(elsewhere / "my.txt")) == (elsewhere / "my.txt").as_posix()
    monkeypatch.chdir(elsewhere)
    assert placed("my.txt") == (elsewhere / "my.txt").as_posix()
    monkeypatch.setenv("HOME", str(elsewhere))
    monkeypatch.setenv("USERPROFILE", str(elsewhere))
    assert placed("~/my.txt") == (elsewhere / "my.txt").as_posix()
    for text in ("mine.txt", "~/mine.txt", "my", "a\0b", "x" * 5000):
        with pytest.raises(UsageError, match="source: there is no file or folder '") as caught:
            placed(text)
        message = str(caught.value)
        assert f"in {elsewhere} and in {path.parent}; it also takes tale, verses" in message and "\n" not in message


# --- notebooks --------------------------------------------------------------------------------------------------------

DEEP = '{"cells": ' + "[" * 100_000 + "]" * 100_000 + "}"
VALID = json.dumps(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")]))
DAMAGED = {
    "a list": "[]",
    "a number": "3",
    "nothing": "",
    "no JSON": "no notebook",
    "cut off": VALID[:60],
    "no cells": '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}',
    "cells of another kind": '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": {"a": 1}}',
    "a cell that is a text": '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": ["a"]}',
    "a cell without source": VALID.replace("source", "sauce"),
    "tags that are a text": VALID.replace('"code", "metadata": {}', '"code", "metadata": {"tags": "a"}'),
    "deep": DEEP,
    "of the future": '{"nbformat": 99, "nbformat_minor": 0, "metadata": {}, "cells": []}',
    "not UTF-8": b"\xff\xfe\x00",
    "UTF-16": VALID.encode("utf-16"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_what_is_no_notebook_is_told_in_one_line(kind, folder, stores, capsys):
    content = DAMAGED[kind]
    (folder / "01_fails.ipynb").write_bytes(content.encode() if isinstance(content, str) else content)
    out = str(stores / "out.html")
    for arguments in (
        *(
            ["list"],
            ["check"],
            ["run", "--format", "none"],
            ["run", "--jobs", "2"],
            ["ship"],
            ["train", "--only", "01"],
        ),
        ["restamp", "--only", "01"],
        ["export", str(folder / "01_fails.ipynb"), out],
    ):
        assert main(arguments) == 2, arguments
        printed = capsys.readouterr()
        assert "01_fails.ipynb is no notebook that can be read: " in printed.err and printed.err.count("\n") == 1
        assert "Running" not in printed.out
    assert not (stores / "exports").exists() and not os.path.exists(out)


def test_a_notebook_that_is_not_there_is_told(folder):
    with pytest.raises(UsageError, match="03_none.ipynb is no notebook that can be read: No such file"):
        notebooks.read(folder / "03_none.ipynb")
    (folder / "03_none.ipynb").mkdir()
    with pytest.raises(UsageError, match="03_none.ipynb is no notebook that can be read: (Is a dir|Perm)"):
        notebooks.read(folder / "03_none.ipynb")


def test_notebooks_of_other_programs_are_read(folder, recwarn):
    old = {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}, "worksheets": [{"cells": [], "metadata": {}}]}
    without_ids = re.sub('"id": "[^"]*", ', "", VALID)
    for content, count in ((json.dumps(old), 0), (without_ids, 1)):
        (folder / "03_other.ipynb").write_text(content)
        assert len(notebooks.read(folder / "03_other.ipynb").cells) == count
    assert not recwarn.list


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("steps = 3\nif", "the cell tagged `parameters` is no Python (invalid syntax, line 2)"),
        ("%matplotlib inline\nsteps = 3", "is no Python (invalid syntax, line 1)"),
        ("x = " + "(" * 500 + ")" * 500, "is no Python ("),
        ("x = '\0'", "is no Python ("),
    ],
)
def test_a_cell_of_parameters_that_is_no_python_is_told(code, message, folder, capsys):
    write(folder / "01_fails.ipynb", parameters=code)
    for command in (["list"], ["run"], ["train"]):
        assert main(command) == 2
        printed = capsys.readouterr().err
        assert message in printed and printed.count("\n") == 1


def test_two_notebooks_with_one_number_are_refused(folder, stores, capsys):
    write(folder / "01_fails_old.ipynb", "print('the backup')")
    said = "01_fails.ipynb and 01_fails_old.ipynb have one number: rename one"
    for command in (["list"], ["check"], ["run"], ["run", "--only", "2,1"], ["ship"], ["train"]):
        assert main(command) == 2
        assert said in capsys.readouterr().err
    assert not (stores / "exports").exists()
    assert notebooks.paths("02") == [folder / "02_works.ipynb"], "of others nothing is in doubt"
