"""A multirun as jobs: what Slurm says is told in a line. Its programs are stand-ins; with real ones, see
`tests/workbook/test_cluster.py`.
"""

import os

import pytest
from tiny_waves import UNET

from lib.experiments import waves
from lib.experiments.waves import slurm

RUNS = ["train", "-m", "hydra/launcher=slurm", *UNET, "seed=0,1"]
REFUSAL = (
    "echo 'sbatch: error: invalid partition specified: x' >&2; echo 'sbatch: error: submission failed' >&2; exit 1"
)


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A function that puts shell scripts by these names in the place of all programs."""
    for name in ("WORKBOOK_EXPORTS", "HYDRA_FULL_ERROR"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    monkeypatch.setattr("sys.argv", ["waves"])
    monkeypatch.setattr(slurm.SlurmJob, "_results_timeout_s", 0)

    def install(**scripts):
        folder = tmp_path / "programs"
        folder.mkdir()
        for name, text in scripts.items():
            (folder / name).write_text(f"#!/bin/sh\n{text}\n")
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))

    return install


def told(capsys):
    """The lines of what went wrong, without Hydra's own, which say what it queues."""
    return [line for line in capsys.readouterr().err.strip().splitlines() if "[HYDRA]" not in line]


def test_where_there_is_no_slurm_it_says_so(stores, programs, capsys):
    programs()
    assert waves.main(RUNS) == 1
    assert "are you indeed on a slurm cluster?" in capsys.readouterr().err


def test_what_sbatch_refuses_is_told_in_one_line(stores, programs, capsys):
    programs(srun="", sbatch=REFUSAL)
    assert waves.main(RUNS) == 1
    assert told(capsys) == ["Slurm: sbatch: error: invalid partition specified: x sbatch: error: submission failed"]


def test_a_job_that_leaves_the_queue_without_a_result_is_named(stores, programs, capsys):
    programs(srun="", sbatch="echo Submitted batch job 12", squeue="echo 11_0; echo 13")
    assert waves.main(RUNS) == 1
    (line,) = told(capsys)
    assert "12_0" in line and "has not produced any output" in line


def test_what_is_in_the_queue_in_whatever_state_has_not_ended():
    queue = slurm.Queue()
    for job in ("7_0", "7_1", "8"):
        queue.register_job(job)
    found = queue.read_info(b"7_0\n8\n")
    assert {job: facts["State"] for job, facts in found.items()} == {"7_0": "RUNNING", "7_1": "ENDED", "8": "RUNNING"}


@pytest.mark.parametrize("name", ["WORKBOOK_EXPORTS", "hydra.sweep.dir"])
def test_a_percent_sign_which_slurm_reads_as_a_pattern_is_refused_beforehand(
    name, stores, programs, monkeypatch, capsys
):
    programs(srun="", sbatch="echo Submitted batch job 12")
    folder = stores / "100%j"
    if name.startswith("WORKBOOK"):
        monkeypatch.setenv(name, str(folder))
    assert waves.main([*RUNS, *([] if name.startswith("WORKBOOK") else [f"{name}={folder}"])]) == 1
    (line,) = told(capsys)
    assert line.startswith(str(folder)) and "hydra.sweep.dir" in line
