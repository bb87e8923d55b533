"""What has become of the notebooks of a job: state, time and node of each, as a table, and the reports gathered."""

import shutil
import time
from pathlib import Path

from lib.workbook.cluster import records
from lib.workbook.cluster.slurm import details, queued
from lib.workbook.notebooks import UsageError, short

REMEDIES = {  # for some of Slurm's words: why a task has ended, or why it waits
    "OUT_OF_MEMORY": ", raise WORKBOOK_MEMORY",
    "TIMEOUT": ", raise WORKBOOK_WARNING",
    "PartitionTimeLimit": ": `scancel` it, and lower WORKBOOK_TIME to what the partition allows (sinfo)",
}


def states(job):
    """One dict per notebook of an array job: number, name, state, minutes, node, result (report, or what went wrong).

    The state is one of waiting, running, done, failed, stopped, lost (ended without a word: killed by Slurm).

    Raises:
        UsageError: no such job was submitted from here.
    """
    numbers = records.numbers(job)
    if not numbers:
        there = f"there are {', '.join(records.jobs())}" if records.jobs() else "there are none yet: make cluster"
        raise UsageError(f"no job {job} was submitted from here; {there}")
    queue = queued(job)
    return [state_of(job, number, queue.get(number)) for number in sorted(numbers | set(queue))]


def state_of(job, number, queue):
    """A dict as in `states`, from what the task wrote and its place in the queue: (state, where), or None."""
    damage = ""
    try:
        found = records.read(records.folder() / f"{job}_{number}.json")
    except UsageError as error:
        found, damage = {}, str(error)
    state, seconds, node = found.get("state", "lost"), found.get("seconds", 0), found.get("node", "")
    result, log = found.get("report") or found.get("problem", ""), found.get("log", "")
    result = str(short(result)) if found.get("report") else result
    if queue is not None and queue[0] in ("running", "completing") and state in ("running", "lost"):
        state, node = "running", queue[1]
        seconds += time.time() - found.get("since", time.time()) if found.get("state") == "running" else 0
    elif queue is not None and state not in ("done", "failed"):
        state = "waiting"
        times = found.get("restarts", -1) + 1
        result = f"stopped {'once' if times == 1 else f'{times} times'}, goes on later" if found else ""
        result += f"{', ' if result else ''}{queue[1]}{REMEDIES.get(queue[1], '')}"
    elif state in ("running", "lost"):  # it says it runs, but it is not in the queue
        known = details(job, number)
        why, log = known.get("JobState", "no longer known to Slurm"), log or known.get("StdOut", "")
        state, result = "lost", damage or f"ended without a word: {why}{REMEDIES.get(why, '')}"
    name = records.notebook(number).stem
    line = {"number": number, "name": name, "state": state, "minutes": seconds / 60, "node": node}
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
            text.append(" " * len(start) + f"log: {short(line['log']) if line['log'] else 'none'}")
    return "\n".join(text)


def summary(job):
    """Gather the reports of a job in `exports/cluster/JOB/`, with the table as `summary.txt`; returns `states(job)`."""
    lines = states(job)
    folder = records.folder() / str(job)
    done = sum(line["state"] == "done" for line in lines)
    text = f"Job {job}: {done} of {len(lines)} notebooks done\n{table(lines)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for line in lines:
            if line["report"] and Path(line["report"]).is_file():
                shutil.copy2(line["report"], folder)
        (folder / "summary.txt").write_text(text + "\n", "utf-8")
    except OSError as error:
        raise UsageError(f"{text}\nThe reports cannot be gathered in {short(folder)}: {error}") from error
    print(f"{text}\nThe reports are gathered in {short(folder)}.")
    return lines
