"""The workbook on a cluster: a real Slurm of one node, real batch scripts, real notebooks; nothing is made believe."""

import linecache
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import torch
import yaml
from local_slurm import PATH, LocalSlurm, missing, wait_for

from lib.storage import tensors
from lib.storage.paths import ROOT
from lib.workbook.cluster import records, slurm, submit
from lib.workbook.cluster.__main__ import main
from lib.workbook.cluster.states import state_of
from lib.workbook.notebooks import UsageError

WAIT = 240  # seconds, for what takes ten on an idle machine: beside two busy processes 80 were too few

# Small models, so that a start of Python is what takes the time.
SMALL = {"lengths": [3], "seeds": [0], "hidden_size": 4, "batch_size": 8, "max_steps": 100}
SMALL |= {"evaluation_size": 100, "ladder": [3, 4], "study_steps": 100, "compared_lengths": [3, 4]}
SMALL |= {"rates": [1e-3, 3e-3]}
SMALL |= {"curriculum": [4, 5], "curriculum_steps": 200}
TRAINING = """
import os, time, torch
from pathlib import Path
from torch.nn import functional as F
from lib import training
from lib.training import checkpoints, distributed

x = torch.randn(40, 3, generator=torch.Generator().manual_seed(1))
hold = Path(os.environ.get("HOLD", "nowhere"))
counts = {"first": 0, "second": 0}


def train_or_load(name):
    def loss(model, batch):
        counts[name] += 1
        while name == "second" and counts[name] == 8 and hold.exists():  # in the middle of the third epoch
            time.sleep(0.05)
        return F.mse_loss(model(batch[0]), batch[1])

    def train(model, resume, log_dir):
        batches = training.shuffled(x, x.sum(1, keepdim=True), batch_size=16)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        return training.fit(model, batches, loss, optimizer, epochs=6, resume=resume, progress=False)

    def build():
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1))

    return checkpoints.train_or_load(f"03_training/{name}", build, train, {"epochs": 6}, retrain=retrain)


runs = [train_or_load("first"), train_or_load("second")]
print(f"processes: {distributed.count()}; steps taken: {counts}")
"""


def needs_slurm(test):
    """Mark a test as one of `make test-system`, skipped visibly where there is no Slurm."""
    reason = f"needs {', '.join(missing())}: apt install slurm-wlm munge (Debian, Ubuntu)"
    return pytest.mark.system(pytest.mark.skipif(bool(missing()), reason=reason)(test))


def project(folder):
    """A copy of the workbook with three notebooks: the real 01, the real 02 with a mistake, and one that trains."""
    for name in ("lib", "cluster", "student"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "notebooks" / "profiles").mkdir(parents=True)
    for name in ("01_palindromes.ipynb", "glossary.md"):
        shutil.copy(ROOT / "notebooks" / name, folder / "notebooks")
    mistaken = nbformat.read(ROOT / "notebooks" / "02_memory.ipynb", 4)
    first = next(n for n, cell in enumerate(mistaken.cells) if "parameters" in cell.metadata.get("tags", []))
    mistaken.cells.insert(first + 1, nbformat.v4.new_code_cell("raise ValueError('a mistake')"))
    nbformat.write(mistaken, folder / "notebooks" / "02_memory.ipynb")
    (folder / "notebooks" / "profiles" / "smoke.yaml").write_text(yaml.safe_dump({"01_palindromes": SMALL}))
    (folder / "notebooks" / "profiles" / "gpu.yaml").write_text("{}")
    parameters = nbformat.v4.new_code_cell("retrain = False", metadata={"tags": ["parameters"]})
    cells = [nbformat.v4.new_markdown_cell("# 03 Training"), parameters, nbformat.v4.new_code_cell(TRAINING)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "notebooks" / "03_training.ipynb")
    return folder


class Workbook:
    """That copy on a cluster, and what was submitted from it."""

    def __init__(self, slurm, folder):
        self.slurm, self.root, self.hold = slurm, project(folder), folder / "hold"
        own = {"PYTHONPATH": str(folder), "HOLD": str(self.hold), "WORKBOOK_CPUS": "1", "WORKBOOK_MEMORY": ""}
        own |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{PATH}", "WORKBOOK_TIME": "15"}
        own |= {"WORKBOOK_EXPORTS": "", "WORKBOOK_CHECKPOINTS": ""}
        self.environment = slurm.environment | own
        self.files = folder / "exports" / "cluster"

    def call(self, *arguments, program=(sys.executable, "-m", "lib.workbook.cluster"), code=0, **environment):
        options = {"capture_output": True, "text": True, "timeout": WAIT, "cwd": self.root}
        done = subprocess.run([*program, *arguments], env=self.environment | environment, **options)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def state(self, job, number):
        return records.read(self.files / f"{job}_{number}.json").get("state")

    def told(self, job):
        """Everything known about a job, for the message of a wait that lasts too long."""
        logs = [f"--- {path.name}\n{path.read_text()[-2000:]}" for path in sorted(self.files.glob(f"{job}*.log"))]
        return "\n".join([f"job {job}", self.slurm.run("squeue", check=False), *logs, self.slurm.logs()])


@pytest.fixture(scope="module")
def workbook(tmp_path_factory):
    with LocalSlurm(cpus=3) as slurm:
        yield Workbook(slurm, tmp_path_factory.mktemp("workbook"))


@pytest.fixture(scope="module")
def finished(workbook):
    """What an array of all three notebooks leaves, its third task pre-empted in the middle of a training: a dict."""
    workbook.hold.touch()
    printed = workbook.call("submit", "--profile", "smoke", "--retrain", "1")
    job = cluster_job(printed)
    resume = workbook.root / "checkpoints" / "local" / "03_training" / "second"
    wait_for(lambda: [*resume.glob("*.resume")], WAIT, lambda: workbook.told(job))
    while_running = workbook.call("status")
    again = workbook.call("submit", "--only", "3", "--profile", "smoke", code=2)

    workbook.slurm.run("scancel", "--batch", "--signal=USR1", f"{job}_3")  # what comes before a time limit
    wait_for(lambda: workbook.slurm.job(f"{job}_3")["JobState"] == "PENDING", WAIT, lambda: workbook.told(job))
    interrupted, kept = workbook.call("status"), [*resume.glob("*.resume")]
    workbook.hold.unlink()
    restart(workbook, f"{job}_3")
    last = records.read(workbook.files / f"{job}.json")["summary"]
    ends = ("COMPLETED", "FAILED")
    wait_for(lambda: workbook.slurm.job(last)["JobState"] in ends, WAIT, lambda: workbook.told(job))
    return {
        "job": job,
        "last": last,
        "printed": printed,
        "while running": while_running,
        "again": again,
        "interrupted": interrupted,
        "kept": kept,
        "summary": (workbook.files / job / "summary.txt").read_text(),
        "logs": {number: (workbook.files / f"{job}_{number}.log").read_text() for number in (1, 2, 3)},
    }


def cluster_job(printed):
    return printed.split(" as job ")[1].split()[0]


def restart(workbook, task):
    """Slurm lets a job that was queued again wait for two minutes; here it need not, once it has really ended."""

    def started():
        workbook.slurm.run("scontrol", "update", f"JobId={task}", "StartTime=now", check=False)
        return workbook.slurm.job(task)["JobState"] != "PENDING"

    wait_for(started, WAIT, lambda: workbook.told(task))


# --- an array, its failure, its interruption ------------------------------------------------------------------------


@needs_slurm
def test_one_task_per_notebook_and_a_table_at_the_end(workbook, finished):
    lines = finished["summary"].splitlines()
    assert lines[0] == f"Job {finished['job']}: 2 of 3 notebooks done"
    words = {line.split()[0]: line.split() for line in lines[2:] if not line.startswith(" ")}
    node = workbook.slurm.run("hostname", "-s").strip()
    assert [words[name][1] for name in ("01_palindromes", "02_memory", "03_training")] == ["done", "failed", "done"]
    assert all(line[3] == node and float(line[2]) >= 0 for line in words.values())
    assert words["01_palindromes"][4] == "exports/01_palindromes.pdf"
    folder = workbook.files / finished["job"]
    assert {path.name for path in folder.iterdir()} == {"01_palindromes.pdf", "03_training.pdf", "summary.txt"}
    assert (folder / "01_palindromes.pdf").read_bytes().startswith(b"%PDF")


@needs_slurm
def test_a_failure_names_the_cell_and_the_log(workbook, finished):
    lines = finished["summary"].splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("02_memory"))
    assert "cell " in lines[at] and "ValueError" in lines[at] and "a mistake" in lines[at]
    assert lines[at + 1].strip() == f"log: exports/cluster/{finished['job']}_2.log"
    assert "FAILED: cell" in finished["logs"][2]


@needs_slurm
def test_exit_codes(workbook, finished):
    found = [workbook.slurm.job(f"{finished['job']}_{number}")["ExitCode"] for number in (1, 2, 3)]
    assert found == ["0:0", "1:0", "0:0"]
    assert workbook.slurm.job(finished["last"])["ExitCode"] == "1:0", "the summary fails where a notebook has failed"


@needs_slurm
def test_status_tells_what_runs_and_what_was_interrupted(finished):
    line = next(line for line in finished["while running"].splitlines() if line.startswith("03"))
    assert line.split()[1] == "running"
    line = next(line for line in finished["interrupted"].splitlines() if line.startswith("03"))
    assert line.split()[1] == "waiting" and "stopped once, goes on later" in line
    assert "in the queue already" in finished["again"] and finished["job"] in finished["again"]


@needs_slurm
def test_an_interrupted_notebook_ends_bit_for_bit_like_one_that_was_not(workbook, finished, stores):
    assert finished["kept"], "the training's state was lost when it was stopped"
    assert "stopped, and queued again" in finished["logs"][3] and "start 2" in finished["logs"][3]
    assert "03_training/first: loaded (local)" in copy_text(workbook), "RETRAIN repeats what the first start had done"
    steps = "steps taken: {'first': 0, 'second': 12}"  # 6 epochs of 3 steps; the first two epochs were done before
    assert steps in copy_text(workbook), "it began from nothing"

    names = {"retrain": False, "__name__": "__main__"}  # as in the notebook, whose code counts for the stored name
    linecache.cache["<training>"] = (len(TRAINING), None, TRAINING.splitlines(keepends=True), "<training>")
    exec(compile(TRAINING, "<training>", "exec"), names)  # without an interruption, into this test's own store
    for run in ("first", "second"):
        (one,) = (stores / "checkpoints" / "local" / "03_training" / run).glob("*.safetensors")
        (other,) = (workbook.root / "checkpoints" / "local" / "03_training" / run).glob("*.safetensors")
        assert one.name == other.name
        one, other = tensors.load(one), tensors.load(other)
        assert all(torch.equal(one["model"][name], other["model"][name]) for name in one["model"]), run
        assert {**one["history"], "seconds": 0} == {**other["history"], "seconds": 0}
    assert not [*(workbook.root / "checkpoints" / "local").rglob("*.resume")]


def copy_text(workbook):
    """What notebook 03 printed."""
    nb = nbformat.read(workbook.root / "exports" / "03_training" / "03_training.ipynb", 4)
    return "".join(output.get("text", "") for cell in nb.cells for output in cell.get("outputs", []))


@needs_slurm
def test_by_hand_and_cancelled(workbook, finished):
    """`sbatch` alone does the same; what its owner cancels does not come back."""
    workbook.hold.touch()
    command = ("sbatch", "--parsable", "--array=3,9", "cluster/report.sbatch")
    job = workbook.call(program=command, PROFILE="smoke", RETRAIN="1").strip()
    wait_for(lambda: workbook.state(job, 9) == "failed", WAIT, lambda: workbook.told(job))
    wait_for(lambda: workbook.state(job, 3) == "running", WAIT, lambda: workbook.told(job))
    workbook.slurm.run("scancel", job)
    wait_for(lambda: not workbook.slurm.run("squeue", "-h", "-j", job).strip(), WAIT, lambda: workbook.told(job))
    assert workbook.slurm.job(f"{job}_3")["JobState"] == "CANCELLED"
    lines = workbook.call("status", job).splitlines()
    assert any("no notebook 09; there are 01, 02, 03" in line for line in lines), lines
    assert any(line.startswith("03") and line.split()[1] in ("stopped", "lost") for line in lines), lines
    assert workbook.call("summary", code=1).startswith(f"Job {job}: 0 of 2"), "without a number: the last job"


ENGINE = """#!/bin/bash
# In place of Apptainer, which takes its image's own programs: exec [--nv] --bind … --pwd FOLDER IMAGE python …
[ "$1" = exec ] && shift
while [ "${1#--}" != "$1" ]; do [ "$1" = --nv ] || shift; shift; done
[ -f "$1" ] || { echo "no image $1" >&2; exit 255; }
echo "inside $1"
PATH=FOLDER exec "${@:2}"
"""


@needs_slurm
def test_in_a_container_where_there_is_no_slurm(workbook, finished):
    engine, image = workbook.root / "programs" / "apptainer", workbook.root / "workbook.sif"
    engine.parent.mkdir()
    engine.write_text(ENGINE.replace("FOLDER", str(Path(sys.executable).parent)))
    engine.chmod(0o755)
    image.touch()
    path = f"{engine.parent}{os.pathsep}{workbook.environment['PATH']}"
    own = {"PATH": path, "WORKBOOK_CONTAINER": str(image)}
    job = cluster_job(workbook.call("submit", "--profile", "smoke", "--only", "3", "--format", "none", **own))
    last = records.read(workbook.files / f"{job}.json")["summary"]
    ends = ("COMPLETED", "FAILED")
    wait_for(lambda: workbook.slurm.job(last)["JobState"] in ends, WAIT, lambda: workbook.told(job))
    logs = [(workbook.files / name).read_text() for name in (f"{job}_3.log", f"{job}_summary.log")]
    assert all(f"inside {image}" in text for text in logs), logs
    assert f"Job {job}: 1 of 1 notebooks done" in logs[1], logs
    assert workbook.slurm.job(last)["ExitCode"] == "0:0"


@needs_slurm
def test_one_training_shared_by_several_processes(workbook, finished, stores):
    """torchrun as a job, stopped in the middle of a training, queued again, and going on."""
    workbook.hold.touch()
    places = {"WORKBOOK_EXPORTS": str(stores / "exports"), "WORKBOOK_CHECKPOINTS": str(stores / "checkpoints")}
    train = ("-m", "lib.workbook", "train", "--only", "3", "--profile", "smoke", "--retrain", "1")
    command = ("sbatch", "--parsable", "cluster/train.sbatch", *train)
    job = workbook.call(program=command, WORKBOOK_PROCESSES="2", **places).strip()
    log, trained = workbook.root / f"slurm-{job}.out", stores / "checkpoints" / "local" / "03_training"

    def told():
        return workbook.told(job) + (log.read_text() if log.exists() else "no log")

    wait_for(lambda: [*trained.glob("second/*.resume")], WAIT, told)
    workbook.slurm.run("scancel", "--batch", "--signal=USR1", job)
    wait_for(lambda: workbook.slurm.job(job)["JobState"] == "PENDING", WAIT, told)
    workbook.hold.unlink()
    restart(workbook, job)
    wait_for(lambda: workbook.slurm.job(job)["JobState"] in ("COMPLETED", "FAILED"), WAIT, told)
    assert workbook.slurm.job(job)["ExitCode"] == "0:0", told()
    text = log.read_text()
    assert "03_training/first: loaded (local)" in text, "--retrain repeats what the first start had done"
    assert "stopped, and queued again" in text and "going on where an interrupted training stopped" in text
    assert text.count("processes: 2; steps taken: {'first': 0, 'second': 12}") == 1, "the main process alone prints"
    assert len([*trained.glob("*/*.safetensors")]) == 2 and not [*trained.rglob("*.resume")]


# --- sweeps ---------------------------------------------------------------------------------------------------------


@needs_slurm
def test_a_multirun_of_the_wave_experiments_goes_to_the_queue(workbook, finished, stores):
    tiny = ["data.share=0.01", "data.size=16", "training.steps=1", "training.predictions_per_step=2"]
    tiny += ["model.c_list=[4,8]", "model.spatial_factor_list=[2]", "model.num_block_list=[1,1]", "seed=0,1"]
    launcher = {"gpus_per_node": "null", "mem_gb": "null", "cpus_per_task": 1, "timeout_min": 15}
    where = ["-m", "hydra/launcher=slurm", *(f"hydra.launcher.{name}={value}" for name, value in launcher.items())]
    program = (sys.executable, "-m", "lib.experiments.waves", "train")
    places = {"WORKBOOK_EXPORTS": str(stores / "exports"), "WORKBOOK_CHECKPOINTS": str(stores / "checkpoints")}
    workbook.call(*where, *tiny, program=program, **places, OMP_NUM_THREADS="1")
    (multirun,) = (stores / "exports" / "runs" / "waves").iterdir()
    for number in (0, 1):
        assert (multirun / str(number) / "model.safetensors").is_file()
        assert f"seed: {number}" in (multirun / str(number) / ".hydra" / "config.yaml").read_text()
    tasks = sorted(path.parent.name.split("_") for path in (multirun / ".submitit").glob("*/*_submitted.pkl"))
    assert [number for _, number in tasks] == ["0", "1"] and tasks[0][0] == tasks[1][0], "one array job for both"
    trained = (stores / "checkpoints" / "local" / "waves" / "run").glob("*.safetensors")
    assert len([*trained]) == 2


@needs_slurm
def test_a_multirun_that_is_cancelled_or_refused_ends_with_a_line(workbook, finished, stores):
    """There is no accounting here: of what has left the queue nobody knows more."""
    where = ["-m", "hydra/launcher=slurm", "data.share=0.01", "data.size=16", "training.steps=1000000", "seed=0,1"]
    where += [f"hydra.launcher.{name}" for name in ("gpus_per_node=null", "mem_gb=null", "cpus_per_task=1")]
    program = (sys.executable, "-m", "lib.experiments.waves", "train")
    places = {"WORKBOOK_EXPORTS": str(stores / "exports"), "WORKBOOK_CHECKPOINTS": str(stores / "checkpoints")}
    said = workbook.call(*where, program=program, code=1, **places, WORKBOOK_PARTITION="nowhere")
    (line,) = (line for line in said.splitlines() if "[HYDRA]" not in line)
    assert line.startswith("Slurm: sbatch: error: invalid partition specified: nowhere")

    command = [*program, *where, "hydra.launcher.timeout_min=15"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "cwd": workbook.root}
    with subprocess.Popen(command, env=workbook.environment | places, **pipes) as waiting:
        wait_for(lambda: "waves" in workbook.slurm.run("squeue", "--format=%j"), WAIT, lambda: "nothing is queued")
        workbook.slurm.run("scancel", "--name=waves")
        said, _ = waiting.communicate(timeout=WAIT)
    lines = [line for line in said.splitlines() if "has not produced any output" in line]
    assert waiting.returncode == 1 and len(lines) == 1 and "Traceback" not in said, said
    assert "Traceback" not in said


# --- without a cluster ----------------------------------------------------------------------------------------------


def test_where_there_is_no_slurm_it_says_so(monkeypatch, capsys):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match="no squeue here"):
        slurm.call("squeue")
    assert main(["status"]) == 2
    assert "nothing was submitted from here yet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            "echo 'sbatch: error: no such partition' >&2; echo 'sbatch: error: failed' >&2; exit 1",
            "no such partition; failed",
        ),
        ("exit 3", "exit code 3"),
        ("printf 'sbatch: \\377' >&2; exit 1", "\ufffd"),
    ],
)
def test_what_slurm_refuses_is_told_in_one_line(script, message, tmp_path, monkeypatch):
    (tmp_path / "sbatch").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(UsageError) as caught:
        slurm.call("sbatch")
    assert str(caught.value) == f"sbatch: {message}"


def test_programs_that_do_not_answer_are_named(monkeypatch):
    def run(command, timeout, **options):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(slurm.subprocess, "run", run)
    with pytest.raises(UsageError, match="sh has not answered"):
        slurm.call("sh")


def test_options_with_an_open_quotation_are_refused(monkeypatch, stores, capsys):
    monkeypatch.setenv("WORKBOOK_OPTIONS", '--comment="abc')
    assert main(["submit", "--only", "1", "--profile", "smoke"]) == 2
    assert capsys.readouterr().err.strip() == 'WORKBOOK_OPTIONS=--comment="abc: No closing quotation'


def test_a_job_without_its_summary_is_not_lost(stores, monkeypatch, tmp_path, capsys):
    """The script stands in for sbatch: it takes the notebooks and refuses the summary. % must reach Slurm doubled."""
    monkeypatch.setenv("WORKBOOK_EXPORTS", str(stores / "50%a"))
    refused = "*afterany*) echo 'sbatch: error: full' >&2; exit 1"
    script = f'#!/bin/sh\ncase "$*" in {refused};; *) echo "$@" >{tmp_path}/asked; echo 77;; esac\n'
    for name, text in (("sbatch", script), ("squeue", "#!/bin/sh\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert main(["submit", "--only", "1,2", "--profile", "smoke"]) == 2
    assert capsys.readouterr().err.strip() == "job 77 is queued, but no summary after it: sbatch: full"
    assert records.numbers("77") == {1, 2} and "/50%%a/cluster/%A_%a.log" in (tmp_path / "asked").read_text()


def test_of_what_waits_for_ever_the_reason_is_told():
    line = state_of("7", 1, ("pending", "PartitionTimeLimit"))
    assert line["state"] == "waiting" and "lower WORKBOOK_TIME" in line["result"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--profile", "huge"], "no profile 'huge'; there are cpu, smoke, gpu"),
        (["--only", "44"], "no notebook 44"),
        (["--retrain", "2"], "no RETRAIN=2"),
        (["--format", "doc"], "no format 'doc'"),
    ],
)
def test_what_cannot_be_run_is_refused_before_it_is_queued(arguments, message, capsys):
    assert main(["submit", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_the_environment_wins_over_the_settings_file(monkeypatch):
    for name in [name for name in os.environ if name.startswith("WORKBOOK_")]:
        monkeypatch.delenv(name)
    assert submit.settings("gpu")["WORKBOOK_GRES"] == "gpu:1" and submit.settings("smoke")["WORKBOOK_GRES"] == ""
    monkeypatch.setenv("WORKBOOK_GRES", "")
    monkeypatch.setenv("WORKBOOK_MEMORY", "2G")
    found = submit.settings("gpu")
    assert found["WORKBOOK_GRES"] == "" and found["WORKBOOK_MEMORY"] == "2G", "also where it is empty"
    text = (ROOT / "cluster" / "settings.sh").read_text("utf-8")
    assert all(name in text for name in found)
    used = {*submit.COMMON.values(), *submit.OWN.values()}
    scripts = "".join(path.read_text("utf-8") for path in (ROOT / "cluster").glob("*.s*") if path.name != "settings.sh")
    scripts += (ROOT / "lib" / "workbook" / "cluster" / "submit.py").read_text("utf-8")
    unused = [name for name in found if name not in used and name not in scripts]
    assert not unused, f"settings without an effect: {unused}"


@pytest.mark.parametrize("name", ["report.sbatch", "summary.sbatch", "train.sbatch", "settings.sh", "environment.sh"])
def test_the_scripts_are_shell(name):
    done = subprocess.run(["bash", "-n", str(ROOT / "cluster" / name)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert b"\r" not in (ROOT / "cluster" / name).read_bytes(), "sbatch takes no Windows line ends"


@pytest.mark.parametrize("name", ["container.def", "Dockerfile"])
def test_the_container_recipes_name_what_there_is(name):
    """They cannot be built without an engine; what they copy, the targets they name and the versions are looked at."""
    text = (ROOT / "cluster" / name).read_text("utf-8")
    if name == "Dockerfile":
        copied = [word for line in re.findall(r"^COPY (.+) \S+$", text, re.M) for word in line.split()]
    else:
        copied = re.findall(r"^    (\S+) /workbook/\S+$", text, re.M)
    assert {*copied} == {"requirements.txt", "pyproject.toml", "README.md", "lib"}, "what pip needs, and nothing else"
    assert all((ROOT / file).exists() for file in copied)
    (python,) = re.findall(r"^(?:FROM|From:) python:([\d.]+)-slim$", text, re.M)
    assert f"python={python}\n" in (ROOT / "environment.yml").read_text("utf-8"), "the Python of environment.yml"
    assert "install --no-cache-dir -r requirements.txt" in text, "every version comes from the pins"
    targets = set(re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text("utf-8"), re.M).group(1).split())
    named = {*re.findall(r"(?:sif|workbook|WORKBOOK_CONTAINER=\S+) make ([a-z-]+)", text)}
    assert "report" in named and named <= targets
