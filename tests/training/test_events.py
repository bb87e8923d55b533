"""TensorBoard's logs are a help, and never a reason for a training to stop."""

import pytest
import torch
from toys import ask, fit, problem, same, scalars

from lib.training import events


@pytest.fixture(autouse=True)
def untold(monkeypatch):
    monkeypatch.setattr(events, "told", False)


@pytest.fixture
def blocked(tmp_path):
    """A folder in which nothing can be made, whoever asks: a file is in the way."""
    (tmp_path / "file").write_text("in the way")
    return tmp_path / "file" / "log"


def test_a_folder_that_cannot_be_written_istold_once(blocked, capsys):
    model, data, optimizer = problem()
    fit(model, data, optimizer, log_dir=blocked)
    fit(*problem(), log_dir=blocked)
    events.write(blocked, {"step": [1], "loss": [0.5]}, "mark")
    output = capsys.readouterr().out
    assert output.count("No TensorBoard logs: cannot write into ") == output.count("\n") == 1
    assert "WORKBOOK_EXPORTS" in output
    other, data, optimizer = problem()
    fit(other, data, optimizer)
    assert same(model.state_dict(), other.state_dict()), "the training is the same without"


def test_training_and_loading_with_exports_that_cannot_be_written(stores, capsys):
    (stores / "exports").write_text("in the way")
    first = ask()
    second = ask(seed=1)
    assert (first.origin, second.origin) == ("trained", "local")
    assert torch.equal(first.model.layer.weight, second.model.layer.weight)
    assert capsys.readouterr().out.count("No TensorBoard logs") == 1


def test_a_disk_that_becomes_full(tmp_path, capsys, monkeypatch):
    from torch.utils.tensorboard import SummaryWriter

    def full(*_):
        raise OSError(28, "No space left on device")

    model, data, optimizer = problem()
    monkeypatch.setattr(SummaryWriter, "add_scalar", full)
    assert len(fit(model, data, optimizer, log_dir=tmp_path, epochs=4)["step"]) == 4
    assert capsys.readouterr().out.count("No space left on device") == 1


def test_a_whole_history_is_written_once(tmp_path):
    history = {"step": [3, 6], "loss": [0.5, 0.25], "text": ["a", "b"]}
    for mark in ("one", "one", "two"):
        events.write(tmp_path, history, mark)
        assert scalars(tmp_path) == {"loss": [(3, 0.5), (6, 0.25)]}
        assert len([*tmp_path.glob("events.*")]) == 1 and (tmp_path / events.NOTE).read_text() == mark
    events.write(tmp_path / "empty", {}, "mark")
    assert not (tmp_path / "empty").exists()
