"""One training shared by two processes, which torchrun starts: as good as one process with the same batches.

This file is also the program that the two processes run.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from lib import training
from lib.losses import forecast_loss
from lib.models import GAN, Discriminator, Generator, NextFrame, UNet
from lib.storage import tensors
from lib.storage.paths import ROOT
from lib.training import checkpoints, distributed
from lib.training.adversarial import fit_gan, update_discriminator, update_generator

X = torch.randn(40, 3, generator=torch.Generator().manual_seed(1))
Y = X.sin().sum(1, keepdim=True)
FRAMES = torch.randn(12, 6, 8, 8, generator=torch.Generator().manual_seed(2))
PICTURES = torch.rand(16, 3, 16, 16, generator=torch.Generator().manual_seed(3)) * 2 - 1


def squared_error(model, batch):
    return F.mse_loss(model(batch[0]), batch[1])


def fit_small(epochs=4, dropout=0.0, **options):
    """Batches of 13, 13, 13 and 1: the parts are 7 and 6, and the last one, too small to be shared, stays whole."""
    torch.manual_seed(0)
    layers = [torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Dropout(dropout), torch.nn.Linear(8, 1)]
    model = torch.nn.Sequential(*layers)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))

    def validate(model):
        return {"error": squared_error(model, (X, Y)).item()}

    options = {"schedule": schedule, "validate": validate, "clip": 0.5, "progress": False} | options
    batches = training.shuffled(X, Y, batch_size=13)
    history = training.fit(model, batches, squared_error, optimizer, epochs=epochs, **options)
    return {"model": model.state_dict(), "history": history}


def fit_unet():
    """The forecaster of the wave experiments, in closed loop."""
    torch.manual_seed(0)
    model = NextFrame(UNet(2, 1, [4, 8], [2], [1, 1]), 2, "extrapolate")
    optimizer = torch.optim.Adam(model.parameters(), lr=0.002)
    batches = training.shuffled(FRAMES[:, :4], FRAMES[:, 4:], batch_size=6)
    options = {"epochs": 2, "clip": 1.0, "progress": False}
    return {"history": training.fit(model, batches, forecast_loss, optimizer, **options), "model": model.state_dict()}


def networks():
    torch.manual_seed(0)
    gan = GAN(Generator(latent_size=4, width=4, size=16), Discriminator(width=4, size=16), decay=0.5)
    plain = [torch.optim.SGD(part.parameters(), lr=0.05) for part in (gan.discriminator, gan.generator)]
    return gan, plain


def train_gan(epochs=2, resume=None):
    gan, optimizers = networks()
    batches = training.shuffled(PICTURES, batch_size=8)
    validate = {"validate": lambda gan: {"weight": float(gan.average.module.layers[0].weight.sum())}}
    history = fit_gan(gan, batches, *optimizers, epochs=epochs, resume=resume, progress=False, **validate)
    return {"history": history, "generator": weights(gan.generator), "discriminator": weights(gan.discriminator)}


def weights(network):
    return {name: parameter.detach().clone() for name, parameter in network.named_parameters()}


def stored(folder):
    """`train_or_load`, asked twice."""

    def train(model, resume, log_dir):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        batches = training.shuffled(X, Y, batch_size=20)
        options = {"epochs": 2, "resume": resume, "log_dir": log_dir}
        return training.fit(model, batches, squared_error, optimizer, **options)

    def build():
        return torch.nn.Linear(3, 1)

    runs = [checkpoints.train_or_load("test/run", build, train, {"epochs": 2}) for _ in range(2)]
    return {"origins": [run.origin for run in runs], "model": runs[-1].model.state_dict()}


def work(folder):
    """What each of the two processes does."""
    torch.set_num_threads(1)
    results = {"processes": distributed.count(), "fit": fit_small(), "unet": fit_unet(), "gan": train_gan()}
    results["dropout"] = fit_small(dropout=0.5)
    fit_small(epochs=2, dropout=0.5, resume=folder / "interrupted")
    results["resumed"] = fit_small(dropout=0.5, resume=folder / "interrupted")
    train_gan(epochs=1, resume=folder / "gan")
    results["gan resumed"] = train_gan(resume=folder / "gan")
    results["stored"] = stored(folder)
    tensors.save(folder / f"process{torch.distributed.get_rank()}", results)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """(results of the two processes, their folder)."""
    folder = tmp_path_factory.mktemp("shared")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += ["--local-addr=127.0.0.1", __file__]  # also where the name of the machine leads nowhere
    stores = {"WORKBOOK_CHECKPOINTS": str(folder / "checkpoints"), "WORKBOOK_EXPORTS": str(folder / "exports")}
    environment = os.environ | stores | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [*command, str(folder)], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return [tensors.load(folder / f"process{rank}") for rank in (0, 1)], folder, done.stdout


def close(one, other, tolerance=1e-5):
    return all(torch.allclose(one[name], other[name], rtol=tolerance, atol=tolerance) for name in other)


def identical(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def without_time(history):
    return {name: values for name, values in history.items() if name != "seconds"}


@pytest.mark.parametrize(("name", "alone"), [("fit", fit_small), ("unet", fit_unet)])
def test_two_processes_train_like_one(name, alone, shared):
    (first, second), *_ = shared
    expected = alone()
    assert first["processes"] == second["processes"] == 2
    assert close(first[name]["model"], expected["model"]), "the same global batches must lead to the same weights"
    for quantity, values in without_time(expected["history"]).items():
        assert first[name]["history"][quantity] == pytest.approx(values, rel=1e-4), quantity


@pytest.mark.parametrize("name", ["fit", "unet", "dropout"])
def test_all_processes_end_with_the_same(name, shared):
    (first, second), *_ = shared
    assert identical(first[name]["model"], second[name]["model"])
    assert first[name]["history"] == second[name]["history"], "all decide by the main process's numbers"


def test_an_interrupted_training_ends_bit_for_bit_the_same(shared):
    for results in shared[0]:
        assert identical(results["resumed"]["model"], results["dropout"]["model"])
        assert without_time(results["resumed"]["history"]) == without_time(results["dropout"]["history"])
        for network in ("generator", "discriminator"):
            assert identical(results["gan resumed"][network], results["gan"][network])


def test_one_process_alone_writes(shared):
    (first, second), folder, printed = shared
    assert first["stored"]["origins"] == second["stored"]["origins"] == ["trained", "local"]
    assert identical(first["stored"]["model"], second["stored"]["model"])
    (file,) = (folder / "checkpoints" / "local" / "test" / "run").iterdir()
    assert file.suffix == ".safetensors"
    assert len([*(folder / "exports" / "runs" / "test" / "run").glob("events.*")]) == 1


def test_a_gan_follows_the_mean_of_both_parts(shared, monkeypatch):
    """Each process has its own pictures, noise and batch norm. Plain gradient descent makes that easy to say alone: the
    mean of the weights after two separate steps is where the step with the mean gradient leads.
    """
    (first, second), *_ = shared
    for network in ("generator", "discriminator"):
        assert identical(first["gan"][network], second["gan"][network])
    gans, generator = [networks(), networks()], torch.Generator().manual_seed(0)
    losses = []
    for epoch in range(2):
        noises = [torch.Generator().manual_seed(hash((0, epoch, rank))) for rank in (0, 1)]
        for (batch,) in training.shuffled(PICTURES, batch_size=8)(generator):
            for step in (update_discriminator, update_generator):
                for rank, (gan, optimizers) in enumerate(gans):
                    optimizer, noise = optimizers[step is update_generator], noises[rank]
                    told = step(gan.generator, gan.discriminator, optimizer, batch[rank::2], generator=noise)
                    losses.append(told["loss"])
                with torch.no_grad():
                    for one, other in zip(*(gan.parameters() for gan, _ in gans), strict=True):
                        mean = (one + other) / 2
                        one.copy_(mean), other.copy_(mean)
    assert close(first["gan"]["generator"], weights(gans[0][0].generator))
    assert close(first["gan"]["discriminator"], weights(gans[0][0].discriminator))
    # Two epochs of two batches, for each batch two steps in two processes: the losses of both networks in turn.
    expected = torch.tensor(losses).view(2, 2, 2, 2).mean((1, 3))
    for number, quantity in enumerate(("discriminator_loss", "generator_loss")):
        assert first["gan"]["history"][quantity] == pytest.approx(expected[:, number].tolist(), rel=1e-4)
    assert first["gan"]["history"] == second["gan"]["history"]


def test_alone_nothing_happens():
    batch, loss = (X, "name"), torch.tensor(1.0)
    generator = torch.Generator()
    assert distributed.count() == 1 and distributed.is_main()
    assert distributed.share(batch) is batch and distributed.average(None, loss, batch) is loss
    assert distributed.agree(batch) is batch and distributed.own_generator(generator, 0, 0) is generator
    before = torch.get_rng_state()
    distributed.reseed(0, 0)
    assert torch.equal(before, torch.get_rng_state())


if __name__ == "__main__":
    work(Path(sys.argv[1]))
