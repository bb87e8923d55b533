"""Where a student's classes run: requests come in, plain arrays go out, as lines of JSON and never as pickles.

In a notebook the bench is called directly. For grading it is a process of its own in a box
(`lib.workbook.student.box`), started as `python -m lib.workbook.student.bench`, and nothing that it says is believed:
who asks compares the arrays.
"""

import base64
import contextlib
import io
import json
import linecache
import os
import sys
import traceback

import torch

DTYPES = {str(dtype): dtype for dtype in (torch.float32, torch.float64, torch.int64, torch.bool)}
CELL = "the solution cell"  # the file name under which a student's code is compiled
MOST_BYTES = 20_000_000  # of one array


class OutOfTime(BaseException):
    """A student's code takes too long; no `except Exception` of theirs catches it."""


def encode(value):
    """Tensors, lists, tuples, dicts and plain values as what JSON can hold; anything else by the name of its type."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().contiguous()
        if str(value.dtype) not in DTYPES:
            return {"other": str(value.dtype)}
        data = base64.b64encode(value.numpy().tobytes()).decode()
        return {"array": data, "dtype": str(value.dtype), "shape": list(value.shape)}
    if isinstance(value, (list, tuple)):
        return {type(value).__name__ if type(value) in (list, tuple) else "tuple": [encode(one) for one in value]}
    if isinstance(value, dict):
        return {"dict": {str(name): encode(one) for name, one in value.items()}}
    plain = value is None or type(value) in (bool, int, float, str)
    return {"plain": value} if plain else {"other": type(value).__name__}


def decode(node):
    """The value that `encode` wrote; what is of another type is a text in <>.

    Raises:
        ValueError: nothing of that kind, however it was made.
    """
    try:
        ((kind, value),) = ((key, node[key]) for key in node if key not in ("dtype", "shape"))
        if kind == "array":
            shape, dtype = [int(size) for size in node["shape"]], DTYPES[node["dtype"]]
            if len(value) > MOST_BYTES or any(size < 0 for size in shape):
                raise ValueError("too large")
            data = bytearray(base64.b64decode(value))
            return (torch.frombuffer(data, dtype=dtype) if data else torch.zeros(0, dtype=dtype)).reshape(shape)
        if kind in ("list", "tuple"):
            return [decode(one) for one in value] if kind == "list" else tuple(decode(one) for one in value)
        if kind == "dict":
            return {name: decode(one) for name, one in value.items()}
        return f"<{value}>" if kind == "other" else value
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError, RecursionError) as error:
        raise ValueError(f"no answer that can be read ({type(error).__name__})") from error


def torch_class(name):
    """How a request names a class of `torch.nn`, to be given as an argument."""
    return {"torch": name}


def run(text, namespace):
    """Run the text of a cell in a namespace, so that errors in it can be told by line."""
    linecache.cache[CELL] = (len(text), None, text.splitlines(keepends=True), CELL)
    exec(compile(text, CELL, "exec"), namespace)  # noqa: S102


def told(error):
    """An error in the student's code in one line: what it is, and which line of the cell raised it."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == CELL]
    lineno, line = (frames[-1].lineno, frames[-1].line) if frames else (getattr(error, "lineno", None), "")
    where = f" (line {lineno} of the cell{f': {line}' if line else ''})" if lineno else ""
    reason = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {' '.join(reason.split())[:300]}{where}"


class Bench:
    """Builds and calls what a namespace defines. Every method that is no `_private` one answers a request."""

    def __init__(self, namespace):
        self._namespace, self._built = namespace, []

    def answer(self, line):
        """One request, a line of JSON, and its answer: {"value": …}, or {"error": …} if the student's code failed."""
        request, enabled = json.loads(line), torch.is_grad_enabled()
        quiet = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
        try:
            with quiet[0], quiet[1]:
                value = getattr(self, request.pop("op"))(**request)
            return json.dumps({"value": encode(value)})
        except (KeyboardInterrupt, OutOfTime):
            raise
        except BaseException as error:  # sys.exit() too
            return json.dumps({"error": told(error)})
        finally:
            torch.set_grad_enabled(enabled)  # what is interrupted may not get to that

    def define(self, text):
        """Run a text of the student's."""
        run(text, self._namespace)

    def prepare(self, text):
        """Run a text of the checks, which may use what the student defined; errors are told by lines of the cell."""
        exec(compile(text, "the check", "exec"), self._namespace)  # noqa: S102

    def build(self, name, args, kwargs, seed):
        """A new module: its number and the shapes of its parameters, by name."""
        if name not in self._namespace:
            raise NameError(f"the cell defines no {name}")
        torch.manual_seed(seed)
        kwargs = {
            key: getattr(torch.nn, value["torch"]) if isinstance(value, dict) else value
            for key, value in kwargs.items()
        }
        self._built.append(self._namespace[name](*args, **kwargs))
        return len(self._built) - 1, {key: list(value.shape) for key, value in self._parameters(-1)}

    def parameters(self, number):
        """The values of its parameters, by name."""
        return dict(self._parameters(number))

    def randomise(self, number, deviation, seed):
        """Draw all parameters anew, normally distributed."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for _, parameter in self._parameters(number):
                parameter.copy_(deviation * torch.randn(parameter.shape, generator=generator))

    def call(self, target, method, args, kwargs, gradient=False):
        """What a module (by number) or a function (by name) returns for these inputs.

        With `gradient`: (output, gradients of the inputs, {name: gradient of a parameter}) of the sum over all outputs,
        weighted by the cosines of 1, 2, 3, …; None where nothing depends.
        """
        function = self._namespace[target] if isinstance(target, str) else self._built[target]
        function = getattr(function, method) if method else function
        args, kwargs = decode(args), decode(kwargs)
        if not gradient:
            with torch.no_grad():
                return function(*args, **kwargs)
        inputs = [one.requires_grad_() for one in _tensors(args) if one.is_floating_point()]
        output = function(*args, **kwargs)
        total = sum(weighted(one) for one in _tensors(output) if one.requires_grad)
        parameters = dict(self._parameters(target)) if isinstance(target, int) else {}
        wanted = [*inputs, *parameters.values()]
        if not isinstance(total, torch.Tensor):
            return output, [None] * len(inputs), dict.fromkeys(parameters)
        found = torch.autograd.grad(total, wanted, allow_unused=True)
        return output, list(found[: len(inputs)]), dict(zip(parameters, found[len(inputs) :], strict=True))

    def _parameters(self, number):
        return self._built[number].named_parameters()


def weighted(output):
    """The sum of a tensor's values, weighted by the cosines of 1, 2, 3, …"""
    return (output.flatten() * torch.arange(1.0, output.numel() + 1).to(output.dtype).cos()).sum()


def _tensors(value):
    """All tensors in nested lists, tuples and dicts, in order."""
    if isinstance(value, torch.Tensor):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else []
    return [tensor for part in parts for tensor in _tensors(part)]


def main():
    """Answer requests from the standard input until it ends; what the student's code prints goes nowhere."""
    asked, answered = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    torch.set_num_threads(1)
    bench = Bench({"__name__": "__main__"})
    print("ready", file=answered, flush=True)
    for line in asked:
        print(bench.answer(line), file=answered, flush=True)


if __name__ == "__main__":
    sys.exit(main())
