"""A model, a training and a sweep so small that the tests can run them by the hundred, and what compares them."""

import linecache

import torch
from torch.nn import functional as F

from lib import training
from lib.training import checkpoints

# --- for the loop ---------------------------------------------------------------------------------------------------


def problem(seed=0, dropout=0.0):
    """A small regression: model, data, optimiser."""
    torch.manual_seed(seed)
    model = torch.nn.Sequential(
        torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Dropout(dropout), torch.nn.Linear(8, 1)
    )
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(1))
    return model, (x, x.sum(1, keepdim=True)), torch.optim.Adam(model.parameters(), lr=0.02)


def squared_error(model, batch):
    return F.mse_loss(model(batch[0]), batch[1])


def fit(model, data, optimizer, **options):
    options = {"epochs": 5, "progress": False} | options
    return training.fit(model, training.shuffled(*data, batch_size=16), squared_error, optimizer, **options)


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def without_time(history):
    return {name: values for name, values in history.items() if name != "seconds"}


def scalars(folder):
    """TensorBoard's scalars in a folder: dict of tag: list of (step, value)."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


# --- for what is stored ---------------------------------------------------------------------------------------------


class Toy(torch.nn.Module):
    def __init__(self, width=3):
        super().__init__()
        self.layer = torch.nn.Linear(width, 1)

    def forward(self, x):
        return self.layer(x)


class Trainer:
    """Counts the trainings, and is interrupted before one of its steps if asked to; an epoch has three steps."""

    def __init__(self, crash_at=None):
        self.runs, self.crash_at = 0, crash_at

    def train(self, model, resume, log_dir):
        self.runs += 1
        steps = []

        def batches(generator):
            for _ in range(3):
                if len(steps) == self.crash_at:
                    raise KeyboardInterrupt
                steps.append(1)
                yield torch.randn(8, 3, generator=generator)

        return training.fit(
            model,
            batches,
            lambda model, x: (model(x) - x.sum(1, keepdim=True)).square().mean(),
            torch.optim.SGD(model.parameters(), lr=0.1),
            epochs=4,
            validate=lambda model: {"accuracy": 0.5, "weight": model.layer.weight[0, 0].item()},
            progress=False,
            resume=resume,
            log_dir=log_dir,
        )


def ask(trainer=None, settings=None, name="toy/run", **options):
    """`train_or_load`; each `seed` makes other weights, so that one can tell which were loaded."""
    torch.manual_seed(options.pop("seed", 0))
    settings = {"epochs": 20, "rate": 0.1} if settings is None else settings
    return checkpoints.train_or_load(name, Toy, (trainer or Trainer()).train, settings, **options)


class Counter:
    """The function of a sweep: remembers its calls, and is interrupted at one of them if asked to."""

    def __init__(self, fail_at=None):
        self.calls, self.fail_at = [], fail_at

    def run(self, seed, length=5):
        if len(self.calls) == self.fail_at:
            raise KeyboardInterrupt
        self.calls.append((seed, length))
        return {"accuracy": seed / 10, "curve": (0.5, length)}


CELLS = [{"seed": seed} for seed in range(4)]


def sweep(counter, cells=CELLS, settings=None, **options):
    return checkpoints.sweep("toy/sweep", counter.run, cells, settings, **options)


def written(text, **names):
    """Names that a text defines, whose functions have a source as if it stood in a file."""
    file = f"<written {hash(text)}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    names["__name__"] = "written"
    exec(compile(text, file, "exec"), names)
    return names


def exchange(one, other):
    """Give each of two files the name of the other one."""
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second), other.write_bytes(first)
