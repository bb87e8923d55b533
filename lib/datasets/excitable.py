"""Waves in an excitable medium, made by another solver than ours, as an example of runs of one's own.

    python -m lib.datasets.excitable --folder data
    python -m lib.experiments.waves train data.path=data/excitable.npy model.padding=circular evaluation.warm_up=20

The FitzHugh–Nagumo equations, u_t = D Δu + u - u³/3 - v and v_t = ε (u + β - γ v), on a square without walls (what
leaves at one side comes in at the other), integrated by `scipy.integrate.solve_ivp`. Only u is written: what v was has
to be read off the last frames.
"""

import argparse
import io
from pathlib import Path

import numpy as np
from scipy.integrate import solve_ivp
from scipy.ndimage import gaussian_filter, laplace
from tqdm import tqdm

from lib.storage.files import write_atomically
from lib.storage.paths import ROOT

D, EPSILON, BETA, GAMMA = 1.0, 0.08, 0.7, 0.8  # FitzHugh's constants (1961); the cells are one unit wide


def rate_of_change(_, state, size):
    """Time derivative of (u, v), all in one vector."""
    u, v = state.reshape(2, size, size)
    spread = D * laplace(u, mode="wrap")
    return np.stack([spread + u - u**3 / 3 - v, EPSILON * (u + BETA - GAMMA * v)]).ravel()


def runs(count, num_frames=61, size=32, seed=0):
    """u of `count` runs from random smooth fields, a frame for each unit of time: float32 (count, num_frames, size,
    size)."""
    generator, frames = np.random.default_rng(seed), []
    for _ in tqdm(range(count), unit="run"):
        start = [gaussian_filter(generator.normal(size=(size, size)), 3, mode="wrap") for _ in range(2)]
        start = [2 * field / field.std() for field in start]
        times = range(num_frames)
        solved = solve_ivp(rate_of_change, (0, num_frames - 1), np.ravel(start), "RK45", times, args=(size,))
        frames.append(solved.y[: size * size].T.reshape(num_frames, size, size))
    return np.array(frames, dtype=np.float32)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m lib.datasets.excitable", description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=ROOT / "data", help="where to write (default: data/)")
    parser.add_argument("--runs", type=int, default=100, help="how many (default: 100)")
    options = parser.parse_args()
    content = io.BytesIO()
    np.save(content, runs(options.runs))
    write_atomically(options.folder / "excitable.npy", content.getbuffer())
