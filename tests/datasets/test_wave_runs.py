"""Runs of waves: how they start, what is refused, the windows that are cut from them, and the files."""

import numpy as np
import pytest
import torch

from lib.datasets.waves import (
    SIZE,
    SPLITS,
    WaveWindows,
    gaussian,
    gaussians,
    main,
    simulate,
    wave_runs,
    wave_set,
)

# --- start fields and runs ------------------------------------------------------------------------------------------


def test_a_gaussian_has_the_height_width_and_place_it_was_asked_for():
    u = gaussian(10, 20, 32, variance=2.0, amplitude=5.0).double()
    assert u.shape == (1, 32, 32) and u.argmax() == 10 * 32 + 20 and u.max() == pytest.approx(5.0)
    share, cells = u[0] / u.sum(), torch.arange(32, dtype=torch.float64)
    assert (share.sum(1) * (cells - 10) ** 2).sum() == pytest.approx(2.0, rel=1e-4)
    assert (share.sum(0) * (cells - 20) ** 2).sum() == pytest.approx(2.0, rel=1e-4)
    several = gaussian(torch.tensor([1.0, 5.5]), torch.tensor([2.0, 3.0]), 9)
    assert torch.equal(several[1:], gaussian(5.5, 3.0, 9)) and several.shape == (2, 9, 9)


def test_start_places_are_spread_over_the_whole_membrane():
    start = gaussians(4000, 8, generator=torch.Generator().manual_seed(0))
    counts = torch.bincount(start.flatten(1).argmax(1), minlength=64)
    assert counts.min() > 30 and counts.max() < 100, f"62 ± 8 of 4000 belong to each cell; got {counts.tolist()}"


def test_several_sources_add_up():
    one, three = (gaussians(5, 16, num_sources=n, generator=torch.Generator().manual_seed(0)) for n in (1, 3))
    masses = [u.sum((1, 2)).max().item() for u in (one, three)]
    assert masses[1] == pytest.approx(3 * masses[0], rel=0.2) and (three >= 0).all()
    assert wave_runs(2, 3, size=16, num_sources=3).shape == (2, 3, 16, 16)


@pytest.mark.parametrize("size", [3, 5, 20])
def test_runs_come_in_other_sizes(size):
    runs = wave_runs(2, 4, size=size, skip_rate=3)
    assert runs.shape == (2, 4, size, size) and runs.dtype == torch.float32 and runs.isfinite().all()
    wide = simulate(torch.rand(1, size, size + 2), 4)
    assert wide.shape == (1, 4, size, size + 2), "a frame need not be square"


@pytest.mark.parametrize("use", SPLITS)
def test_one_seed_gives_one_set(use):
    first, again, other = (wave_set(use, size=8, share=0.02, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)
    runs, frames = SPLITS[use]
    assert first.shape == (round(0.02 * runs), frames, 8, 8)
    assert torch.equal(wave_set(use, size=8, share=0.1)[:2], wave_set(use, size=8, share=0.02)[:2]), "the first runs"


def test_training_validation_and_test_runs_start_at_different_places():
    starts = [wave_set(use, size=8, seed=seed)[:, 0] for use in SPLITS for seed in (0, 1)]
    assert [len(runs) for runs in starts] == [500, 500, 150, 150, 150, 150]
    rows = torch.cat(starts).flatten(1)
    assert len(rows.unique(dim=0)) == len(rows), "no start may occur twice, neither within a set nor in two sets"


def test_start_and_physics_reach_the_solver():
    start = wave_runs(2, 1, size=10)[:, 0]
    fast = wave_runs(2, 7, skip_rate=3, size=10, start="published", damping=0.5, speed=2.0)
    expected = simulate(start, 7, skip_rate=3, previous="published", damping=0.5, speed=2.0)
    assert torch.equal(fast, expected)


# --- refusals -------------------------------------------------------------------------------------------------------

BAD = {
    "an integer start": (lambda: simulate(torch.zeros(1, 5, 5, dtype=torch.long), 3), "floating point"),
    "a start without runs": (lambda: simulate(torch.zeros(5, 5), 3), r"\(N, H, W\)"),
    "no frames": (lambda: simulate(torch.zeros(1, 5, 5), 0), "num_frames ≥ 1"),
    "no steps": (lambda: simulate(torch.zeros(1, 5, 5), 3, skip_rate=0), "skip_rate ≥ 1"),
    "negative damping": (lambda: simulate(torch.zeros(1, 5, 5), 3, damping=-1.0), "damping ≥ 0"),
    "a start of no name": (lambda: simulate(torch.zeros(1, 5, 5), 3, previous="kick"), "rest, published.*'kick'"),
    "an obstacle of another shape": (
        lambda: simulate(torch.zeros(1, 5, 5), 3, obstacle=torch.zeros(6, 6, dtype=torch.bool)),
        r"bool \(5, 5\), got torch.bool \(6, 6\)",
    ),
    "a field before of another shape": (
        lambda: simulate(torch.zeros(1, 5, 5), 3, previous=torch.zeros(1, 6, 6)),
        r"\(1, 6, 6\)",
    ),
    "speeds of another shape": (lambda: simulate(torch.zeros(1, 5, 5), 3, speed=torch.ones(6, 6)), r"\(6, 6\)"),
    "an obstacle of numbers": (
        lambda: simulate(torch.ones(1, 5, 5), 3, obstacle=torch.eye(5, dtype=torch.int64)),
        "bool",
    ),
    "no runs": (lambda: wave_runs(0, 3), "num_runs ≥ 1"),
    "a tiny membrane": (lambda: wave_runs(1, 3, size=2), "size ≥ 3"),
    "no sources": (lambda: wave_runs(1, 3, num_sources=0), "num_sources ≥ 1"),
    "an unknown obstacle": (lambda: wave_runs(1, 3, obstacle="cat"), "none, slit, disc; got 'cat'"),
    "an unknown start": (lambda: wave_runs(1, 3, start="kick"), "rest, published"),
    "an unknown set": (lambda: wave_set("exam"), "train, validation, test; got 'exam'"),
    "an unstable run": (lambda: wave_runs(1, 3, speed=8.0), "0.707"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_arguments_are_named(what):
    call, message = BAD[what]
    with pytest.raises(ValueError, match=message):
        call()


# --- windows --------------------------------------------------------------------------------------------------------


def numbered(runs=4, frames=10):
    """Frames that carry their own number, 100 · run + frame: (runs, frames, 2, 2)."""
    numbers = 100 * torch.arange(runs)[:, None] + torch.arange(frames)
    return numbers[..., None, None].expand(runs, frames, 2, 2).float()


@pytest.mark.parametrize("sizes", [(1, 1, 0, 0), (2, 3, 0, 0), (3, 1, 2, 1), (4, 6, 0, 0)])
def test_windows_are_all_stretches_of_all_runs_once(sizes):
    context, rollout, start, end = sizes
    data = WaveWindows(numbered(), context, rollout, cut_start=start, cut_end=end)
    per_run = 10 - start - end - context - rollout + 1
    assert len(data) == 4 * per_run
    expected = {
        tuple(range(100 * run + first, 100 * run + first + context + rollout))
        for run in range(4)
        for first in range(start, start + per_run)
    }
    found = set()
    for index in range(len(data)):
        frames, target = data[index]
        assert frames.shape == (context, 2, 2) and target.shape == (rollout, 2, 2)
        found.add(tuple(torch.cat([frames, target])[:, 0, 0].int().tolist()))
    assert found == expected, "a stretch must consist of successive frames of one run, and none may be missing"


def test_a_share_takes_the_first_runs():
    data = WaveWindows(numbered(10), 2, 1, share=0.3)
    assert len(data) == 3 * 8 and data[len(data) - 1][1].max() == 209
    assert len(WaveWindows(numbered(10), 2, 1, share=0.001)) == 8, "at least one run"


def test_many_windows_are_fetched_at_once_and_drawn_from_all():
    data = WaveWindows(numbered(), 2, 3)
    frames, targets = data[torch.tensor([0, 7, 23])]
    assert frames.shape == (3, 2, 2, 2) and targets.shape == (3, 3, 2, 2)
    for row, index in enumerate((0, 7, 23)):
        assert torch.equal(frames[row], data[index][0]) and torch.equal(targets[row], data[index][1])
    batch, again = (data.draw(400, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(batch[0], again[0]) and batch[1].shape == (400, 3, 2, 2)
    assert len(batch[0][:, 0, 0, 0].unique()) == len(data), "400 draws should meet each of 24 stretches"
    with pytest.raises(IndexError, match="24 stretches"):
        data[24]
    with pytest.raises(IndexError, match="24 stretches"):
        data[-1]


def test_runs_that_are_too_short_are_refused():
    with pytest.raises(ValueError, match="10 frames, less 1 at the start and 2 at the end.*roll out fewer"):
        WaveWindows(numbered(), 4, 4, cut_start=1, cut_end=2)
    assert len(WaveWindows(numbered(), 4, 3, cut_start=1, cut_end=2)) == 4
    for options in ({"context_size": 0}, {"max_rollout_steps": 0}, {"cut_start": -1}, {"cut_end": -1}, {"share": 0.0}):
        with pytest.raises(ValueError, match=f"need .*{next(iter(options))}"):
            WaveWindows(numbered(), **{"context_size": 2} | options)
    with pytest.raises(ValueError, match="share ≤ 1"):
        WaveWindows(numbered(), 2, share=1.5)


# --- files ----------------------------------------------------------------------------------------------------------


def test_the_command_writes_six_files(tmp_path, capsys):
    main(["--folder", str(tmp_path / "waves"), "--share", "0.01"])
    files = sorted(file.name for file in (tmp_path / "waves").iterdir())
    assert files == sorted(f"waves_{speed}_{use}.npy" for speed in ("slow", "fast") for use in SPLITS)
    for speed, skip_rate in (("slow", 1), ("fast", 3)):
        for use, (runs, frames) in SPLITS.items():
            stored = np.load(tmp_path / "waves" / f"waves_{speed}_{use}.npy", allow_pickle=False)
            assert stored.shape == (max(1, round(0.01 * runs)), frames, SIZE, SIZE) and stored.dtype == np.float32
            assert np.array_equal(stored, wave_set(use, skip_rate, share=0.01).numpy()), f"{speed} {use}"
    assert "6 files" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--share", "0"], ["--share", "1.5"], ["--start", "kick"]])
def test_the_command_refuses_impossible_arguments(tmp_path, arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--folder", str(tmp_path / "waves"), *arguments])
    assert stopped.value.code == 2 and arguments[0] in capsys.readouterr().err
    assert not (tmp_path / "waves").exists(), "nothing may be written"
