"""What a notebook says about itself: checked claims, the source of a class, the table of all trainings behind it."""

import os
from statistics import median

import pandas as pd
from IPython.display import display

from lib import figures
from lib.training import checkpoints
from lib.workbook import exercises, sources
from lib.workbook.notebooks import UsageError

EXPECTED = {"shipped": True}  # what the notebook has said last, see `expect_shipped`


class ClaimError(AssertionError):
    """A sentence of the notebook does not hold although everything is set as shipped."""


def _markdown(text, about=None):
    display({"text/markdown": text, "text/plain": text}, raw=True, metadata={"workbook": about} if about else {})


def expect_shipped(shipped):
    """Say whether the claims that follow have to hold: not where a reader's own data take the place of the notebook's.

    After the first training this is known from its settings (`lib.training.checkpoints.is_reference`); not before.
    """
    EXPECTED["shipped"] = bool(shipped)


def claim(condition, text):
    """Print a sentence of the notebook together with whether the numbers just computed bear it out.

    Args:
        condition: bool, computed from results. text: the sentence, Markdown, with the numbers in it.

    Raises:
        ClaimError: the condition is false although profile, data, settings and code are the shipped ones. Otherwise
            (another profile, other values or settings, your own model or data) the result is only stated.
    """
    if condition:
        _markdown(f"✓ {text}")
    elif os.environ.get("WORKBOOK_PROFILE", "cpu") == "cpu" and EXPECTED["shipped"] and checkpoints.is_reference():
        raise ClaimError(f"does not hold: {text}")
    else:
        _markdown(f"✗ *Does not hold here:* {text}")


def signed(value, form="{:+.2f}"):
    """A number as text, with a minus in place of a hyphen and no sign before a zero."""
    text = form.format(value)
    return text.replace("-", "−") if text.strip("+-0.") else text.lstrip("+-")


def show_source(*objects, brief=False):
    """Display the source of classes, functions or single methods as it stands in the library, highlighted.

    Args:
        objects: what is shown, one below the other. brief: without docstrings and checks of arguments.
    """
    for obj in objects:
        place, code = sources.shown(obj)
        _show_code(obj, place, sources.without_checks(code) if brief else code)


def exercise(item, *names):
    """Display what an item of the exercise sheets asks to be written, as it stands in the library.

    Args:
        item: code of the item, such as "P2"; `student/exercises.toml` lists them.
        names: of those of its definitions that are shown; without any, all are.

    Raises:
        UsageError: there is no such item, or it has no definition of a name.
    """
    definitions, given = exercises.answer(item)
    if unknown := sorted({*names} - {obj.__name__ for obj in definitions}):
        raise UsageError(f"item {item} has no definition {', '.join(unknown)}")
    for obj in [one for one in definitions if one.__name__ in names or not names]:
        place, code = sources.shown(obj)
        _show_code(obj, place, sources.without_methods(sources.without_checks(code), exercises.given_in(obj, given)))


def _show_code(obj, place, code):
    _markdown(f"{place}\n\n```python\n{code}\n```", {"source": obj.__qualname__})


def _plain(value):
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):  # the settings of another run, which has a line of its own
        return f"({len(value)} settings)"
    return " ".join(map(_plain, value)) if isinstance(value, (list, tuple)) else str(value)


def _number(value):
    return f"{value:.3f}" if value == 0 or abs(value) >= 0.001 else f"{value:.1e}"


def _outcome(result):
    return ", ".join(f"{key} {value:.4g}" for key, value in result.items() if isinstance(value, (int, float)))


def _outcomes(results, result, most):
    shown = [{result: one[result]} if isinstance(one.get(result), (int, float)) else one for one in results]
    if most is None or len(shown) <= most:
        if len(names := {tuple(one) for one in shown}) == 1 and len(*names) == 1 and "" not in map(_outcome, shown):
            ((name,),) = names  # said once
            numbers = " · ".join((_number if name == result else "{:.4g}".format)(one[name]) for one in shown)
            return numbers if name == result else f"{name} {numbers}"
        return " · ".join(_number(one[result]) if one.keys() == {result} else _outcome(one) for one in shown)
    columns = {key: [one[key] for one in shown] for key in shown[0] if isinstance(shown[0][key], (int, float))}
    return ", ".join(
        f"{'' if key == result else f'{key} '}{_number(median(values))} ({_number(min(values))} to"
        f" {_number(max(values))})"
        for key, values in columns.items()
    )


def run_table(
    caption="Every training behind this notebook, failures included.", result="accuracy", told=None, most=None
):
    """Display the run table: one line per setting, repetitions with other seeds side by side.

    A result `seconds_of_training` is the cost of a training that a sweep only looks up; it counts as the sweep's.

    Args:
        caption: of the table.
        result: the number shown for each seed where a run has it; otherwise all its numbers are shown.
        told: dict from the name of a run to a function of its result, which returns the numbers to show instead.
        most: of more repetitions than these the median, the lowest and the highest number are shown.
    """
    lines, above, told = [], {}, told or {}
    for record in checkpoints.RECORDS:
        groups = {}
        for row in record["rows"]:
            shared = {key: value for key, value in row["settings"].items() if key != "seed"}
            groups.setdefault(str(shared), (shared, []))[1].append(row)
        for number, (shared, rows) in enumerate(groups.values()):
            changed = {key: value for key, value in shared.items() if key not in above or above[key] != value}
            above = shared
            name = record["name"].split("/")[1]
            results = [told[name](row["result"]) if name in told else row["result"] for row in rows]
            seconds = sum(row["seconds"] + row["result"].get("seconds_of_training", 0) for row in rows)
            lines.append(
                {
                    "run": name if number == 0 else "",
                    "settings that differ from the line above": ", ".join(
                        f"{key} {_plain(value)}" for key, value in changed.items()
                    ),
                    "seeds": _plain([row["settings"].get("seed", "–") for row in rows]),
                    "result": _outcomes(results, result, most),
                    "CPU-seconds": f"{seconds:.0f}",
                    "why": record["why"] if number == 0 else "",
                }
            )
    figures.show_table(pd.DataFrame(lines), caption)
