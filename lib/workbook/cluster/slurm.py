"""Asking Slurm: what its programs print, what is in the queue, what it remembers of a task."""

import os
import re
import shutil
import subprocess

from lib.storage.paths import ROOT
from lib.workbook.notebooks import UsageError


def call(*command, environment=None):
    """What one of Slurm's programs prints.

    Raises:
        UsageError: it is not installed here, does not answer, or refuses; the message is its own, in one line.
    """
    if not shutil.which(command[0]):
        raise UsageError(f"there is no {command[0]} here: run this where the cluster's jobs are submitted")
    options = {"cwd": ROOT, "env": environment, "capture_output": True, "text": True, "errors": "replace"}
    try:
        done = subprocess.run(command, timeout=120, **options)
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"{command[0]} has not answered for two minutes; try again later") from error
    if done.returncode:
        lines = [re.sub(rf"^{command[0]}: (error: )?", "", line) for line in done.stderr.strip().splitlines()]
        raise UsageError(f"{command[0]}: {'; '.join(lines) or f'exit code {done.returncode}'}")
    return done.stdout.strip()


def queued(job):
    """Tasks of an array that wait or run, by number: (state, reason or node)."""
    if not shutil.which("squeue") and "SLURM_JOB_ID" in os.environ:
        return {}  # the summary in a container, which has no Slurm inside: it starts when none of them is left
    try:
        lines = call("squeue", "--noheader", "--array", f"--jobs={job}", "--format=%K|%T|%R").splitlines()
    except UsageError as error:
        if "Invalid job id" in str(error):  # finished so long ago that Slurm has forgotten it
            return {}
        raise
    tasks = [line.split("|", 2) for line in lines]
    return {int(number): (state.lower(), where.strip("()")) for number, state, where in tasks if number.isdigit()}


def details(job, number):
    """What Slurm remembers of a task: {"JobState": …, "StdOut": …}; empty if nothing."""
    try:
        text = call("scontrol", "--oneliner", "show", "job", f"{job}_{number}")
    except UsageError:
        return {}
    return dict(part.split("=", 1) for part in text.split() if "=" in part)
