"""The speed of our layers, as ratios to torch's own, and of the widgets: `python -m lib.workbook.bench [PART]`.

PART is "layers" or "widgets"; without it both are measured. Widgets are the business of `widget_bench`; the following
is about layers.

Times depend on the machine, ratios much less. All contenders are therefore timed in turn, round after round in one
process, and a ratio is the median over the rounds of (our time / torch's time in the same round).

What is timed stands in `tests/bench/`, a file for each table, with

    TITLE   what stands above the table
    SIZE    heading of the column that tells how large the cases are, and their key for it
    NOTES   further columns, optional: {heading: function of the numbers of a case that returns a text}
    cases() yields dicts: "model" and SIZE, how many "rounds", the largest ratio that is meant ("target"), and the
            "contenders", {name: call}, among them "ours" and "torch"; anything else is written into FILE as it is

The median time of a contender in milliseconds is found under its name with "_ms", the ratio under "ratio".
"""

import argparse
import json
import os
import runpy
import sys
from pathlib import Path
from statistics import median
from time import perf_counter

import torch

from lib.storage.paths import ROOT
from lib.workbook import notebooks, widget_bench
from lib.workbook.processes import print_anything

FOLDER = ROOT / "tests" / "bench"


def training_step(model, loss):
    """A call: `loss(model)` forward and backward. The optimiser is the same for all contenders and left out."""

    def step():
        model.zero_grad(set_to_none=True)
        loss(model).backward()

    return step


def time_in_turn(contenders, rounds):
    """{name: call} -> {name: [seconds, ...]}, one per round. An untimed call comes before each, for the caches."""
    times = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, call in contenders.items():
            call()
            start = perf_counter()
            call()
            times[name].append(perf_counter() - start)
    return times


def measured(case, rounds=None):
    """The numbers of a case: its own without the calls, the median time of each contender, and the ratio."""
    times = time_in_turn(case["contenders"], rounds or case["rounds"])
    numbers = {key: value for key, value in case.items() if key not in ("contenders", "rounds")}
    numbers |= {f"{name}_ms": 1e3 * median(values) for name, values in times.items()}
    return numbers | {"ratio": median(a / b for a, b in zip(times["ours"], times["torch"], strict=True))}


def print_table(table, rounds=None):
    """Time the cases of a table with one thread and with torch's own number of them, and print a line for each.

    Args:
        table: what a file in `tests/bench/` defines. rounds: instead of those of the cases, for a quick look.

    Returns:
        list of dicts, the numbers of each line.
    """
    size, notes, rows = table["SIZE"], table.get("NOTES", {}), []
    print(table["TITLE"])
    heading = f"threads {size:>6}  {'model':<12}{'ours':>10}{'torch':>10}{'ratio':>8}   target"
    print("   ".join([heading, *notes]))
    default = torch.get_num_threads()
    try:
        for threads in sorted({1, default}):
            torch.set_num_threads(threads)
            for case in table["cases"]():
                row = {"threads": threads} | measured(case, rounds)
                rows.append(row)
                line = f"{threads:7d} {row[size]:6d}  {row['model']:<12}{row['ours_ms']:7.1f} ms"
                line += f"{row['torch_ms']:7.1f} ms{row['ratio']:8.2f}   {'≤ ' + str(row['target']):<6}"
                print("   ".join([line, *(f"{note(row):>{len(name)}}" for name, note in notes.items())]).rstrip())
    finally:
        torch.set_num_threads(default)
    return rows


def main(arguments=None):
    """Time what stands in `tests/bench/`, and the widgets of the notebooks; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m lib.workbook.bench", description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="?", choices=("layers", "widgets"), help="this part alone")
    parser.add_argument("--only", metavar="NN,NN", help="the notebooks whose widgets are measured")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers to this file")
    parser.add_argument("--rounds", type=int, metavar="N", help="so many rounds or moves each, for a quick look")
    args = parser.parse_args(arguments)
    try:
        found = notebooks.paths(args.only)
    except notebooks.UsageError as error:
        print(error, file=sys.stderr)
        return 2
    files = sorted(FOLDER.glob("*.py")) if args.part != "widgets" else []
    if args.part != "widgets" and not files:
        print(f"there is nothing to time in {FOLDER}", file=sys.stderr)
        return 2
    rows = [row for file in files for row in print_table(runpy.run_path(str(file)), args.rounds)]
    answers = widget_bench.print_table(found, args.rounds or 10) if args.part != "layers" else []
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    print(f"Load during the last minute: {load}. Other programs spoil widgets and rows with several threads.")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        numbers = {"torch": torch.__version__, "rows": rows, "widgets": answers}
        args.json.write_text(json.dumps(numbers, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    print_anything()
    sys.exit(main())
