"""A multirun on Slurm by submitit, changed in two points: whether a job has ended is asked of the queue, which every
Slurm has, not of an accounting database; and what goes wrong is told in a line.
"""

import contextlib
import getpass
import io
import shlex

from hydra.core.plugins import Plugins
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher
from submitit.slurm.slurm import SlurmInfoWatcher, SlurmJob

from lib.training import TrainingError


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
    """Queues the runs of a multirun as one array job, and returns when they have ended."""

    def launch(self, job_overrides, initial_job_idx):
        """See `hydra.plugins.launcher.Launcher`.

        Raises:
            TrainingError: Slurm refuses the job, one was killed, or runs have failed; then there is a line for each.
        """
        folder = str(self.config.hydra.sweep.dir)
        if "%" in folder:
            raise TrainingError(f"{folder}: Slurm reads % as a pattern; set WORKBOOK_EXPORTS or hydra.sweep.dir")
        try:
            with contextlib.redirect_stderr(io.StringIO()):  # what sbatch says stands in the exception, too
                results = super().launch(job_overrides, initial_job_idx)
        except RuntimeError as error:
            raise TrainingError(f"Slurm: {' '.join(str(error).split(chr(10))[:2])}") from error
        except KeyboardInterrupt:
            raise KeyboardInterrupt("No longer waiting: the runs go on in the queue; `scancel` ends them") from None
        if failed := [result.return_value for result in results if result.return_value]:
            raise TrainingError("\n".join(failed))
        print(f"All are done: evaluate with `python -m lib.experiments.waves evaluate {shlex.quote(folder)}`")
        return results
