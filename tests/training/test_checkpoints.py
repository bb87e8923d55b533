"""The choice to load or to train: a result belongs to its name, its settings and the code that computed it."""

import os
import re
import shutil
import types

import pytest
import torch
from toys import Counter, Toy, Trainer, ask, exchange, same, scalars, sweep, without_time, written

from lib import training
from lib.models import VanillaLSTM
from lib.storage import tensors
from lib.storage.files import CheckpointError
from lib.storage.paths import ROOT
from lib.training import checkpoints


def test_it_trains_once_and_loads_the_second_time(capsys, stores):
    trainer = Trainer()
    first = ask(trainer)
    assert "toy/run: training (no finished training found) …" in capsys.readouterr().out
    second = ask(trainer, seed=1)
    output = capsys.readouterr().out
    assert trainer.runs == 1 and re.search(r"toy/run: loaded \(local\); \d CPU-seconds, accuracy 0.5, weight", output)
    assert torch.equal(first.model.layer.weight, second.model.layer.weight)
    assert first.history == second.history and second.settings == {"epochs": 20, "rate": 0.1}
    assert second.result == {"accuracy": 0.5, "weight": second.history["weight"][-1]}
    assert (first.origin, second.origin) == ("trained", "local") and first.seconds == second.seconds
    assert [file.suffix for file in (stores / "checkpoints" / "local" / "toy" / "run").iterdir()] == [".safetensors"]


def test_loading_brings_the_tensorboard_events_back(stores):
    history = ask().history
    folder = stores / "exports" / "runs" / "toy" / "run"
    expected = scalars(folder)
    assert [step for step, _ in expected["loss"]] == history["step"]
    shutil.rmtree(folder)
    for _ in range(2):
        ask()
        assert scalars(folder) == expected
    ask(settings={"epochs": 21})  # another training writes into the same folder
    ask()
    assert scalars(folder) == expected, "the events must be those of the model that was loaded"


def test_the_message_says_what_differs_from_what_ships(capsys, monkeypatch):
    monkeypatch.setenv("WORKBOOK_SHIP", "1")
    ask()
    monkeypatch.delenv("WORKBOOK_SHIP")
    capsys.readouterr()
    ask(settings={"epochs": 50, "rate": 0.1})
    assert "toy/run: training (epochs 20 → 50) …" in capsys.readouterr().out
    assert not checkpoints.is_reference()
    ask(settings={"epochs": 20, "momentum": 0.9})
    assert "toy/run: training (momentum unset → 0.9, rate 0.1 → unset) …" in capsys.readouterr().out
    ask(sources=[VanillaLSTM])
    assert "toy/run: training (the code has changed: lib.models." in capsys.readouterr().out
    ask()
    assert "loaded (local)" in capsys.readouterr().out
    assert checkpoints.is_reference(), "asking again with the shipped settings makes the notebook a reference again"


def test_shipped_weights_load_only_into_the_shipped_class(capsys, monkeypatch, stores):
    monkeypatch.setenv("WORKBOOK_SHIP", "1")
    ask()
    monkeypatch.delenv("WORKBOOK_SHIP")

    class Mine(Toy):
        def forward(self, x):
            return super().forward(x)

    trainer = Trainer()
    run = checkpoints.train_or_load("toy/run", Mine, trainer.train, {"epochs": 20, "rate": 0.1})
    assert trainer.runs == 1 and run.origin == "trained" and not checkpoints.is_reference()
    assert "the code has changed: " in (output := capsys.readouterr().out) and "Mine" in output


def test_shipping_copies_and_the_local_store_wins(monkeypatch, stores, capsys):
    ask()
    shipped = stores / "checkpoints" / "toy" / "run.safetensors"
    assert not shipped.exists()
    monkeypatch.setenv("WORKBOOK_SHIP", "1")
    ask(retrain=True)
    assert "loaded (local)" in capsys.readouterr().out and shipped.exists(), "shipping never trains what is trained"
    monkeypatch.delenv("WORKBOOK_SHIP")
    first = shipped.read_bytes()
    again = ask(retrain=True, seed=5)
    assert again.origin == "trained" and shipped.read_bytes() == first, "only `make ship` writes what ships"
    loaded = ask()
    assert loaded.origin == "local" and torch.equal(loaded.model.layer.weight, again.model.layer.weight)
    for file in (stores / "checkpoints" / "local" / "toy" / "run").iterdir():
        file.unlink()
    assert ask().origin == "shipped"


def test_retraining_is_like_training_from_nothing(capsys):
    trainer = Trainer()
    first, loaded = ask(trainer), ask(trainer)
    again = ask(trainer, retrain=True)
    assert (loaded.origin, again.origin, trainer.runs) == ("local", "trained", 2)
    assert "training (asked to)" in capsys.readouterr().out
    assert same(again.model.state_dict(), first.model.state_dict()), "bit for bit, whatever was loaded before"
    assert without_time(again.history) == without_time(first.history)
    assert again.model is not loaded.model


def test_a_retraining_started_again_by_a_cluster_keeps_what_it_has_done(monkeypatch, stores):
    trainer, counter = Trainer(), Counter()
    ask(trainer), sweep(counter)
    for file in (stores / "checkpoints" / "local").rglob("*.*"):
        os.utime(file, (1000, 1000))
    monkeypatch.setenv("WORKBOOK_RETRAIN_SINCE", "2000")
    for origin in ("trained", "local"):
        assert ask(trainer, retrain=True).origin == origin
        sweep(counter, retrain=True)
        assert trainer.runs == 2 and len(counter.calls) == 8, "once again for each, and no more"


def test_a_killed_training_resumes_to_the_same_end(stores):
    with pytest.raises(KeyboardInterrupt):
        ask(Trainer(crash_at=7))
    (state,) = (stores / "checkpoints" / "local" / "toy" / "run").iterdir()
    assert state.suffix == ".resume"
    resumed = ask(seed=7)  # the fresh weights, whatever they are, give way to the stored ones
    assert [file.suffix for file in state.parent.iterdir()] == [".safetensors"]
    state.parent.joinpath(next(state.parent.iterdir()).name).unlink()
    whole = ask()
    assert torch.equal(resumed.model.layer.weight, whole.model.layer.weight)
    assert resumed.history["loss"] == whole.history["loss"]


def test_a_training_interrupted_in_its_first_epoch_begins_anew(stores):
    """As when a notebook's cell is interrupted and run again: the model that was half trained must not be taken up."""
    with pytest.raises(KeyboardInterrupt):
        ask(Trainer(crash_at=2))
    folder = stores / "checkpoints" / "local" / "toy" / "run"
    assert not folder.exists() or not [*folder.iterdir()], "before the end of an epoch nothing is stored"
    again = ask()
    (file,) = folder.iterdir()
    found = tensors.load(file)
    file.unlink()
    whole = ask()
    assert (again.origin, whole.origin) == ("trained", "trained")
    assert same(again.model.state_dict(), whole.model.state_dict()) and same(found["model"], whole.model.state_dict())
    assert without_time(again.history) == without_time(whole.history) == without_time(found["history"])


def test_half_precision(stores):
    whole, first = ask(), ask(half=True)
    assert torch.equal(first.model.layer.weight, whole.model.layer.weight.half().float()), "rounded when just trained"
    second = ask(half=True, seed=1)
    assert (second.origin, second.settings["precision"]) == ("local", "half")
    assert torch.equal(second.model.layer.weight, first.model.layer.weight)
    assert second.model.layer.weight.dtype == torch.float32
    folder = stores / "checkpoints" / "local" / "toy" / "run"
    kinds = {tensors.load(file)["model"]["layer.weight"].dtype for file in folder.iterdir()}
    assert kinds == {torch.float16, torch.float32}, "the two kinds do not stand in for each other"


def test_half_precision_of_numbers_that_are_too_large():
    def train(model, **paths):
        torch.nn.init.constant_(model.layer.weight, 1e6)
        return {"loss": [1.0]}

    with pytest.raises(CheckpointError, match="layer.weight has numbers beyond 65,504.*half=False"):
        checkpoints.train_or_load("toy/run", Toy, train, {}, half=True)


def test_damaged_files_are_named_and_passed_over(capsys, monkeypatch, stores):
    monkeypatch.setenv("WORKBOOK_SHIP", "1")
    ask()
    monkeypatch.delenv("WORKBOOK_SHIP")
    (local,) = (stores / "checkpoints" / "local" / "toy" / "run").iterdir()
    local.write_bytes(local.read_bytes()[:-1])
    capsys.readouterr()
    assert ask().origin == "shipped"
    output = capsys.readouterr().out
    assert output.startswith("Ignored: checkpoints/local/toy/run/") and "is damaged" in output
    shipped = stores / "checkpoints" / "toy" / "run.safetensors"
    shipped.write_bytes(b"damaged")
    assert ask().origin == "trained"
    assert "Ignored: checkpoints/toy/run.safetensors is damaged" in capsys.readouterr().out
    assert shipped.read_bytes() == b"damaged", "a damaged file is left alone"


def test_exchanged_files_are_not_believed(capsys, stores):
    trainer, settings = Trainer(), [{"rate": rate} for rate in (0.1, 0.2)]
    runs = [ask(trainer, given, seed=seed) for seed, given in enumerate(settings)]
    exchange(*(stores / "checkpoints" / "local" / "toy" / "run").iterdir())
    capsys.readouterr()
    for seed, given in enumerate(settings):
        again = ask(trainer, given, seed=seed)
        ignored, trained, _ = capsys.readouterr().out.splitlines()
        assert ignored.startswith("Ignored: checkpoints/local/toy/run/") and "of other settings or code" in ignored
        assert trained == "toy/run: training (no finished training found) …"
        assert again.origin == "trained" and trainer.runs == 3 + seed
        assert same(again.model.state_dict(), runs[seed].model.state_dict())
    for given in settings:
        assert ask(trainer, given).origin == "local", "what is trained again stands in the right place"


def test_exchanged_shipped_files_are_not_believed(capsys, monkeypatch, stores):
    monkeypatch.setenv("WORKBOOK_SHIP", "1")
    ask(), ask(name="toy/other", settings={"epochs": 30, "rate": 0.1})
    monkeypatch.delenv("WORKBOOK_SHIP")
    store = stores / "checkpoints"
    shutil.rmtree(store / "local")
    exchange(store / "toy" / "run.safetensors", store / "toy" / "other.safetensors")
    capsys.readouterr()
    assert ask().origin == "trained" and "training (epochs 30 → 20)" in capsys.readouterr().out


def test_settings_that_forget_the_size_of_the_model():
    size = types.SimpleNamespace(width=3)  # not a plain value, which would count

    def build():
        return Toy(size.width)

    checkpoints.train_or_load("toy/run", build, Trainer().train, {"epochs": 20})
    size.width = 4
    with pytest.raises(CheckpointError, match="toy/run: the stored weights do not fit.*name among the settings"):
        checkpoints.train_or_load("toy/run", build, Trainer().train, {"epochs": 20})


@pytest.mark.parametrize("build", [Toy(), None, "Toy"], ids=["module", "nothing", "text"])
def test_only_a_function_builds_a_model(build, stores):
    trainer = Trainer()
    with pytest.raises(CheckpointError, match="toy/run: `build` must be a function that returns a new model") as error:
        checkpoints.train_or_load("toy/run", build, trainer.train, {})
    assert f"for example `lambda: VanillaRNN(10, 128, 10)`, not a {type(build).__name__}" in str(error.value)
    assert "a model that exists may have been trained before" in str(error.value)
    assert not trainer.runs and not (stores / "checkpoints").exists()


@pytest.mark.parametrize("made", [None, Toy, {}], ids=["nothing", "class", "dict"])
def test_a_function_that_builds_no_model(made, stores):
    trainer = Trainer()
    with pytest.raises(CheckpointError, match="toy/run: `build` must return a torch module, got a") as error:
        checkpoints.train_or_load("toy/run", lambda: made, trainer.train, {})
    assert type(made).__name__ in str(error.value)
    assert not trainer.runs and not (stores / "checkpoints").exists()


@pytest.mark.parametrize("name", ["run", "a/b/c", "../run", "a/../b", "/a/b", "a b/c", "", "a/", "toy/..", "toy/."])
def test_impossible_names(name):
    with pytest.raises(CheckpointError, match="must look like 'notebook/run'"):
        ask(name=name)


def test_impossible_settings():
    with pytest.raises(CheckpointError, match="settings must be plain numbers"):
        ask(settings={"model": Toy()})


def test_the_order_of_settings_does_not_matter():
    ask(settings={"a": 1, "b": [1, 2]})
    assert ask(settings={"b": (1, 2), "a": 1}).origin == "local"


def test_records_for_the_run_table():
    for _ in range(2):  # as when a cell is run again
        ask(why="because")
        ask(name="toy/other")
    assert [(record["name"], record["why"]) for record in checkpoints.RECORDS] == [
        ("toy/run", "because"),
        ("toy/other", ""),
    ]
    assert checkpoints.RECORDS[0]["rows"][0]["result"]["accuracy"] == 0.5


def test_the_local_store_is_a_part_of_the_other(stores):
    assert checkpoints.local_folder() == stores / "checkpoints" / "local"


# --- code -----------------------------------------------------------------------------------------------------------

CODE = '''
def build():
    torch.manual_seed(0)
    return Toy()

def train(model, resume, log_dir):
    """How it is trained."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batches = training.shuffled(DATA, batch_size=8)
    # as always
    return training.fit(model, batches, loss, optimizer, epochs=2, resume=resume, progress=False)

def loss(model, batch):
    return (model(batch[0]) - 1).square().mean()
'''


@pytest.mark.parametrize(
    ("old", "new", "origin"),
    [
        ("optim.SGD", "optim.Adam", "trained"),
        ("lr=0.1", "lr=0.2", "trained"),
        ("batch_size=8", "batch_size=4", "trained"),
        ("manual_seed(0)", "manual_seed(1)", "trained"),
        ("return Toy()", "model = Toy()\n    torch.nn.init.zeros_(model.layer.bias)\n    return model", "trained"),
        ("# as always", "# as never before", "local"),
        ("    # as always\n", "\n\n", "local"),
        ("return Toy()", "return Toy()  # a small one", "local"),
        ("How it is trained.", "How it is\n    trained.", "local"),
    ],
)
def test_changed_code_is_trained_again_and_a_comment_is_not(old, new, origin):
    assert old in CODE
    runs = []
    for text in (CODE, CODE.replace(old, new)):
        names = written(text, torch=torch, training=training, Toy=Toy, DATA=torch.linspace(0, 1, 24).view(8, 3))
        runs.append(checkpoints.train_or_load("toy/code", names["build"], names["train"], {}))
    assert [run.origin for run in runs] == ["trained", origin]


NOTEBOOK = """
import torch
from torch import nn
from lib import training
from lib.training import checkpoints

class Mine(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)

    @property
    def factor(self):
        return {factor}

    def forward(self, x):  # {comment}
        return self.layer(x) * self.factor

def train(model, **keep):
    optimizer = torch.optim.SGD(model.parameters(), lr={rate})
    batches = lambda generator: [torch.ones(2, 1)]
    return training.fit(model, batches, lambda m, x: m(x).square().mean(), optimizer, epochs=2, progress=False, **keep)

def build():
    torch.manual_seed(0)
    return Mine()

run = checkpoints.train_or_load("toy/mine", build, train, {{"seed": 0}})
"""


def test_what_a_notebook_defines_is_trained_once_and_again_when_its_code_changes():
    import nbclient  # slow to import, which would slow down the processes that other tests start
    import nbformat

    versions = [(2, "a", 0.1), (2, "a", 0.1), (2, "b", 0.1), (3, "b", 0.1), (2, "c", 0.1), (2, "c", 0.2)]
    texts = [NOTEBOOK.format(factor=factor, comment=text, rate=rate) for factor, text, rate in versions]
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in texts])
    os.environ["PYTHONPATH"] = str(ROOT)
    nbclient.NotebookClient(nb, kernel_name="python3", timeout=120).execute()
    printed = ["".join(o.text for o in cell.outputs if o.get("name") == "stdout") for cell in nb.cells]
    assert ["trained;" in text for text in printed] == [True, False, False, True, False, True], printed
    assert ["loaded (local)" in text for text in printed] == [False, True, True, False, True, False], printed


def test_exchanged_states_of_interrupted_trainings_are_not_taken_up(stores):
    settings = [{"rate": rate} for rate in (0.1, 0.2)]
    for seed, given in enumerate(settings):
        with pytest.raises(KeyboardInterrupt):
            ask(Trainer(crash_at=7), given, seed=seed)
    exchange(*(stores / "checkpoints" / "local" / "toy" / "run").iterdir())
    again = ask(settings=settings[0])
    shutil.rmtree(stores / "checkpoints")
    assert same(again.model.state_dict(), ask(settings=settings[0]).model.state_dict())


@pytest.mark.parametrize("place", ["local", "shipped"])
def test_a_state_in_the_place_of_a_finished_training_is_passed_over(place, stores, capsys):
    """Both are files of this workbook, undamaged."""
    with pytest.raises(KeyboardInterrupt):
        ask(Trainer(crash_at=7))
    store = stores / "checkpoints"
    (state,) = (store / "local" / "toy" / "run").iterdir()
    target = state.with_suffix(".safetensors") if place == "local" else store / "toy" / "run.safetensors"
    target.parent.mkdir(exist_ok=True)
    state.rename(target)
    assert ask().origin == "trained" and "Ignored: checkpoints/" in capsys.readouterr().out


def test_a_function_that_gives_out_an_old_model_is_refused():
    model = Toy()
    with pytest.raises(KeyboardInterrupt):
        checkpoints.train_or_load("toy/run", lambda: model, Trainer(crash_at=2).train, {})
    with pytest.raises(CheckpointError, match="new model"):
        checkpoints.train_or_load("toy/run", lambda: model, Trainer().train, {})
