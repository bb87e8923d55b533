"""In a notebook: check, what is kept, what is looked up, progress and solutions."""

import ast
import zipfile

import answers
import answers_generative
import pytest
from IPython.core.interactiveshell import InteractiveShell

from lib.storage.fingerprint import code_fingerprint
from lib.storage.paths import ROOT
from lib.workbook import exercises
from lib.workbook.student import cutting, working

SOLVED = answers.HEAD + answers.RIGHT["T3"]["by slices"]


@pytest.fixture
def notebook(monkeypatch):
    """The shell of a running notebook, and the list of what it tells of errors: lines for each."""
    shell, told = InteractiveShell(), []
    shell._showtraceback = lambda kind, error, lines: told.append(lines)
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    monkeypatch.setattr(working, "NOTEBOOK", "")
    return shell, told


def test_a_passed_cell_is_kept_and_used(typed, capfd):
    typed += ["x = 1", SOLVED, 'check("T3")']
    assert working.check("T3") == 15
    out, err = capfd.readouterr()
    assert "T3 An LSTM cell in a single linear layer: 15 of 15 points" in out and "work/T3.py" in out and not err
    cell, network = working.model_class("T3")
    assert cell.__name__ == "LSTMCell" and "lambda k" in (working.work_folder() / "T3.py").read_text()
    assert cell(2, 3).layer.out_features == 12 and working.written("T3", "LSTM") is network


def test_names_that_later_cells_read_are_remarked_on_and_cost_nothing(typed, capsys):
    typed.append(SOLVED)
    working.check("T3")
    assert "Remark: later cells look for linear in LSTMCell. It costs no points" in capsys.readouterr().out
    typed.append(answers.HEAD + cutting.solution("T3"))
    working.check("T3")
    assert "Remark" not in capsys.readouterr().out


def test_a_kept_cell_brings_the_imports_of_the_notebook_that_it_needs(typed):
    typed.append(answers.CELL_OTHER_ORDER + answers.LSTM)  # without its own imports
    assert working.check("T3") == 15
    compile(text := (working.work_folder() / "T3.py").read_text(), "kept", "exec")
    assert text.startswith("import torch\nfrom torch import nn\n")


def test_results_depend_on_the_code_that_was_kept(typed):
    """So that a class that was changed is trained again, and never takes the reference's results."""
    prints = []
    for name in ("by slices", "interleaved gates"):
        typed.append(answers.HEAD + answers.RIGHT["T3"][name])
        assert working.check("T3") == 15
        prints.append(code_fingerprint(working.model_class("T3")[0]))
    assert len({*prints, code_fingerprint(exercises.answer("T3")[0][0])}) == 3


def test_an_item_without_points_is_passed_or_not(typed, capsys):
    right = answers.HEAD + answers_generative.RIGHT["G3"]["by NumPy"]
    typed.append(right.replace("temperature**0.5", "temperature"))
    assert working.check("G3") == 0 and not (working.work_folder() / "G3.py").exists()
    out = capsys.readouterr().out
    assert "G3 Drawing with a temperature: not passed" in out
    assert "  ✓ batch_images_to_numpy" in out and "  ✗ sample" in out and "temperature is the variance" in out
    typed.append(right)
    assert working.check("G3") == 0 and (working.work_folder() / "G3.py").exists()
    assert "G3 Drawing with a temperature: passed" in capsys.readouterr().out


def test_a_failed_cell_is_not_kept_and_points_are(typed, capfd):
    typed.append(SOLVED.replace("torch.tanh(c), c]", "c, c]"))
    points = working.check("T3")
    assert 0 < points < 15 and not (working.work_folder() / "T3.py").exists()
    assert "✗ 0/4  LSTMCell: the equations" in capfd.readouterr().out
    assert working.state()["T3"] == {"points": points, "most": 15, "tries": 1}
    typed.append("class LSTMCell: pass\nclass LSTM: pass")
    assert working.check("T3") == 0 and working.state()["T3"]["points"] == points, "the best so far"


def test_the_last_cell_that_defines_all_classes_counts(typed):
    typed += [SOLVED, "class LSTMCell:\n    pass", "not Python at all ("]
    assert working.check("T3") == 15


def test_commands_of_ipython_in_a_cell_do_no_harm(typed):
    typed.append("%%time\n" + SOLVED)
    assert working.check("T3") == 15


def test_without_a_cell_there_is_nothing_to_check(typed, capfd):
    assert working.check("T3") == 0 and "run the cell with LSTMCell and LSTM first" in capfd.readouterr().out
    assert working.check("T99") == 0 and "no exercise 'T99'" in capfd.readouterr().out


def test_what_is_not_written_yet_says_so_in_one_line(typed):
    with pytest.raises(working.NotYetWritten) as caught:
        working.written("T3", "LSTMCell")
    (line,) = caught.value._render_traceback_()
    assert line == "T3 (LSTMCell and LSTM) is yours to write, in notebook 02, in the cell above its check"


def test_in_the_workbook_with_solutions_the_librarys_classes_are_used(typed):
    assert list(working.model_class("T3")) == exercises.answer("T3")[0]
    assert working.model_class("V1") is exercises.answer("V1")[0][0]


def test_a_class_that_was_cut_out_looks_the_students_up(typed):
    name = "lib/models/convolutional.py"
    text = cutting.cut_library({name: (ROOT / name).read_text("utf-8")}, ["T4"])[name]
    exec(text, library := {"__name__": "cut"})
    with pytest.raises(working.NotYetWritten, match=r"T4 \(Conv1d and TCN\)"):
        library["PooledTCN"](5, 4, 3)
    typed.append(answers.HEAD + answers.RIGHT["T4"]["by index"])
    assert working.check("T4") == 12
    network = library["PooledTCN"](5, 4, 3)  # the library's network, with the student's layer in it
    assert network(library["torch"].zeros(2, 7, 5)).shape == (2, 3)
    assert type(network.layers[0]).__name__ == "Conv1d" and hasattr(network.layers[0], "mix")


def test_progress_lists_every_item_and_what_is_next(typed, capsys):
    typed.append(SOLVED)
    working.check("T3")
    capsys.readouterr()
    working.progress()
    out = capsys.readouterr().out
    assert "Sheet B  ████" in out and "15 of 57 points of the code" in out
    assert "B  T3  An LSTM cell in a single linear layer" in out and "15 of 15   passed" in out
    assert "Next: P2 (A recurrent network from matrices), notebook 01, about 40 minutes" in out
    assert "in words, marked by a person" in out


def test_a_solution_is_shown_after_an_attempt(typed, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(exercises, "EDITION", edition := tmp_path / "edition.json")
    edition.write_text("{}")
    working.solution("T3")
    assert "try it yourself first" in capsys.readouterr().out
    typed.append("class LSTMCell: pass")
    working.check("T3")
    capsys.readouterr()
    working.solution("T3")
    assert "the solution has not been released" in capsys.readouterr().out
    edition.unlink()
    working.solution("T3")
    assert "class LSTMCell" in capsys.readouterr().out


def test_the_words_that_a_student_reads_are_no_code():
    """Hints and questions hold no line of a solution."""
    for code in cutting.coded():
        lines = {line.strip() for line in cutting.solution(code).splitlines() if len(line.strip()) > 25}
        told = " ".join(exercises.item(code)["hints"])
        assert not [line for line in lines if line in told]
        assert ast.parse(cutting.stub(code))


def test_in_a_notebook_before_its_own_an_item_is_ours_until_it_is_written(typed, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(working, "NOTEBOOK", "01")
    monkeypatch.setattr(working, "SOLUTIONS", archive := tmp_path / "solutions.zip")
    with pytest.raises(working.NotYetWritten):
        working.written("T3", "LSTMCell")
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("T3.py", cutting.solution("T3"))
    assert working.written("T3", "LSTMCell")(2, 3).linear.out_features == 12
    assert "T3 (LSTMCell and LSTM) is a task of notebook 02: ours is used until" in capsys.readouterr().out
    assert "T3" not in working.state() and working.written("T3", "LSTM") and not capsys.readouterr().out
    monkeypatch.setattr(working, "NOTEBOOK", "02")
    with pytest.raises(working.NotYetWritten):
        working.written("T3", "LSTMCell")


def test_errors_that_follow_are_told_in_one_line(typed, notebook):
    shell, told = notebook
    working.start("02")
    typed.append(SOLVED)
    shell.history_manager.input_hist_raw = typed
    working.check("T3")
    told.clear()
    shell.user_ns |= {"cell": working.written("T3", "LSTMCell")(2, 3)}
    for code in ("runs['LSTM']", "cell.linear", "(3).real_part", "a_slip"):
        shell.run_cell(code)
    first, second, other, slip = told
    assert first == [
        "name 'runs' is not defined: it comes from another cell, which has not run to its end; open tasks: T2, T4"
    ]
    assert second == ["this cell looks into our LSTMCell, and yours has no 'linear': go on with the next one"]
    assert len(slip) > 1 and "name 'a_slip' is not defined" in slip[-1], "one's own"
    assert len(other) > 1 and "real_part" in other[-1]


def test_a_cell_that_stops_leaves_nothing_older_behind(typed, notebook):
    """A later cell would else go on with what another cell has called by the same name."""
    shell, told = notebook
    working.start("02")
    shell.user_ns |= {"written": working.written, "runs": {}, "count": 1, "rows": []}
    shell.run_cell("fine = 2\nrows = rows + [written('T3', 'LSTMCell')]\nruns = 3\nfor count in runs: pass")
    assert told == [["T3 (LSTMCell and LSTM) is yours to write, in notebook 02, in the cell above its check"]]
    assert "runs" not in shell.user_ns and "count" not in shell.user_ns, "were to be replaced"
    assert shell.user_ns["fine"] == 2 and shell.user_ns["rows"] == [], "made, and read before it is replaced"
    shell.user_ns["count"] = 1
    shell.run_cell("count = runs.round()")
    assert len(told[1]) == 1 and told[1][0].startswith("name 'runs' is not defined: it comes from another cell")
    assert "count" not in shell.user_ns, "what follows from it, too"
    shell.user_ns["count"] = 1
    shell.run_cell("count = 1 / 0")
    assert shell.user_ns["count"] == 1, "one's own errors change nothing"


def test_a_cell_that_runs_again_keeps_what_it_gives_the_same_value(typed, notebook, monkeypatch):
    shell, _ = notebook
    monkeypatch.setattr(working, "FOLLOWED", None)
    working.start("02")
    for _ in range(2):
        shell.run_cell("count = 1")
        assert shell.user_ns["count"] == 1


def test_a_function_that_was_left_to_the_student_says_so_in_one_line(typed, notebook):
    shell, told = notebook
    working.start("05")
    shell.run_cell('raise NotImplementedError("rotate is yours to write, in its cell above: F4")')
    shell.run_cell("raise NotImplementedError")
    assert told[0] == ["rotate is yours to write, in its cell above: F4"] and len(told[1]) > 1
