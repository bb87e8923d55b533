"""What the checks of an item are made of, and how they are run: the same in a notebook and, for points, from outside a
box.

A check file, `student/checks/NN.py`, holds functions marked with `@part("T3", points, "what is tested")`. Each is given
a `Student`: it builds the student's classes by name, calls them through their documented interface, and gets plain
tensors back. `expect` says what was expected, for which shapes, what came out, and the likely mistake.
"""

import ast
import contextlib
import functools
import importlib.util
import json
import signal
import threading
import time
import warnings
from dataclasses import dataclass, field

import torch

from lib.storage.paths import ROOT
from lib.workbook import exercises
from lib.workbook.student.bench import Bench, OutOfTime, decode, encode, told
from lib.workbook.student.bench import run as run_text

FOLDER = ROOT / "student" / "checks"
SECONDS = 3  # of computing that a student's code has for all checks of an item, in a notebook


class Wrong(Exception):
    """A part is not fulfilled: what was expected, for which input, what came out, and the likely mistake."""

    def __init__(self, expected, given="", got="", likely=""):
        super().__init__(expected)
        self.expected, self.given, self.got, self.likely = expected, given, got, likely

    def lines(self):
        """The four facts, one line each, as far as there are any."""
        facts = (("expected", self.expected), ("for", self.given), ("came out", self.got), ("likely", self.likely))
        return [f"{name}: {fact}" for name, fact in facts if fact]


class StudentError(Exception):
    """The student's code raised an error, or answered what cannot be read."""


@dataclass
class Part:
    """One part of the checks of an item: a function of a `Student`, its points, and what it tests."""

    item: str
    points: float
    title: str
    function: object


@dataclass
class Result:
    """What the checks of an item have come to.

    Attributes:
        points, most: reached, and to be had. failed: [(title of the part, points lost, lines that say why)].
    """

    item: str
    points: float = 0
    most: float = 0
    failed: list = field(default_factory=list)

    @property
    def passed(self):
        return not self.failed

    def score(self):
        """The points, or, of an item without points, whether it is passed."""
        if self.most:
            return f"{self.points:g} of {self.most:g} points"
        return "passed" if self.passed else "not passed"


PARTS = []  # those of the check files that are loaded


def part(item, points, title):
    """Mark a function of a check file as a part of an item's checks."""

    def mark(function):
        PARTS.append(Part(item, points, title, function))
        return function

    return mark


@functools.cache
def load(name):
    """A file of `student/checks/` as a module; what several of them share lies in files with names of their own."""
    spec = importlib.util.spec_from_file_location(f"student_checks_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def parts(item):
    """The parts of an item's checks, in their order."""
    load(exercises.item(item)["notebook"])
    return [one for one in PARTS if one.item == item]


def expect(condition, expected, given="", got="", likely=""):
    """Raise `Wrong`, and so fail the part, unless the condition holds."""
    if not condition:
        raise Wrong(expected, given, got, likely)


def shape(value):
    """The shape of a tensor as text, of nested tuples and lists that of their parts; else what kind of value it is."""
    if isinstance(value, torch.Tensor):
        return str(tuple(value.shape))
    if isinstance(value, (list, tuple)):
        return f"({', '.join(map(shape, value))})"
    return value[1:-1] if isinstance(value, str) and value.startswith("<") else type(value).__name__


def expect_shape(value, wanted, given, likely=""):
    """Raise `Wrong` unless a value has this shape (a tuple of sizes, or a list of such for several) and is finite."""
    several = isinstance(wanted, list)
    text = f"({', '.join(map(str, wanted))})" if several else str(wanted)
    expect(shape(value) == text, f"shape {text}", given, f"shape {shape(value)}", likely)
    for one in value if several else [value]:
        expect(one.is_floating_point(), "floating-point numbers", given, str(one.dtype))
        expect(one.isfinite().all(), "finite numbers", given, "nan or inf", "a weight that was never given a value?")


def close(one, other, tolerance=1e-3):
    """Whether two tensors agree, up to a tolerance relative to the larger values."""
    return one.shape == other.shape and bool((one - other).abs().max() <= tolerance * (1 + other.abs().max()))


class Student:
    """The student's code, seen from outside, and random numbers to test it with.

    Args:
        ask: a function from a line of JSON, the request, to the answer's line.
        text: the solution cell, for what a sheet asks of the code itself. seed: of the random numbers.
    """

    def __init__(self, ask, text, seed=0):
        self.ask, self.text = ask, text
        self.generator = torch.Generator().manual_seed(seed)

    def request(self, op, **arguments):
        """What the bench returns.

        Raises:
            StudentError: the student's code failed.
        """
        try:
            answer = json.loads(self.ask(json.dumps({"op": op} | arguments)))
            if set(answer) == {"value"}:
                return decode(answer["value"])
            text = str(answer["error"])[:500]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            text = f"no answer that can be read ({type(error).__name__})"
        raise StudentError(text)

    def prepare(self, text):
        """Define what a check needs beside the student's classes: networks to work with, wrappers that look inside.

        Names in the text begin with an underscore. What it returns is believed no more than the rest.
        """
        self.request("prepare", text=text)

    def build(self, name, *args, seed=0, **kwargs):
        """A new module of the student's class of this name; `kwargs` may hold a `bench.torch_class`."""
        number, shapes = self.request("build", name=name, args=args, kwargs=kwargs, seed=seed)
        return Built(self, int(number), shapes)

    def call(self, target, method=None, gradient=False, args=(), **kwargs):
        """Call a module, one of its methods, or a function of the student's by its name."""
        sent = {"args": encode(tuple(args)), "kwargs": encode(kwargs)}
        return self.request("call", target=target, method=method, gradient=gradient, **sent)

    def randn(self, *shape):
        """Normal random numbers."""
        return torch.randn(*shape, generator=self.generator)

    def pick(self, low, high):
        """A whole number from low to high."""
        return int(torch.randint(low, high + 1, (), generator=self.generator))

    def tree(self, name=""):
        """The syntax tree of the class or function of this name, or of the whole solution cell."""
        tree = ast.parse(self.text)
        found = [node for node in tree.body if getattr(node, "name", None) == name] if name else [tree]
        expect(found, f"a class or function named {name}", "the solution cell", "there is none")
        return found[-1]

    def names(self, name=""):
        """All names and attributes that this code mentions, one entry for each time."""
        nodes = list(ast.walk(self.tree(name)))
        return [node.attr for node in nodes if isinstance(node, ast.Attribute)] + [
            node.id for node in nodes if isinstance(node, ast.Name)
        ]


class Built:
    """A module of the student's: `shapes` of its parameters by name, and calls that give plain tensors back."""

    def __init__(self, student, number, shapes):
        self.student, self.number = student, number
        self.shapes = {name: tuple(shape) for name, shape in shapes.items()}

    def __call__(self, *args, **kwargs):
        return self.student.call(self.number, args=args, **kwargs)

    def method(self, name, *args, **kwargs):
        return self.student.call(self.number, name, args=args, **kwargs)

    def gradients(self, *args, **kwargs):
        """(output, [gradient of each input], {name: gradient of each parameter}), see `Bench.call`."""
        return self.student.call(self.number, gradient=True, args=args, **kwargs)

    def randomise(self, deviation=0.4, seed=None):
        """Draw all parameters anew, so that none is zero or special; returns the module itself."""
        seed = self.student.pick(0, 10**6) if seed is None else seed
        self.student.request("randomise", number=self.number, deviation=deviation, seed=seed)
        return self

    def parameters(self):
        """{name: value}."""
        return self.student.request("parameters", number=self.number)

    def count(self):
        """How many numbers its parameters hold."""
        return sum(torch.Size(shape).numel() for shape in self.shapes.values())


# --- running them ---------------------------------------------------------------------------------------------------


def run(item, student):
    """Run all checks of an item against a `Student`; never raises because of what the student wrote."""
    result = Result(item)
    for one in parts(item):
        result.most += one.points
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                one.function(student)
            result.points += one.points
        except Wrong as wrong:
            result.failed.append((one.title, one.points, wrong.lines()))
        except StudentError as error:
            result.failed.append((one.title, one.points, [f"came out: {error}"]))
        except Exception as error:  # an answer of a kind that no check foresees
            lines = ["expected: what the docstring says is returned", f"came out: {type(error).__name__}: {error}"]
            result.failed.append((one.title, one.points, lines))
    return result


def run_defined(item, student):
    """Run the solution cell, which has to work by itself after the imports, and then all checks."""
    try:
        student.request("define", text=student.text)
    except StudentError as error:
        return nothing(item, f"came out: the cell does not run by itself: {error}")
    return run(item, student)


def nothing(item, reason):
    """The result of an item that could not be tested at all; the reason is told once."""
    found = parts(item)
    failed = [(one.title, one.points, [] if number else [reason]) for number, one in enumerate(found)]
    return Result(item, 0, sum(one.points for one in found), failed)


def here(item, text, before=""):
    """Test the text of a solution cell in this process, in a namespace of its own in which `before`, the notebook's
    imports, have run. What the code prints is not shown; it is given `SECONDS` of computing.
    """
    namespace = {"__name__": "__main__"}
    try:
        run_text(before, namespace)
    except Exception as error:
        return nothing(item, f"came out: the notebook's imports do not run: {told(error)}")
    return run_defined(item, Student(_Desk(Bench(namespace)).ask, text))


class _Desk:
    """A bench in this process, which stops when the student's code has taken too long."""

    def __init__(self, bench):
        self.bench, self.spent, self.ended = bench, 0.0, False

    def ask(self, line):
        start = time.process_time()
        try:
            if not self.ended:
                with _limit(SECONDS - self.spent):
                    return self.bench.answer(line)
        except OutOfTime:
            self.ended = True
        finally:
            self.spent += time.process_time() - start
        return json.dumps({"error": f"stopped after {SECONDS} seconds; a loop without end, or far too many steps?"})


@contextlib.contextmanager
def _limit(seconds):
    """Raise OutOfTime after so much computing, or twenty times as long a wait, where the system can interrupt it."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return
    computed, waited = time.process_time() + seconds, time.monotonic() + 20 * seconds

    def stop(*_):
        if time.process_time() > computed or time.monotonic() > waited:
            raise OutOfTime

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)  # again and again, should what is raised be caught
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
