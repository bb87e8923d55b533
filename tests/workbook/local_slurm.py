"""A Slurm of one node on the loopback interface, for tests: real daemons in a temporary folder.

They end for certain: this file is also the program of a watchman, who waits for the end of the tests, also if they are
killed, and then kills everything that belongs to the cluster.
"""

import contextlib
import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "sinfo")
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])  # where daemons lie
CONFIGURATION = """
ClusterName=local
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=1
SwitchType=switch/none
MpiDefault=none
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=300
InactiveLimit=0
KillWait=5
MessageTimeout=60
MinJobAge=86400
JobRequeue=1
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=1000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=1:00:00 State=UP
"""


def missing():
    """Programs that are not installed here."""
    return [name for name in PROGRAMS if not shutil.which(name, path=PATH)]


def wait_for(condition, seconds, what):
    """Wait until `condition()` is true and return what it returns.

    Raises:
        AssertionError: not within `seconds`; `what`, a text or a function that returns one, says what was waited for.
    """
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"waited {seconds} s for {what() if callable(what) else what}"
        time.sleep(0.2)
    return found


class LocalSlurm(contextlib.AbstractContextManager):
    """The running cluster; `environment` is what programs need to find it. `cpus`: how many it claims to have."""

    def __init__(self, cpus=4):
        # Sockets have short names at most, and so the folder lies directly in the system's temporary one.
        self.folder = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip())
        self.environment = os.environ | {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": PATH}
        for variable in [name for name in self.environment if name.startswith(("SLURM_", "SBATCH_"))]:
            if variable != "SLURM_CONF":  # of a job in which these tests run
                del self.environment[variable]
        self.daemons = []
        # The other end of his standard input closes when this process ends, in whatever way.
        watch = [sys.executable, __file__, self.folder]
        self.watchman = subprocess.Popen(watch, stdin=subprocess.PIPE, start_new_session=True)
        try:
            self._start(cpus)
        except BaseException:
            self.__exit__()
            raise

    def _start(self, cpus):
        folder, host = self.folder, socket.gethostname().split(".")[0]
        folder.chmod(0o755)
        (folder / "state").mkdir()
        (folder / "spool").mkdir()
        with socket.socket() as one, socket.socket() as other:  # two free ports
            one.bind(("127.0.0.1", 0))
            other.bind(("127.0.0.1", 0))
            ports = [one.getsockname()[1], other.getsockname()[1]]
        values = {"host": host, "user": getpass.getuser(), "ports": ports, "folder": folder, "cpus": cpus}
        (folder / "slurm.conf").write_text(CONFIGURATION.format(**values))
        (folder / "munge.key").write_bytes(secrets.token_bytes(1024))
        (folder / "munge.key").chmod(0o600)
        files = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munged.pid"}
        files |= {"log-file": "munged.log", "seed-file": "munge.seed"}
        munged = ["munged", "--foreground", "--force", *(f"--{name}={folder / file}" for name, file in files.items())]
        self._daemon(*munged)
        wait_for((folder / "munge.socket").exists, 30, self.logs)
        self._daemon("slurmctld", "-D", "-i")
        self._daemon("slurmd", "-D", "-N", host)
        wait_for(self._is_idle, 120, self.logs)

    def _is_idle(self):
        assert all(daemon.poll() is None for daemon in self.daemons), f"a daemon has ended: {self.logs()}"
        return self.run("sinfo", "-h", "-o", "%T", check=False).strip() == "idle"

    def _daemon(self, *command):
        with open(self.folder / f"{command[0]}.out", "wb") as output:
            streams = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}
            self.daemons.append(
                subprocess.Popen(command, env=self.environment, cwd=self.folder, start_new_session=True, **streams)
            )

    def run(self, *command, check=True, timeout=120):
        """What a program prints, run in this cluster."""
        options = {"capture_output": True, "text": True, "timeout": timeout, "env": self.environment}
        done = subprocess.run(command, **options)
        assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def job(self, name):
        """What `scontrol` knows of a job or task, as a dict."""
        text = self.run("scontrol", "--oneliner", "show", "job", name)
        return dict(part.split("=", 1) for part in text.split() if "=" in part)

    def logs(self):
        """The ends of all daemons' logs."""
        files = sorted([*self.folder.glob("*.log"), *self.folder.glob("*.out")])
        return "\n".join(f"--- {file.name}\n{file.read_text(errors='replace')[-1500:]}" for file in files)

    def __exit__(self, *_):
        self.watchman.stdin.close()
        self.watchman.wait(60)
        for daemon in self.daemons:
            daemon.wait(10)


def end(folder):
    """Kill the daemons, the jobs and all their processes, and remove the folder."""
    mark = f"SLURM_CONF={folder}/slurm.conf".encode()
    for _ in range(5):  # what is just being started appears late
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    os.kill(int(process.name), signal.SIGKILL)
        time.sleep(0.1)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.stdin.read()
    end(sys.argv[1])
