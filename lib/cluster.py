"""The workbook on a Slurm cluster: `python -m lib.cluster submit`, `status`, `summary`; `make cluster` calls nothing
else.

One array task per notebook (`cluster/report.sbatch`), numbered like the notebooks, and a job after them that gathers
the reports. Every task keeps a small file about itself, `exports/cluster/JOB_NUMBER.json`; together with the queue it
tells everything, so that no accounting database is needed. The folder must be seen by all nodes.
"""

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from lib import workbook
from lib.paths import ROOT, exports_folder
from lib.workbook import UsageError

STOPPED = 85  # exit code of a task that was told to stop and has more to do; `report.sbatch` then queues it again
PATIENCE = 60  # seconds that a notebook gets to stop
REMEDIES = {  # for some of Slurm's words: why a task has ended, or why it waits
    "OUT_OF_MEMORY": ", raise WORKBOOK_MEMORY",
    "TIMEOUT": ", raise WORKBOOK_WARNING",
    "PartitionTimeLimit": ": `scancel` it, and lower WORKBOOK_TIME to what the partition allows (sinfo)",
}


def cluster_folder():
    """Logs, and what the tasks write about themselves."""
    return exports_folder() / "cluster"


# --- asking Slurm ---------------------------------------------------------------------------------------------------


def slurm(*command, environment=None):
    """What one of Slurm's programs prints.

    Raises:
        UsageError: it is not installed here, or refuses; the message is its own.
    """
    if not shutil.which(command[0]):
        raise UsageError(f"there is no {command[0]} here: run this where the cluster's jobs are submitted")
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise UsageError(f"{command[0]}: {done.stderr.strip() or f'exit code {done.returncode}'}")
    return done.stdout.strip()


def queued(job):
    """Tasks of an array that wait or run, by number: (state, reason or node)."""
    if not shutil.which("squeue") and "SLURM_JOB_ID" in os.environ:
        return {}  # the summary in a container, which has no Slurm inside: it starts when none of them is left
    try:
        lines = slurm("squeue", "--noheader", "--array", f"--jobs={job}", "--format=%K|%T|%R").splitlines()
    except UsageError as error:
        if "Invalid job id" in str(error):  # finished so long ago that Slurm has forgotten it
            return {}
        raise
    tasks = [line.split("|") for line in lines]
    return {int(number): (state.lower(), where.strip("()")) for number, state, where in tasks if number.isdigit()}


def details(job, number):
    """What Slurm remembers of a task: {"JobState": …, "StdOut": …}; empty if nothing."""
    try:
        text = slurm("scontrol", "--oneliner", "show", "job", f"{job}_{number}")
    except UsageError:
        return {}
    return dict(part.split("=", 1) for part in text.split() if "=" in part)


# --- submitting -----------------------------------------------------------------------------------------------------


def settings(profile):
    """Names and values of `cluster/settings.sh`, the environment's own taking their place."""
    script = 'set -a; . cluster/settings.sh; python=; env -0 | grep -z "^WORKBOOK_"'
    environment = os.environ | {"PROFILE": profile}
    found = subprocess.run(["bash", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True)
    if found.returncode:
        raise UsageError(f"cluster/settings.sh: {found.stderr.strip() or 'sets nothing'}")
    return dict(line.split("=", 1) for line in found.stdout.split("\0") if line)


def submit(profile="gpu", only=None, retrain=None, form="pdf"):
    """Queue the notebooks and the summary after them; returns the number of the array job.

    Raises:
        UsageError: something asked for does not exist, one of the notebooks is in the queue already, or Slurm refuses.
    """
    if form not in ("pdf", "html", "none"):
        raise UsageError(f"no format {form!r}; there are pdf, html, none")
    paths = workbook.notebooks(only)
    for path in paths:  # what cannot be run is refused now, not in the queue
        workbook.parameters(path, profile, retrain)
    numbers = [int(path.name[:2]) for path in paths]
    for job in known_jobs():
        if busy := sorted(set(queued(job)) & set(numbers)):
            raise UsageError(
                f"notebook {', '.join(f'{number:02}' for number in busy)} is in the queue already, as job {job}: wait "
                f"for it (make cluster-status), or end it with `scancel {job}`"
            )
    folder = cluster_folder().resolve()
    folder.mkdir(parents=True, exist_ok=True)
    values = settings(profile)
    environment = os.environ | values | {"PROFILE": profile, "RETRAIN": retrain or "", "FORMAT": form}
    environment["WORKBOOK_EXPORTS"] = str(exports_folder().resolve())
    common = ["sbatch", "--parsable", f"--chdir={ROOT}", *shlex.split(values["WORKBOOK_OPTIONS"])]
    common += [f"--{name}={values[key]}" for name, key in _COMMON.items() if values[key]]
    own = [f"--{name}={values[key]}" for name, key in _OWN.items() if values[key]]
    array = ",".join(map(str, numbers)) + (f"%{values['WORKBOOK_AT_ONCE']}" if values["WORKBOOK_AT_ONCE"] else "")
    own += [f"--array={array}", f"--signal=B:USR1@{values['WORKBOOK_WARNING']}", f"--output={folder}/%A_%a.log"]
    job = slurm(*common, *own, "cluster/report.sbatch", environment=environment).split(";")[0]
    after = ["--dependency=afterany:" + job, f"--output={folder}/{job}_summary.log"]
    last = slurm(*common, *after, "cluster/summary.sbatch", job, environment=environment).split(";")[0]
    record = {"numbers": numbers, "profile": profile, "retrain": retrain, "summary": last}
    _write(folder / f"{job}.json", record)
    print(f"Queued {len(numbers)} of the notebooks as job {job} (profile {profile}), the summary as job {last}.")
    print(f"`make cluster-status` shows how far they are; `scancel {job} {last}` ends them.")
    return job


_COMMON = {"partition": "WORKBOOK_PARTITION", "account": "WORKBOOK_ACCOUNT"}
_OWN = {"gres": "WORKBOOK_GRES", "cpus-per-task": "WORKBOOK_CPUS", "mem": "WORKBOOK_MEMORY", "time": "WORKBOOK_TIME"}


# --- one task -------------------------------------------------------------------------------------------------------


def _write(path, content):
    """Store JSON so that whoever reads it meanwhile sees the old or the new one."""
    from lib.checkpoints import CheckpointError, write_atomically  # brings torch along, which asking need not wait for

    try:
        write_atomically(path, json.dumps(content).encode())
    except CheckpointError as error:
        raise UsageError(str(error)) from error


def _read(path):
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


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
    file = cluster_folder() / f"{job}_{number}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    state = _read(file)
    past = state.get("seconds", 0)
    state |= {"state": "running", "node": node, "since": time.time(), "restarts": state.get("restarts", -1) + 1}
    state |= {"seconds": past, "log": details(job, number).get("StdOut", ""), "problem": ""}
    _write(file, state)
    # By the clock of the disk on which the checkpoints lie; that of the next node may differ.
    begun = state["begun"] = state.get("begun", file.stat().st_mtime)
    _write(file, state)

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
    path = _path(number)
    if code == 0:
        copy = exports_folder() / path.stem / path.name
        state["report"] = str((copy if form == "none" else exports_folder() / f"{path.stem}.{form}").resolve())
    _write(file, state)
    return {"done": 0, "failed": 1, "stopped": STOPPED}[state["state"]]


def _path(number):
    try:
        return workbook.notebooks(str(number))[0]
    except UsageError:
        return Path(f"{number:02}_")


# --- what has become of them ----------------------------------------------------------------------------------------


def known_jobs():
    """Numbers of the array jobs that left files here, the newest last."""
    files = sorted(cluster_folder().glob("[0-9]*.json"), key=lambda file: file.stat().st_mtime)
    return list(dict.fromkeys(file.stem.split("_")[0] for file in reversed(files)))[::-1]


def states(job):
    """One dict per notebook of an array job: number, name, state, minutes, node, result (report, or what went wrong).

    The state is one of waiting, running, done, failed, stopped, lost (ended without a word: killed by Slurm).

    Raises:
        UsageError: no such job was submitted from here.
    """
    folder = cluster_folder()
    numbers = {*_read(folder / f"{job}.json").get("numbers", [])}
    numbers |= {int(file.stem.split("_")[1]) for file in folder.glob(f"{job}_*.json")}
    if not numbers:
        there = f"there are {', '.join(known_jobs())}" if known_jobs() else "there are none yet: make cluster"
        raise UsageError(f"no job {job} was submitted from here; {there}")
    queue = queued(job)
    return [_state(job, number, queue.get(number)) for number in sorted(numbers)]


def _state(job, number, queue):
    """A dict as in `states`, of what the task wrote and of its place in the queue, (state, where) or None."""
    found = _read(cluster_folder() / f"{job}_{number}.json")
    state, seconds, node = found.get("state", "lost"), found.get("seconds", 0), found.get("node", "")
    result, log = found.get("report") or found.get("problem", ""), found.get("log", "")
    result = str(workbook._short(result)) if found.get("report") else result
    if queue is not None and queue[0] in ("running", "completing") and state in ("running", "lost"):
        state, node = "running", queue[1]
        seconds += time.time() - found["since"] if found.get("state") == "running" else 0
    elif queue is not None and state not in ("done", "failed"):
        state = "waiting"
        times = found.get("restarts", -1) + 1
        result = f"stopped {'once' if times == 1 else f'{times} times'}, goes on later" if found else ""
        result += f"{', ' if result else ''}{queue[1]}{REMEDIES.get(queue[1], '')}"
    elif state in ("running", "lost"):  # it says it runs, but it is not in the queue
        known = details(job, number)
        why, log = known.get("JobState", "no longer known to Slurm"), log or known.get("StdOut", "")
        state, result = "lost", f"ended without a word: {why}{REMEDIES.get(why, '')}"
    line = {"number": number, "name": _path(number).stem, "state": state, "minutes": seconds / 60, "node": node}
    return line | {"result": result, "log": log, "restarts": found.get("restarts", 0), "report": found.get("report")}


def table(lines):
    """Lines of `states` as text; those that went wrong name their log."""
    width = max(8, *(len(line["name"]) for line in lines))
    nodes = max(4, *(len(line["node"]) for line in lines))
    text = [f"{'notebook':{width}}  state    minutes  {'node':{nodes}}  report, or what went wrong"]
    for line in lines:
        start = f"{line['name']:{width}}  {line['state']:7}  {line['minutes']:7.1f}  {line['node']:{nodes}}  "
        text.append((start + line["result"]).rstrip())
        if line["state"] in ("failed", "stopped", "lost"):
            text.append(" " * len(start) + f"log: {workbook._short(line['log']) if line['log'] else 'none'}")
    return "\n".join(text)


def summary(job):
    """Gather the reports of a job in `exports/cluster/JOB/`, with the table as `summary.txt`; returns `states(job)`."""
    lines = states(job)
    folder = cluster_folder() / str(job)
    folder.mkdir(parents=True, exist_ok=True)
    for line in lines:
        if line["report"] and Path(line["report"]).is_file():
            shutil.copy2(line["report"], folder)
    done = sum(line["state"] == "done" for line in lines)
    text = f"Job {job}: {done} of {len(lines)} notebooks done\n{table(lines)}"
    (folder / "summary.txt").write_text(text + "\n", "utf-8")
    print(f"{text}\nThe reports are gathered in {workbook._short(folder)}.")
    return lines


# --- command line ---------------------------------------------------------------------------------------------------


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m lib.cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    submitting = commands.add_parser("submit", help="queue the notebooks; settings: cluster/settings.sh")
    submitting.add_argument("--only", metavar="01,02", help="numbers of the notebooks (default: all)")
    submitting.add_argument("--profile", default="gpu", help=f"one of {', '.join(workbook.PROFILES)} (default: gpu)")
    submitting.add_argument("--retrain", metavar="1|all", help="1: train the headline models again; all: sweeps too")
    submitting.add_argument("--format", default="pdf", help="pdf (default), html or none")
    for name, text in (("status", "state, time, node of every notebook"), ("summary", "gather the reports too")):
        commands.add_parser(name, help=text).add_argument("job", nargs="?", help="array job (default: the last one)")
    commands.add_parser("task", help="what cluster/report.sbatch calls").add_argument("number", type=int)
    args = parser.parse_args(arguments)
    try:
        if args.command == "submit":
            submit(args.profile, args.only, args.retrain, args.format)
            return 0
        if args.command == "task":
            return task(args.number)
        job = args.job or (known_jobs() or [None])[-1]
        if job is None:
            raise UsageError("nothing was submitted from here yet: make cluster")
        if args.command == "status":
            print(f"Job {job}\n{table(states(job))}")
            return 0
        return int(any(line["state"] != "done" for line in summary(job)))
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
