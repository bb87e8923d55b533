"""A multirun on Slurm by submitit, changed in three points: whether a job has ended is asked of the queue, which every
Slurm has, not of an accounting database; all jobs are waited for, also after one has failed; and what goes wrong is
told in a line.
"""

import contextlib
import getpass
import io
import re
import shlex
import time
from pathlib import Path

import submitit
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher
from omegaconf import OmegaConf
from submitit.core.utils import FailedSubmissionError, UncompletedJobError
from submitit.slurm.slurm import SlurmInfoWatcher, SlurmJob

from lib.experiments.waves.settings import SettingsError
from lib.training import TrainingError

PATIENCE = 15  # seconds for a result to appear after its job has left the queue: disks are shared


def install():
    """Let `hydra/launcher=slurm` mean this module; Hydra itself takes launchers from its own package only."""
    name = f"{SlurmLauncher.__module__}.{SlurmLauncher.__qualname__}"
    Plugins.instance().class_name_to_class[name] = Launcher
    SlurmJob.watcher = Queue(delay_s=60)


class Queue(SlurmInfoWatcher):
    """What has become of the jobs: what is not in the queue has ended."""

    def _make_command(self):
        return ["squeue", "--noheader", "--array", "--format=%i", f"--user={getpass.getuser()}"]

    def read_info(self, string):
        queued = {*(string if isinstance(string, str) else string.decode()).split()}
        return {job: {"State": "RUNNING" if job in queued else "ENDED"} for job in self._registered}


class Launcher(SlurmLauncher):
    """Queues the runs of a multirun as one array job, and returns when the last one has ended."""

    def launch(self, job_overrides, initial_job_idx):
        """See `hydra.plugins.launcher.Launcher`.

        Raises:
            SettingsError: Slurm refuses the job. TrainingError: some of the runs have failed; a line for each.
        """
        folder = Path(str(self.config.hydra.sweep.dir)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        everywhere = OmegaConf.structured(BaseQueueConf)
        own = {name: value for name, value in self.params.items() if value not in (None, "")}
        place, timeouts = own.pop("submitit_folder"), own.pop("max_num_timeout")
        numbers = range(initial_job_idx, initial_job_idx + len(job_overrides))
        states = [Singleton.get_state()] * len(numbers)
        keys, names = ["hydra.sweep.dir"] * len(numbers), [f"job_id_for_{number}" for number in numbers]
        try:
            executor = submitit.AutoExecutor(place, cluster="slurm", slurm_max_num_timeout=timeouts)
            executor.update_parameters(**{n if n in everywhere else f"slurm_{n}": v for n, v in own.items()})
            with contextlib.redirect_stderr(io.StringIO()):  # it stands in the exception, too
                jobs = executor.map_array(self, [list(texts) for texts in job_overrides], keys, numbers, names, states)
        except (UncompletedJobError, FailedSubmissionError) as error:
            said = "; ".join(re.sub("^sbatch: (error: )?", "", line) for line in str(error).strip().splitlines())
            raise SettingsError(f"sbatch refuses: {said}") from error
        except RuntimeError as error:  # submitit has looked for srun
            raise SettingsError("there is no Slurm here: start this where the cluster's jobs are submitted") from error
        number = jobs[0].job_id.split("_")[0]
        print(f"Queued {len(jobs)} runs as job {number}, into {folder}.", flush=True)
        try:
            for job in jobs:
                job.wait()
        except KeyboardInterrupt:
            print(f"No longer waiting. The runs go on as job {number}; `scancel {number}` ends them.")
            raise SystemExit(130) from None
        results = self._results(jobs, [folder / str(n) for n in numbers])
        print(f"All are done: evaluate with `python -m lib.experiments.waves evaluate {shlex.quote(str(folder))}`")
        return results

    def _results(self, jobs, folders):
        end = time.monotonic() + PATIENCE
        while not all(job.paths.result_pickle.exists() for job in jobs) and time.monotonic() < end:
            time.sleep(0.5)
        results, failed = [], []
        for job, folder in zip(jobs, folders, strict=True):
            if not job.paths.result_pickle.exists():
                log = job.paths.stderr
                failed.append(f"{folder}: job {job.job_id} was cancelled or killed before it was done; log: {log}")
                continue
            result = job.results()[0]
            if isinstance(problem := result.return_value, str):
                failed.append(problem)
            results.append(result)
        if failed:
            raise TrainingError("\n".join(failed))
        return results
