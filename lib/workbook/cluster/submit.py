"""Queue the notebooks, with the settings of `cluster/settings.sh`."""

import os
import shlex
import subprocess

from lib.storage.paths import ROOT, exports_folder
from lib.workbook import notebooks
from lib.workbook.cluster import records
from lib.workbook.cluster.slurm import call, queued
from lib.workbook.notebooks import UsageError
from lib.workbook.run import check_format

# Options of sbatch: those of both jobs, and those of the notebooks alone.
COMMON = {"partition": "WORKBOOK_PARTITION", "account": "WORKBOOK_ACCOUNT"}
OWN = {"gres": "WORKBOOK_GRES", "cpus-per-task": "WORKBOOK_CPUS", "mem": "WORKBOOK_MEMORY", "time": "WORKBOOK_TIME"}


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
    check_format(form)
    paths = notebooks.paths(only)
    for path in paths:  # what cannot be run is refused now, not in the queue
        notebooks.parameters(path, profile, retrain)
    numbers = [int(path.name[:2]) for path in paths]
    for job in records.jobs():
        if busy := sorted(set(queued(job)) & set(numbers)):
            raise UsageError(
                f"notebook {', '.join(f'{number:02}' for number in busy)} is in the queue already, as job {job}: wait "
                f"for it (make cluster-status), or end it with `scancel {job}`"
            )
    folder = records.folder().resolve()
    folder.mkdir(parents=True, exist_ok=True)
    values = settings(profile)
    environment = os.environ | values | {"PROFILE": profile, "RETRAIN": retrain or "", "FORMAT": form}
    environment["WORKBOOK_EXPORTS"] = str(exports_folder().resolve())
    try:
        options = shlex.split(values["WORKBOOK_OPTIONS"])
    except ValueError as error:
        raise UsageError(f"WORKBOOK_OPTIONS={values['WORKBOOK_OPTIONS']}: {error}") from error
    common = ["sbatch", "--parsable", f"--chdir={ROOT}", *options]
    common += [f"--{name}={values[key]}" for name, key in COMMON.items() if values[key]]
    own = [f"--{name}={values[key]}" for name, key in OWN.items() if values[key]]
    array = ",".join(map(str, numbers)) + (f"%{values['WORKBOOK_AT_ONCE']}" if values["WORKBOOK_AT_ONCE"] else "")
    logs = str(folder).replace("%", "%%")  # which Slurm reads as one
    own += [f"--array={array}", f"--signal=B:USR1@{values['WORKBOOK_WARNING']}", f"--output={logs}/%A_%a.log"]
    job = call(*common, *own, "cluster/report.sbatch", environment=environment).split(";")[0]
    record = {"numbers": numbers, "profile": profile, "retrain": retrain}
    records.write(folder / f"{job}.json", record)
    after = ["--dependency=afterany:" + job, f"--output={logs}/{job}_summary.log"]
    try:
        last = call(*common, *after, "cluster/summary.sbatch", job, environment=environment).split(";")[0]
    except UsageError as error:
        raise UsageError(f"job {job} is queued, but no summary after it: {error}") from error
    records.write(folder / f"{job}.json", record | {"summary": last})
    print(f"Queued {len(numbers)} of the notebooks as job {job} (profile {profile}), the summary as job {last}.")
    print(f"`make cluster-status` shows how far they are; `scancel {job} {last}` ends them.")
    return job
