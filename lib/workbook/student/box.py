"""A box for code that nobody has read: a fresh process that may compute, and nothing else.

The box is bubblewrap: no network, processes and files of its own, the environment read-only, one empty folder that can
be written. Seconds, memory, processes and the size of files and answers are limited; root becomes an ordinary user
first, since no limit on processes binds root. Linux only; elsewhere nothing is graded unless SANDBOX=none is given.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from lib.workbook.notebooks import UsageError

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", "--bounding-set=-all"]
NOT_ISOLATED = (
    "SANDBOX=none: what is graded runs as you, with your files and your network; only its seconds, memory and answers "
    "are limited"
)


@dataclass(frozen=True)
class Limits:
    """What an item may use: CPU and wall seconds, bytes of memory, of files and of an answer, processes and threads."""

    cpu: int = 30
    wall: int = 90
    memory: int = 2_000_000_000
    file: int = 20_000_000
    answer: int = 30_000_000
    processes: int = 64


class Box:
    """A bench (`lib.workbook.student.bench`) in a box, asked with `ask`, to be closed after use (a context manager).

    Args:
        library: folder that holds `lib`, cut, as students have it. sandbox: "bubblewrap" or "none".
    """

    def __init__(self, library, sandbox="bubblewrap", limits=None):
        self.limits, self.ended = limits or Limits(), ""
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        boxed = sandbox == "bubblewrap"
        where, home = ("/edition", "/box") if boxed else (str(library), self._folder.name)
        variables = {"PATH": "/usr/bin:/bin", "HOME": home, "PYTHONPATH": where, "OMP_NUM_THREADS": "1"}
        variables |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0", "LANG": "C.UTF-8"}
        variables |= {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}  # Windows needs it
        command = [*_limits(self.limits), sys.executable, "-m", "lib.workbook.student.bench"]
        self._process = subprocess.Popen(
            [*_bubblewrap(library, self.limits), *command] if boxed else command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if boxed else subprocess.DEVNULL,
            env=variables,
            start_new_session=True,
            cwd="/" if boxed else self._folder.name,
        )
        # Until then runs what is ours: Python and torch are loaded, which on a busy machine takes a while.
        self._deadline = time.monotonic() + 20 * self.limits.wall
        threading.Thread(target=self._watch, daemon=True).start()
        self.works = self._process.stdout.readline(100) == b"ready\n"
        self._deadline = time.monotonic() + self.limits.wall

    def ask(self, line):
        """The answer's line to a request's; an error if the code in the box has ended or was stopped."""
        if not self.ended:
            try:
                self._process.stdin.write(line.encode() + b"\n")
                self._process.stdin.flush()
                answer = self._process.stdout.readline(self.limits.answer)
                if answer.endswith(b"\n"):
                    return answer.decode("utf-8", "replace")
                self._stop("its answer is too large" if answer else self.ended or self._how_it_ended())
            except OSError:
                self._stop(self.ended or self._how_it_ended())
        return json.dumps({"error": self.ended})

    def _how_it_ended(self):
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2)
        code = self._process.returncode
        if code in (-24, 152, 137, -9):  # of RLIMIT_CPU
            return f"it was stopped: more than {self.limits.cpu} seconds of computing"
        return "its process ended in the middle of a test (an exit, or a crash?)"

    def _watch(self):
        import psutil

        while self._process.poll() is None and not self.ended:
            memory = 0
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(self._process.pid)
                for one in (process, *process.children(recursive=True)):
                    with contextlib.suppress(psutil.Error):
                        memory += one.memory_info().rss
            if memory > self.limits.memory:
                self._stop(f"it was stopped: more than {self.limits.memory / 1e9:g} GB of memory")
            elif time.monotonic() > self._deadline:
                self._stop(f"it was stopped after {self.limits.wall} seconds: a loop without end?")
            time.sleep(0.05)

    def _stop(self, reason):
        self.ended = self.ended or reason
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, 9) if hasattr(os, "killpg") else self._process.kill()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stop("closed")
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                stream.close()
        self._process.wait()
        self._folder.cleanup()

    def complaint(self):
        """What a box that does not work says."""
        error = self._process.stderr.read(2000) if self._process.stderr else b""
        return " ".join(error.decode("utf-8", "replace").split())[-300:]


def _limits(limits):
    """The command that sets the kernel's limits, where there is one."""
    if not shutil.which("prlimit"):
        return []
    given = (
        f"--cpu={limits.cpu}:{limits.cpu + 2} --fsize={limits.file} --nproc={limits.processes} --core=0 --nofile=256"
    )
    return [shutil.which("prlimit"), *given.split()]


def _bubblewrap(library, limits):
    """The command that begins a box."""
    places = {sys.prefix, sys.base_prefix, *(path for path in sys.path if "-packages" in path and os.path.isdir(path))}
    places = {path for path in places if not any(Path(path).is_relative_to(other) for other in places - {path})}
    root = os.getuid() == 0  # who needs no user namespace, and becomes nobody inside, where all is mounted
    own = "user" * (not root), "pid", "net", "ipc", "uts", "cgroup-try"
    command = ["bwrap", *(f"--unshare-{part}" for part in own if part), "--die-with-parent", "--new-session"]
    for path in ("/usr", "/lib", "/lib64", "/bin", "/sbin"):
        if os.path.islink(path):
            command += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            command += ["--ro-bind", path, path]
    for path in [Path("/edition/lib"), *map(Path, sorted(places))]:  # the folders above, for nobody to come by
        for above in reversed(path.parents[:-1]):
            command += [] if above.is_relative_to("/usr") else ["--perms", "0755", "--dir", str(above)]
    for path in sorted(places):
        if not path.startswith("/usr/"):
            command += ["--ro-bind", path, path]
    command += ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache", "--proc", "/proc", "--dev", "/dev"]
    command += ["--ro-bind", str(Path(library) / "lib"), "/edition/lib"]
    for path in ("/dev/shm", "/box"):
        command += ["--perms", "1777", "--size", str(limits.file * 2), "--tmpfs", path]
    return [*command, "--remount-ro", "/", "--chdir", "/box", *(NOBODY if root else ["--cap-drop", "ALL", "--"])]


def probe(library, sandbox):
    """Try an empty box.

    Raises:
        UsageError: it does not work here; the message names the remedy.
    """
    if sandbox not in ("bubblewrap", "none"):
        raise UsageError(f"SANDBOX={sandbox}: bubblewrap (default) or none")
    if sandbox == "bubblewrap" and not shutil.which("bwrap"):
        raise UsageError(
            "nothing is graded: hand-ins run in a box of bubblewrap, which is not installed (Debian and Ubuntu: apt "
            "install bubblewrap; Linux only). SANDBOX=none grades without a box, on a machine that has nothing to lose"
        )
    with Box(library, sandbox) as box:
        if box.works:
            return
        box.ask("")  # it has ended, and its words can be read
        raise UsageError(
            f"nothing is graded: the box does not start here ({box.complaint() or box.ended}). In a container allow "
            "user namespaces; on Ubuntu 24.04: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0. "
            "SANDBOX=none grades without a box, on a machine that has nothing to lose"
        )
