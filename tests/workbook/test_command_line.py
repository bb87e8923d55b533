"""The command line: what it says, what it refuses, and what it does before anything runs."""

import os
import subprocess
import sys

import pytest
import yaml

from lib.storage.paths import ROOT
from lib.workbook.command_line import main


def test_help(capsys):
    for arguments in (["--help"], ["run", "--help"], ["ship", "--help"], ["check", "--help"]):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 0
    output = capsys.readouterr().out
    for word in ("run", "ship", "check", "export", "list", "--profile", "--only", "--retrain", "--format", "--jobs"):
        assert word in output


@pytest.mark.parametrize("arguments", [[], ["walk"], ["run", "--unknown"], ["run", "--jobs", "two"]])
def test_what_the_command_line_does_not_know(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2 and "usage: python -m lib.workbook" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--profile", "fast"], "no profile 'fast'; there are cpu, smoke, gpu"),
        (["--only", "01,7,44"], "no notebook 07, 44; there are 01, 02"),
        (["--only", "../01"], "no notebook ../01; there are 01, 02"),
        (["--format", "docx"], "no format 'docx'; there are pdf, html, none"),
        (["--retrain", "yes"], "no RETRAIN=yes; use 1 (the headline models) or all"),
        (["-p", "speed=3"], "01_fails.ipynb has no parameter speed; it has text, steps, rate, retrain"),
        (["-p", "steps"], "-p wants name=value, got 'steps'"),
        (["-p", "steps=[1,"], "01_fails.ipynb: steps wants a whole number above 0, such as 3; got '[1,'"),
        (["-p", "retrain=yes"], "01_fails.ipynb: retrain wants True or False, such as False; got 'yes'"),
    ],
)
def test_what_does_not_exist_is_refused_with_what_does(arguments, message, folder, capsys, stores):
    assert main(["run", "--format", "none", *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err and captured.out == ""
    assert not (stores / "exports").exists(), "nothing may run before everything is known to be right"


def test_a_profile_may_not_set_what_a_notebook_does_not_have(folder, capsys):
    (folder / "profiles" / "smoke.yaml").write_text(yaml.safe_dump({"02_works": {"stepz": 1}}))
    assert main(["run", "--profile", "smoke"]) == 2
    assert "02_works.ipynb has no parameter stepz" in capsys.readouterr().err


def test_exporting_what_cannot_be_exported(folder, capsys, tmp_path):
    assert main(["export", str(folder / "02_works.ipynb"), "report.docx"]) == 2
    assert "report.docx must end in .pdf or .html" in capsys.readouterr().err
    assert main(["export", str(folder / "03.ipynb"), "report.pdf"]) == 2
    assert "03.ipynb is no notebook that can be read: No such file" in capsys.readouterr().err


def test_list(folder, capsys):
    assert main(["list", "--only", "2"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "02  Title of 02_works",
        "      text = 'as it stands'",
        "      steps = 3",
        "      rate = 0.1",
        "      retrain = False",
    ]


def test_as_a_program(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def call(*arguments):
        command = [sys.executable, "-m", "lib.workbook", *arguments]
        return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)

    refused = call("run", "--only", "99")
    assert refused.returncode == 2 and refused.stderr.startswith("no notebook 99; there are ")
    assert call("list").returncode == 0
    environment["PYTHONIOENCODING"] = "cp1252"  # as on Windows, where the output goes into a file
    refused = call("run", "--only", "01", "-p", "speed→=1")
    assert refused.returncode == 2 and "has no parameter speed?" in refused.stderr
