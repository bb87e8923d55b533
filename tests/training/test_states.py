"""States of trainings on their way: which are taken up, on other machines too, and what Ctrl+C says."""

import os
import shutil
import signal
import threading

import pytest
import torch
from toys import ask, fit, problem, same, squared_error

from lib import training
from lib.storage import tensors
from lib.storage.files import CheckpointError, write_table
from lib.storage.paths import ROOT
from lib.training import checkpoints, states

# --- what is taken up -----------------------------------------------------------------------------------------------


def finished(path):
    ask()
    (file,) = (checkpoints.local_folder() / "toy" / "run").iterdir()
    shutil.copy(file, path)


FOREIGN = {
    "the weights alone": lambda path: tensors.save(path, problem()[0].state_dict()),
    "a finished training": finished,
    "a list": lambda path: tensors.save(path, [torch.zeros(2)]),
    "a number": lambda path: tensors.save(path, 1),
    "a table": lambda path: write_table(path, [{"history": {}}]),
    "a text": lambda path: path.write_text("my notes"),
    "nothing": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("write", FOREIGN.values(), ids=FOREIGN)
def test_what_is_no_state_is_refused_and_left_alone(write, tmp_path):
    write(tmp_path / "state")
    before = (tmp_path / "state").read_bytes()
    model, data, optimizer = problem()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match="state is (not the state|damaged or not a safetensors)"):
        fit(model, data, optimizer, resume=tmp_path / "state")
    assert (tmp_path / "state").read_bytes() == before and same(model.state_dict(), weights)


@pytest.mark.parametrize("change", ["model", "optimiser"])
def test_the_state_of_another_model_or_optimiser_is_named(change, tmp_path):
    fit(*problem(), epochs=2, resume=tmp_path / "state")
    model, data, optimizer = problem()
    if change == "model":
        model[0] = torch.nn.Linear(3, 9)
        model[3] = torch.nn.Linear(9, 1)
        optimizer = torch.optim.Adam(model.parameters())
    else:
        optimizer = torch.optim.Adam([{"params": [p]} for p in model.parameters()])
    with pytest.raises(CheckpointError, match="the state state .* does not fit.*name among the settings"):
        fit(model, data, optimizer, epochs=4, resume=tmp_path / "state")


@pytest.mark.parametrize(("before", "now"), [(2, 1), (1, 2), (2, 2), (1, 0), (0, 1), (0, 0)])
def test_other_gpus_than_before(before, now, tmp_path, monkeypatch, capsys):
    """None in a machine for tests: torch is told that there are some."""
    fit(*problem(dropout=0.3), epochs=2, resume=tmp_path / "state")
    state = tensors.load(tmp_path / "state") | {"cuda": [torch.full((16,), n).byte() for n in range(before)]}
    restored = {}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: now > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: now)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: restored.update({device: state[0].item()}))
    model, _, optimizer = problem(dropout=0.3)
    history = states.restore(state, model, optimizer, None, torch.Generator())
    assert len(history["step"]) == 2 and restored == {number: number for number in range(min(before, now))}
    said = f"Going on with {now} visible GPUs instead of {before}: the end may differ from that without interruption\n"
    assert capsys.readouterr().out == (said if before != now else "")


# --- Ctrl+C ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def hearing():
    """Ctrl+C as in a terminal, whatever was pressed before; put back afterwards."""
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals arrive in the main thread")
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    states.deaf_until = 0.0
    signal.signal(signal.SIGINT, usual)


def interrupted_at(step, **options):
    """What is raised where Ctrl+C comes in this step of a training with three steps an epoch."""
    model, data, optimizer = problem()
    count = []

    def loss(model, batch):
        count.append(1)
        if len(count) == step:
            signal.raise_signal(signal.SIGINT)
        return squared_error(model, batch)

    batches = training.shuffled(*data, batch_size=16)
    with pytest.raises(states.Stopped) as stopped:
        training.fit(model, batches, loss, optimizer, epochs=1000, progress=False, **options)
    return stopped.value


@pytest.mark.parametrize(
    ("step", "kept", "sentence"),
    [
        (2, True, "Stopped before anything was stored; run the cell again to begin anew"),
        (5, False, "Stopped before anything was stored; run the cell again to begin anew"),
        (5, True, "Stopped at step 3, the last one that is stored; run the cell again to go on"),
        (1202, True, "Stopped at step 1,200, the last one that is stored; run the cell again to go on"),
    ],
)
def test_ctrl_c_says_one_sentence(step, kept, sentence, hearing, tmp_path):
    stopped = interrupted_at(step, resume=tmp_path / "state" if kept else None)
    assert isinstance(stopped, KeyboardInterrupt), "a program ends with the exit code of one"
    assert str(stopped) == sentence and stopped._render_traceback_() == [sentence]
    assert stopped.__cause__ is None and stopped.__suppress_context__


def test_an_impatient_second_ctrl_c_does_not_lose_the_sentence(hearing, monkeypatch):
    def sentence():
        for _ in range(3):
            signal.raise_signal(signal.SIGINT)
        return "Stopped", True

    for _ in range(2):  # a later training as well
        with pytest.raises(states.Stopped, match="Stopped"), states.interruptible(sentence):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # while the sentence is being shown
        monkeypatch.setattr(states, "deaf_until", 0.0)  # as a second later
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_the_innermost_training_that_goes_on_has_the_word():
    for inner, outer in (((True, "inner"), "inner"), ((False, "inner"), "outer")):
        goes_on, word = inner
        with (
            pytest.raises(states.Stopped, match=outer),
            states.interruptible(lambda: ("outer", True)),
            states.interruptible(lambda word=word, goes_on=goes_on: (word, goes_on)),
        ):
            raise KeyboardInterrupt


def test_other_programs_signal_handlers_stay(hearing):
    mine = signal.signal(signal.SIGINT, lambda *_: None)
    with pytest.raises(states.Stopped), states.interruptible(lambda: ("Stopped", True)):
        raise KeyboardInterrupt
    assert signal.signal(signal.SIGINT, mine) is not states.interrupt


NOTEBOOK = """
import signal, torch
from lib import training
from lib.training import checkpoints

def train(model, **keep):
    def batches(generator):
        for number in range(20):
            if number == 10:
                signal.raise_signal(signal.SIGINT)
            yield torch.ones(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return training.fit(model, batches, lambda m, x: m(x).square().mean(), optimizer, epochs=2, **keep)
"""


def test_in_a_notebook_it_is_one_line():
    import nbclient  # slow to import, which would slow down the processes that other tests start
    import nbformat

    call = 'checkpoints.train_or_load("toy/run", lambda: torch.nn.Linear(1, 1), train, {})'
    cells = [NOTEBOOK, call, "print('the kernel goes on')"]
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])
    os.environ["PYTHONPATH"] = str(ROOT)
    nbclient.NotebookClient(nb, kernel_name="python3", timeout=120, allow_errors=True).execute()
    (error,) = [output for output in nb.cells[1].outputs if output.output_type == "error"]
    assert error.traceback == ["Stopped before anything was stored; run the cell again to begin anew"]
    assert nb.cells[2].outputs[0].text == "the kernel goes on\n"
