"""What is stored, and what is believed: foreign files, what a kill leaves behind, weights that are not numbers."""

from pathlib import Path

import pytest
import torch
from toys import CELLS, Counter, Toy, Trainer, ask, same, sweep

from lib.storage import tensors
from lib.storage.files import CheckpointError, read_table, write_table
from lib.training import TrainingError, checkpoints, states

# --- foreign files in the places of ours ----------------------------------------------------------------------------


def shipped(monkeypatch, call):
    monkeypatch.setenv("WORKBOOK_SHIP", "1")
    call()
    monkeypatch.delenv("WORKBOOK_SHIP")


def without(part):
    def write(path, stored):
        tensors.save(path, {name: value for name, value in stored.items() if name != part})

    return write


FOREIGN = {
    "the weights alone": lambda path, stored: tensors.save(path, stored["model"]),
    "a list": lambda path, stored: tensors.save(path, [stored]),
    "a number": lambda path, stored: tensors.save(path, 3.0),
    "a table": lambda path, stored: write_table(path, [{"settings": stored["settings"], "source": stored["source"]}]),
    "a history that is none": lambda path, stored: tensors.save(path, stored | {"history": [1]}),
    "weights that are none": lambda path, stored: tensors.save(path, stored | {"model": "weights"}),
    "settings that are none": lambda path, stored: tensors.save(path, stored | {"settings": None}),
} | {f"no {part}": without(part) for part in ("settings", "source", "model", "history", "seconds")}


@pytest.mark.parametrize("place", ["local", "shipped"])
@pytest.mark.parametrize("write", FOREIGN.values(), ids=FOREIGN)
def test_no_foreign_file_passes_for_a_training(write, place, stores, monkeypatch, capsys):
    shipped(monkeypatch, ask)
    store = stores / "checkpoints"
    (local,) = (store / "local" / "toy" / "run").iterdir()
    path = local if place == "local" else store / "toy" / "run.safetensors"
    stored = tensors.load(path)
    local.unlink()
    (store / "toy" / "run.safetensors").unlink()
    write(path, stored)
    capsys.readouterr()
    assert ask().origin == "trained"
    ignored, *_ = capsys.readouterr().out.splitlines()
    assert ignored.startswith("Ignored: checkpoints/") and path.name in ignored


ROWS = {
    "numbers": lambda row: 3,
    "no result": lambda row: {"settings": row["settings"], "source": row["source"], "seconds": 1.0},
    "a result that is none": lambda row: row | {"result": [1, 2]},
    "no seconds": lambda row: {name: value for name, value in row.items() if name != "seconds"},
    "settings that are none": lambda row: row | {"settings": "all"},
}


@pytest.mark.parametrize("place", ["local", "shipped"])
@pytest.mark.parametrize("change", ROWS.values(), ids=ROWS)
def test_no_foreign_row_passes_for_a_run(change, place, stores, monkeypatch, capsys):
    shipped(monkeypatch, lambda: sweep(Counter()))
    store = stores / "checkpoints"
    path = store / "toy" / "sweep.json" if place == "shipped" else sorted((store / "local/toy/sweep").iterdir())[0]
    write_table(path, [change(row) for row in read_table(path)[0]])
    for other in [*(store / "local/toy/sweep").iterdir(), store / "toy" / "sweep.json"]:
        if other != path:
            other.unlink()
    counter = Counter()
    assert len(sweep(counter)) == len(counter.calls) == 4
    assert "Ignored: checkpoints/" in capsys.readouterr().out


# --- what a kill leaves behind --------------------------------------------------------------------------------------


class Steps(Trainer):
    """Counts its steps, too."""

    def __init__(self):
        super().__init__()
        self.steps = 0

    def train(self, model, resume, log_dir):
        model.register_forward_hook(lambda *_: setattr(self, "steps", self.steps + 1))
        return super().train(model, resume, log_dir)


@pytest.fixture
def killed_before_removing(monkeypatch):
    """The process ends after it has stored a result and before it has removed the state."""
    unlink = Path.unlink

    def kill(path, **options):
        if path.suffix == ".resume":
            raise KeyboardInterrupt
        unlink(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", kill)
        with pytest.raises(KeyboardInterrupt):
            ask(Steps())
    assert sorted(file.suffix for file in folder().iterdir()) == [".resume", ".safetensors"]


def folder():
    return checkpoints.local_folder() / "toy" / "run"


def test_a_retraining_after_such_a_kill_trains(killed_before_removing, capsys):
    trainer = Steps()
    trained = ask(trainer, retrain=True)
    assert trained.origin == "trained" and trainer.steps == 12
    assert "toy/run: training (asked to) …" in capsys.readouterr().out, "and does not go on where nothing is left"
    assert [file.suffix for file in folder().iterdir()] == [".safetensors"]


def test_loading_after_such_a_kill_removes_the_state(killed_before_removing):
    assert ask(Steps()).origin == "local" and [file.suffix for file in folder().iterdir()] == [".safetensors"]


def test_a_retraining_killed_before_it_was_stored_goes_on(stores, monkeypatch):
    """There the state is that of another training than the stored one, and nothing of it is lost."""
    ask(Steps())
    save = tensors.save

    def kill(path, tree):
        if path.suffix == ".safetensors":
            raise KeyboardInterrupt
        save(path, tree | {"history": tree["history"] | {"seconds": [90.0, 91.0, 92.0, 93.0]}})

    with monkeypatch.context() as patch:
        patch.setattr(tensors, "save", kill)
        with pytest.raises(KeyboardInterrupt):
            ask(Steps(), retrain=True)
    trainer = Steps()
    again = ask(trainer, retrain=True)
    assert (again.origin, again.seconds, trainer.steps) == ("trained", 93.0, 0)


def test_a_foreign_state_beside_a_stored_training_is_left_alone(stores):
    ask()
    (file,) = folder().iterdir()
    file.with_suffix(".resume").write_text("mine")
    assert ask().origin == "local" and file.with_suffix(".resume").read_text() == "mine"
    with pytest.raises(CheckpointError, match="resume is damaged"):
        ask(retrain=True)
    assert file.with_suffix(".resume").read_text() == "mine"


# --- weights that are not numbers -----------------------------------------------------------------------------------


def spoil(value):
    """A training whose own loop ends with such a weight."""

    def train(model, resume, log_dir):
        with torch.no_grad():
            model.layer.weight[0, 1] = value
        return {"step": [7], "loss": [0.5]}

    return train


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_not_stored(value, stores):
    with pytest.raises(TrainingError, match="step 7: layer.weight is no longer finite"):
        checkpoints.train_or_load("toy/run", Toy, spoil(value), {})
    assert not [*(stores / "checkpoints").rglob("*.safetensors")]


# --- models and functions -------------------------------------------------------------------------------------------


class Around(torch.nn.Module):
    """A new module around an old one."""

    def __init__(self, part):
        super().__init__()
        self.part, self.layer = part, torch.nn.Linear(3, 1)

    def forward(self, x):
        return self.part(x) + self.layer(x)


def test_a_model_with_a_part_that_was_trained_before_is_refused():
    part = ask().model
    for _ in range(2):
        with pytest.raises(CheckpointError, match="new model"):
            checkpoints.train_or_load("toy/around", lambda: Around(part), Trainer().train, {})
    part.requires_grad_(False)  # frozen, it stays what it is
    assert checkpoints.train_or_load("toy/around", lambda: Around(part), Trainer().train, {}).origin == "trained"


def test_a_training_that_returns_no_history():
    with pytest.raises(CheckpointError, match="toy/run: `train` must return the history, got a NoneType"):
        checkpoints.train_or_load("toy/run", Toy, lambda model, **paths: None, {})


def test_a_run_that_returns_no_results(stores):
    with pytest.raises(CheckpointError, match="toy/sweep: `run` must return a dict of results, got a float"):
        checkpoints.sweep("toy/sweep", lambda seed: 0.5, CELLS)
    assert not [*(stores / "checkpoints").rglob("*.json")]


# --- where nothing can be stored, and Ctrl+C ------------------------------------------------------------------------


def test_nothing_is_trained_where_nothing_can_be_stored(stores):
    (stores / "checkpoints").mkdir()
    (stores / "checkpoints" / "local").write_text("in the way")
    trainer, counter = Trainer(), Counter()
    for call in (lambda: ask(trainer), lambda: sweep(counter)):
        with pytest.raises(
            CheckpointError, match="nothing can be stored in .*local.*make it writable, or work in a copy"
        ):
            call()
    assert not trainer.runs and not counter.calls


def test_an_interrupted_sweep_says_what_is_kept():
    with pytest.raises(
        states.Stopped, match="Stopped after 3 of 4 runs, which are stored; run the cell again to go on"
    ):
        sweep(Counter(fail_at=3))
    with pytest.raises(states.Stopped, match="Stopped after 0 of 1 runs"):
        sweep(Counter(fail_at=0))


def test_a_training_interrupted_outside_its_loop_says_a_sentence_too(stores):
    def train(model, resume, log_dir):
        raise KeyboardInterrupt

    with pytest.raises(states.Stopped, match="Stopped before anything was stored"):
        checkpoints.train_or_load("toy/run", Toy, train, {})
    with pytest.raises(states.Stopped, match="Stopped at step 6, the last one that is stored; run the cell again"):
        ask(Trainer(crash_at=7))
    assert same(ask().model.state_dict(), ask(settings={"epochs": 20, "rate": 0.1, "again": 1}).model.state_dict())


def test_a_training_within_a_sweep_or_a_training_says_where_it_stopped():
    def run(seed):
        ask(Trainer(crash_at=7))

    with pytest.raises(states.Stopped, match="Stopped at step 6"):
        checkpoints.sweep("toy/sweep", run, CELLS)
