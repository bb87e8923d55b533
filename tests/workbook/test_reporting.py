"""What a notebook says about itself: claims, sources, the run table."""

import pytest
import torch

from lib.models import LSTMCell
from lib.storage import tensors
from lib.training import checkpoints
from lib.workbook import reporting


def record(name, rows, reference=True, why=""):
    checkpoints.RECORDS.append({"name": name, "why": why, "reference": reference, "rows": rows})


def row(settings, seconds=1.0, **result):
    return {"settings": settings, "result": result, "seconds": seconds}


# --- claims ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("holds", [True, torch.tensor(True), 1])
def test_a_claim_that_holds_is_marked(holds, displayed):
    reporting.claim(holds, "All is **well**.")
    assert displayed[0][0]["text/markdown"] == "✓ All is **well**."


def test_negative_numbers_of_a_claim_have_minus_signs(displayed):
    reporting.claim(True, "from **-0.2** to -.5 and [-1, 2], not in GPT-2, 1e-3, 3-4, `x - 1, -1` or $-1$.")
    assert displayed[0][0]["text/markdown"] == (
        "✓ from **−0.2** to −.5 and [−1, 2], not in GPT-2, 1e-3, 3-4, `x - 1, -1` or $-1$."
    )


def test_a_claim_that_fails_under_shipped_settings_is_an_error(displayed):
    record("toy/run", [], reference=True)
    with pytest.raises(reporting.ClaimError, match="does not hold: All is well."):
        reporting.claim(False, "All is well.")
    assert not displayed


@pytest.mark.parametrize("profile", ["smoke", "gpu"])
def test_a_claim_is_only_stated_under_another_profile(profile, displayed, monkeypatch):
    monkeypatch.setenv("WORKBOOK_PROFILE", profile)
    reporting.claim(False, "All is well.")
    assert displayed[0][0]["text/markdown"] == "✗ *Does not hold here:* All is well."


def test_a_claim_is_only_stated_with_settings_of_ones_own(displayed):
    record("toy/run", [], reference=True)
    record("toy/mine", [], reference=False)
    reporting.claim(False, "All is well.")
    assert displayed[0][0]["text/plain"].startswith("✗")


def test_a_claim_is_only_stated_of_data_of_ones_own_also_before_the_first_training(displayed):
    try:
        reporting.expect_shipped(False)
        reporting.claim(False, "All is well.")
        assert displayed[0][0]["text/plain"].startswith("✗")
    finally:
        reporting.expect_shipped(True)
    with pytest.raises(reporting.ClaimError):
        reporting.claim(False, "All is well.")


# --- sources --------------------------------------------------------------------------------------------------------


def test_the_source_is_the_live_one(displayed):
    reporting.show_source(LSTMCell, tensors.save)
    (first, _), (second, _) = displayed
    assert first["text/markdown"].startswith("`lib.models.recurrent`\n\n```python\nclass LSTMCell(nn.Module):\n")
    assert first["text/markdown"].endswith("\n```") and "def forward(self" in first["text/markdown"]
    assert "def save(path, tree):" in second["text/markdown"]
    assert displayed[0][1] == {"workbook": {"source": "LSTMCell"}}


def test_an_exercise_shows_its_definitions_without_docstrings(displayed):
    reporting.exercise("T3")
    assert [about["workbook"]["source"] for _, about in displayed] == ["LSTMCell", "LSTM"]
    assert "class LSTMCell" in displayed[0][0]["text/markdown"] and '"""' not in displayed[0][0]["text/markdown"]


# --- the run table --------------------------------------------------------------------------------------------------


def table(displayed, **options):
    """Lines of the run table as lists of texts."""
    import pandas as pd

    frames = []
    original = reporting.figures.show_table
    reporting.figures.show_table = lambda frame, caption: frames.append(frame)
    try:
        reporting.run_table(**options)
    finally:
        reporting.figures.show_table = original
    assert isinstance(frames[0], pd.DataFrame)
    return frames[0].astype(str).values.tolist()


def test_one_line_per_setting_with_its_seeds_side_by_side(displayed):
    record("toy/single", [row({"rate": 0.001, "seed": 3}, 61.4, accuracy=0.98765)], why="the start")
    record(
        "toy/sweep",
        [row({"rate": 0.1, "length": n, "seed": s}, 2, accuracy=s / 4) for n in (5, 10) for s in (0, 1)],
        why="to compare",
    )
    assert table(displayed) == [
        ["single", "rate 0.001", "3", "0.988", "61", "the start"],
        ["sweep", "rate 0.1, length 5", "0 1", "0.000 · 0.250", "4", "to compare"],
        ["", "length 10", "0 1", "0.000 · 0.250", "4", ""],
    ]


def test_without_the_wanted_number_all_are_shown(displayed):
    record("toy/run", [row({"seed": 0}, loss=0.123456, steps=7, curve=[1, 2], note="text")])
    assert table(displayed)[0][3] == "loss 0.1235, steps 7"
    assert table(displayed, result="steps")[0][3] == "7.000"


def test_small_results_are_not_rounded_to_nothing(displayed):
    record("toy/run", [row({"seed": s}, error=10.0**-s) for s in (1, 3, 7)])
    assert table(displayed, result="error")[0][3] == "0.100 · 0.001 · 1.0e-07"


def test_numbers_with_a_true_minus_and_no_signed_zero():
    assert [reporting.signed(value) for value in (-0.234, 0.234, -0.001, 0)] == ["−0.23", "+0.23", "0.00", "0.00"]
    assert [reporting.signed(value, "{:.1f}") for value in (-1.7, -0.04, 0.2)] == ["−1.7", "0.0", "0.2"]


def test_what_is_told_of_a_run_and_many_repetitions(displayed):
    rows = [row({"seed": s}, 1, curve=[0.5, s], seconds_of_training=10) for s in range(3)]
    record("toy/run", rows)
    told = {"run": lambda result: {"end": result["curve"][-1]}}
    assert table(displayed, told=told)[0][3:5] == ["end 0 · 1 · 2", "33"]
    assert table(displayed, told=told, most=2)[0][3] == "end 1.000 (0.000 to 2.000)"
    assert table(displayed, told=told, most=2, result="end")[0][3] == "1.000 (0.000 to 2.000)"


def test_settings_that_are_lists_and_runs_without_seed(displayed):
    record("toy/run", [row({"widths": [3, 4.0], "name": None}, accuracy=1)])
    assert table(displayed)[0][1:3] == ["widths 3 4, name None", "–"]


def test_of_several_results_the_first_that_a_run_has_is_shown(displayed):
    record("toy/scores", [row({"seed": 0}, mig=0.5, psnr=25.0), row({"seed": 1}, mig=0.25, other=3)])
    assert table(displayed, result=("psnr", "mig"))[0][3] == "25.000 · mig 0.250"


def test_settings_of_another_run_are_not_repeated(displayed):
    record("toy/scores", [row({"draws": 3, "model": {"rate": 0.1, "steps": 5}}, accuracy=1)])
    assert table(displayed)[0][1] == "draws 3, model (2 settings)"


def test_usual_settings_are_told_only_where_they_differ(displayed):
    record("toy/run", [row({"rate": r, "steps": 5}, accuracy=1) for r in (0.1, 0.2, 0.1)])
    lines = table(displayed, usual={"rate": 0.1, "steps": 5})
    assert [line[1] for line in lines] == ["", "rate 0.2"]
    record("toy/other", [row({"rate": 0.2}, accuracy=1), row({"rate": 0.1}, accuracy=1)])
    assert [line[1] for line in table(displayed, usual={"rate": 0.1, "steps": 5})][2:] == ["", "rate 0.1"]


def test_a_table_of_nothing(displayed):
    reporting.run_table()
    record("toy/empty", [])
    reporting.run_table()
    assert displayed[0][1]["workbook"]["table"] == 1


def test_the_table_holds_whole_sentences(displayed):
    why = "because a sentence may well be longer than the fifty characters that pandas shows of it"
    record("toy/run", [row({"seed": 0}, accuracy=1.0)], why=why)
    reporting.run_table()
    assert why in displayed[0][0]["text/html"]
