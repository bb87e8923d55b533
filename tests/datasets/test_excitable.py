"""The excitable medium: repeatable, periodic, and excitable indeed."""

import subprocess
import sys

import numpy as np

from lib.datasets.excitable import BETA, EPSILON, GAMMA, rate_of_change, runs
from lib.storage.paths import ROOT


def test_runs_are_repeated_by_their_seed_and_differ():
    first, again, other = (runs(2, num_frames=3, size=12, seed=seed) for seed in (0, 0, 1))
    assert first.shape == (2, 3, 12, 12) and first.dtype == np.float32
    assert (first == again).all() and not np.allclose(first, other) and not np.allclose(first[0], first[1])


def test_the_medium_has_no_walls():
    """What is shifted around the square changes at shifted rates."""
    state = np.random.default_rng(0).normal(size=(2, 8, 8))
    rates = rate_of_change(0, state.ravel(), 8).reshape(2, 8, 8)
    shifted = np.roll(state, (3, 5), (1, 2))
    np.testing.assert_allclose(rate_of_change(0, shifted.ravel(), 8).reshape(2, 8, 8), np.roll(rates, (3, 5), (1, 2)))


def test_it_rests_where_both_rates_are_zero():
    (u,) = (root.real for root in np.roots([-1 / 3, 0, 1 - 1 / GAMMA, -BETA / GAMMA]) if abs(root.imag) < 1e-9)
    v = (u + BETA) / GAMMA  # from the second equation; the first is then the cubic above
    rates = rate_of_change(0, np.repeat([u, v], 16), 4)
    assert np.abs(rates).max() < 1e-12 and EPSILON < 1, "v is the slow one"


def test_the_printed_command_writes_the_file_that_the_next_one_reads(tmp_path):
    command = [sys.executable, "-m", "lib.datasets.excitable", "--folder", tmp_path, "--runs", "1"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert np.load(tmp_path / "excitable.npy").shape == (1, 61, 32, 32)
