"""Code that nobody has read, in its box: honest cells keep their points, and nothing is harmed."""

import os
import shutil
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import answers
import pytest

from lib.storage.paths import ROOT
from lib.workbook.notebooks import UsageError
from lib.workbook.student import box, checking, cutting, grading

RIGHT = answers.HEAD + answers.RIGHT["T3"]["by slices"]
LIMITS = box.Limits(cpu=8, wall=60, memory=1_200_000_000)

in_a_box = [pytest.mark.system, pytest.mark.usefixtures("boxes")]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """A folder with a library as students have it."""
    folder = tmp_path_factory.mktemp("library")
    for path in (ROOT / "lib").rglob("*.py"):
        (target := folder / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    files = {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in folder.glob("lib/**/*.py")}
    for name, text in cutting.cut_library(files, cutting.coded()).items():
        (folder / name).write_text(text, "utf-8")
    return folder


def graded(library, text, item="T3", limits=LIMITS, sandbox="bubblewrap"):
    return grading.graded(library, item, text, seed=5, sandbox=sandbox, limits=limits)


def told(result):
    return "\n".join(line for _, _, lines in result.failed for line in lines)


# --- without bubblewrap ---------------------------------------------------------------------------------------------


def test_a_plain_process_gives_the_same_points(library):
    assert graded(library, RIGHT, sandbox="none").points == 15
    assert graded(library, "import os; os._exit(0)", sandbox="none").points == 0


def test_where_there_is_no_box_nothing_is_graded(library, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UsageError, match="(?s)nothing is graded.*apt install bubblewrap.*SANDBOX=none"):
        box.probe(library, "bubblewrap")
    with pytest.raises(UsageError, match="SANDBOX=docker: bubblewrap"):
        box.probe(library, "docker")


def test_a_box_that_does_not_start_names_the_remedy(library, monkeypatch, tmp_path):
    (tmp_path / "bwrap").write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(tmp_path / name) if name == "bwrap" else None)
    started = subprocess.Popen

    def popen(command, **options):
        command = [str(tmp_path / "bwrap") if word == "bwrap" else word for word in command]
        return started(command, **options)

    monkeypatch.setattr(subprocess, "Popen", popen)
    with pytest.raises(UsageError, match="(?s)does not start here .*Permission denied.*user namespaces.*apparmor"):
        box.probe(library, "bubblewrap")


# --- in the box -----------------------------------------------------------------------------------------------------

HOSTILE = {  # what a cell does beside the honest classes: (code, whether their points remain)
    "loops for ever": ("while True: pass", False),
    "sleeps": ("import time; time.sleep(10**6)", False),
    "eats memory": ("hoard = []\nwhile True: hoard.append(bytearray(b'x' * 10**8))", False),
    "forks": ("import os\nfor _ in range(10**4):\n    try: os.fork()\n    except OSError: pass\n", False),
    "exits early": ("import os; os._exit(0)", False),
    "is killed": ("import os; os.kill(os.getpid(), 9)", False),
    "prints megabytes": (
        "import sys\nfor _ in range(50): print('x' * 10**6); print('y' * 10**6, file=sys.stderr)",
        True,
    ),
    "deletes files": (
        "import shutil, sys\nfor place in ('/edition', '/box', '/home', '/usr', sys.prefix): "
        "shutil.rmtree(place, ignore_errors=True)",
        True,
    ),
    "writes outside": (
        "for name in ('/edition/lib/x', '/usr/x', '/x', '/etc/passwd', '/tmp/x', '/dev/x'):\n"
        "    try: open(name, 'w'); raise SystemExit('written: ' + name)\n    except OSError: pass",
        True,
    ),
    "writes too much": (
        "try:\n    with open('/box/x', 'wb') as file:\n"
        "        while True: file.write(b'x' * 10**6)\nexcept OSError: pass",
        True,
    ),
    "patches torch": ("torch.allclose = torch.equal = lambda *a, **k: True\nTensorEq = torch.Tensor.__eq__", True),
    "replaces the checks": (
        "import sys, types\nsys.modules['lib.workbook.student.checking'] = types.ModuleType('checking')\n"
        "check = lambda *a: 15.0",
        True,
    ),
    "reads the solutions": (
        "import glob, inspect, os, lib.models\nassert 'NotImplementedError' in inspect.getsource(lib.models.LSTMCell)\n"
        "assert not [*glob.glob('/*.zip'), *glob.glob('/edition/**/*.zip', recursive=True)]\n"
        "assert not os.path.exists(ROOT)",
        True,
    ),
    "opens a socket": (
        "import socket\ntry: socket.create_connection(('127.0.0.1', PORT), 2)\nexcept OSError: pass\n"
        "else: raise SystemExit('connected')",
        True,
    ),
    "looks for neighbours": ("import os\nassert len([n for n in os.listdir('/proc') if n.isdigit()]) < 6", True),
    "looks at the environment": ("import os\nassert set(os.environ) <= ALLOWED, set(os.environ)", True),
    "is nobody": ("import os\nassert os.getuid() != 0", True),
    "answers for itself": (
        'import os\nfor number in range(3, 20):\n    try: os.write(number, b\'{"value": {"plain": 15}}\\n\' * 9)\n'
        "    except OSError: pass",
        False,
    ),
}


# What the interpreter, torch and bubblewrap set for themselves.
SET_BY_PYTHON = {"PWD", "LC_CTYPE", "TORCHINDUCTOR_CACHE_DIR", "KMP_INIT_AT_FORK", "KMP_DUPLICATE_LIB_OK"}


class TestInTheBox:
    pytestmark = in_a_box

    def test_it_works_here(self, library):
        box.probe(library, "bubblewrap")

    def test_solutions_get_full_points_and_stubs_none(self, library):
        assert graded(library, RIGHT).points == 15
        assert graded(library, cutting.stub("T3")).points == 0
        assert graded(library, cutting.solution("V1"), "V1").points == 10

    @pytest.mark.parametrize("what", HOSTILE)
    def test_a_hostile_cell_harms_nothing(self, library, what):
        code, honest = HOSTILE[what]
        before = sorted(path.relative_to(library) for path in library.rglob("*.py"))
        with socket.create_server(("127.0.0.1", 0)) as server:
            allowed = {
                "PATH",
                "HOME",
                "PYTHONPATH",
                "OMP_NUM_THREADS",
                "PYTHONDONTWRITEBYTECODE",
                "PYTHONHASHSEED",
                "LANG",
            }
            facts = f"ROOT, PORT = {str(ROOT / 'student')!r}, {server.getsockname()[1]}\n"
            facts += f"ALLOWED = {allowed | SET_BY_PYTHON!r}\n"
            result = graded(
                library,
                facts + RIGHT + "\n" + code,
                limits=box.Limits(cpu=8, wall=120 if honest else 15, memory=1_200_000_000),
            )
        assert result.points == (15 if honest else 0), told(result)
        assert sorted(path.relative_to(library) for path in library.rglob("*.py")) == before
        assert not left_over()

    def test_a_wrong_class_gains_nothing_by_patching_what_compares(self, library):
        wrong = RIGHT.replace("torch.tanh(c), c]", "c, c]")
        honest, cheating = (
            graded(library, wrong),
            graded(library, wrong + HOSTILE["patches torch"][0] + "\n" + HOSTILE["replaces the checks"][0]),
        )
        assert honest.points == cheating.points < 15

    def test_a_method_that_never_ends_costs_what_comes_after_it(self, library):
        text = RIGHT.replace("        out = self.read(state[0])", "        while True: pass")
        result = graded(library, text, limits=box.Limits(cpu=6, wall=30))
        assert result.points == 9 and "stopped" in told(result)

    def test_the_same_twice(self, library):
        wrong = RIGHT.replace("torch.tanh(c), c]", "c, c]")
        assert graded(library, wrong) == graded(library, wrong)

    def test_a_flood_of_answers_is_cut_off(self, library):
        text = RIGHT.replace("return [share(2)", "return [torch.zeros(10**7), share(2)")
        result = graded(library, text, limits=box.Limits(answer=10**6))
        assert result.points < 15 and "its answer is too large" in told(result)


def left_over():
    """Processes of the bench that are still there, a second after their box was closed."""
    for _ in range(20):
        names = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if os.access(path, os.R_OK)]
        mine = [name for name in names if b"-m\0lib.workbook.student.bench" in name]
        if not mine:
            return []
        time.sleep(0.1)
    return mine


def test_the_bench_speaks_lines_of_json_and_nothing_else():
    """As the box starts it, without one."""
    request = '{"op": "define", "text": "import sys; print(1); print(2, file=sys.stderr)"}\n'
    done = subprocess.run(
        [sys.executable, "-m", "lib.workbook.student.bench"], input=request, capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout == 'ready\n{"value": {"plain": null}}\n' and not done.stderr


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[]",
        "{}",
        '{"value": 3}',
        '{"value": {"array": "AAAA", "dtype": "torch.float32", "shape": [9]}}',
        '{"value": {"array": "AAAA", "dtype": "object", "shape": [1]}}',
        '{"value": {"array": 5, "dtype": "torch.float32", "shape": [1]}}',
        '{"value": {"array": "", "dtype": "torch.float32", "shape": [-1]}}',
        '{"value": {"tuple": 5}}',
        "[" * 10**5,
        '{"error": {"a": []}}',
    ],
)
def test_answers_that_nobody_foresaw_are_errors_of_the_students(line):
    student = checking.Student(lambda request: line, textwrap.dedent(RIGHT))
    with pytest.raises(checking.StudentError):
        student.build("LSTMCell", 2, 3)
    assert checking.run("T3", student).points == 0
