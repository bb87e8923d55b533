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
    for name in ("WORKBOOK_EXPORTS", "WORKBOOK_RUN", "HYDRA_FULL_ERROR"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    monkeypatch.setattr("sys.argv", ["waves"])
    monkeypatch.setattr(slurm, "PATIENCE", 0)

    def install(**scripts):
        folder = tmp_path / "programs"
        folder.mkdir()
        for name, text in scripts.items():
            (folder / name).write_text(f"#!/bin/sh\n{text}\n")
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))

    return install


def test_where_there_is_no_slurm_it_says_so(stores, programs, capsys):
    programs()
    assert waves.main(RUNS) == 2
    assert capsys.readouterr().err.strip().startswith("there is no Slurm here")


def test_what_sbatch_refuses_is_told_in_one_line(stores, programs, capsys):
    programs(srun="", sbatch=REFUSAL)
    assert waves.main(RUNS) == 2
    said = capsys.readouterr().err.strip()
    assert said == "sbatch refuses: invalid partition specified: x; submission failed"


def test_jobs_that_leave_the_queue_without_a_result_are_named(stores, programs, capsys):
    programs(srun="", sbatch="echo Submitted batch job 12", squeue="echo 11_0; echo 13")
    assert waves.main(RUNS) == 1
    said = capsys.readouterr()
    assert "Queued 2 runs as job 12" in said.out
    first, second = said.err.strip().splitlines()
    assert "0: job 12_0 was cancelled or killed" in first and "1: job 12_1" in second and "12_1_0_log.err" in second


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
    assert waves.main([*RUNS, *([] if name.startswith("WORKBOOK") else [f"{name}={folder}"])]) == 2
    said = capsys.readouterr().err
    assert f"would go to {folder}" in said and "hydra.sweep.dir" in said and not folder.exists()
