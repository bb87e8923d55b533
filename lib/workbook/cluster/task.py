"""One notebook as a task of an array: run it, stop it when told to, keep a file about it."""

import os
import signal
import subprocess
import sys
import threading
import time

from lib.storage.paths import ROOT
from lib.workbook.cluster import records
from lib.workbook.cluster.slurm import details
from lib.workbook.notebooks import UsageError
from lib.workbook.run import produced

STOPPED = 85  # exit code of a task that was told to stop and has more to do; `report.sbatch` then queues it again
PATIENCE = 60  # seconds that a notebook gets to stop


def task(number):
    """Run the notebook of this number as a task of an array, and keep a file about it; called by `report.sbatch`.

    Told to stop (SIGTERM), it passes that on to the notebook. Started again, it goes on; with RETRAIN, what was trained
    since its first start is not trained again.

    Returns:
        0: done. 1: failed. 85: stopped with more to do.
    """
    job, node = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURMD_NODENAME", "")
    if not job:
        raise UsageError("this is what cluster/report.sbatch calls: submit that with sbatch, or use `make cluster`")
    stopped, process = threading.Event(), None

    def stop(*_):
        stopped.set()
        if process is not None:
            process.terminate()
            timer = threading.Timer(PATIENCE, process.kill)
            timer.daemon = True
            timer.start()

    signal.signal(signal.SIGTERM, stop)
    file = records.folder() / f"{job}_{number}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        state = records.read(file)
    except UsageError as error:  # it only tells of earlier starts
        print(error)
        state = {}
    past = state.get("seconds", 0)
    state |= {"state": "running", "node": node, "since": time.time(), "restarts": state.get("restarts", -1) + 1}
    state |= {"seconds": past, "log": details(job, number).get("StdOut", ""), "problem": ""}
    records.write(file, state)
    # By the clock of the disk on which the checkpoints lie; that of the next node may differ.
    begun = state["begun"] = state.get("begun", file.stat().st_mtime)
    records.write(file, state)

    profile, retrain = os.environ.get("PROFILE") or "gpu", os.environ.get("RETRAIN")
    form = os.environ.get("FORMAT") or "pdf"
    command = [sys.executable, "-m", "lib.workbook", "run", "--only", str(number), "--profile", profile]
    command += ["--format", form, *(["--retrain", retrain] if retrain else [])]
    environment = os.environ | {"WORKBOOK_RETRAIN_SINCE": str(begun)}
    print(f"notebook {number:02}, profile {profile}, on {node}, start {state['restarts'] + 1}", flush=True)
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "errors": "replace"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, **output)
    if stopped.is_set():  # between the two lines above
        process.terminate()
    problem = last = ""
    for line in process.stdout:
        print(line, end="", flush=True)
        last = line.strip() or last
        if "  FAILED: " in line:
            problem = line.split("  FAILED: ", 1)[1].strip()
    code = process.wait()
    state["seconds"] = round(past + time.time() - state["since"], 1)
    if code == 0:
        state["state"] = "done"
    elif stopped.is_set():  # an error while it is torn down is none of its own
        state["state"], state["problem"] = "stopped", "told to stop before it was done"
    else:
        state["state"] = "failed"
        state["problem"] = problem or last or f"exit code {code}"
    if code == 0:
        state["report"] = str(produced(records.notebook(number), form).resolve())
    records.write(file, state)
    return {"done": 0, "failed": 1, "stopped": STOPPED}[state["state"]]
