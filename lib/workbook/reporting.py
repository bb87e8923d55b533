"""What a notebook says about itself: checked claims, the source of a class, the table of all trainings behind it."""

import os
import re
from statistics import median

import pandas as pd
from IPython.display import display

from lib import figures
from lib.training import checkpoints
from lib.workbook import exercises, sources
from lib.workbook.notebooks import UsageError
from lib.workbook.reading import MINUS

EXPECTED = {"shipped": True}  # what the notebook has said last, see `expect_shipped`
CODE = r"`[^`]*`|\$[^$]*\$"  # and formulas, which stay as they are
NEGATIVE = re.compile(f"{CODE}|{MINUS}")


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
    text = NEGATIVE.sub(lambda found: "−" if found[0] == "-" else found[0], text)  # a hyphen would be too short
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


def _numbers(result, names):
    """What is shown of a result: the first of these names that it has, or all of its numbers."""
    numbers = {key: value for key, value in result.items() if isinstance(value, (int, float))}
    return next(({name: numbers[name]} for name in names if name in numbers), numbers)


def _outcomes(results, names, most):
    """Repetitions side by side; of more than `most` the median, the lowest and the highest number."""
    shown = [_numbers(result, names) for result in results]
    label = {key: "" if key == names[0] else f"{key} " for numbers in shown for key in numbers}
    if most and len(shown) > most:
        columns = {key: [numbers[key] for numbers in shown] for key in shown[0]}
        return ", ".join(
            f"{label[key]}{_number(median(values))} ({_number(min(values))} to {_number(max(values))})"
            for key, values in columns.items()
        )
    form = {key: _number if key in names else "{:.4g}".format for key in label}
    if len(label) == 1 and all(shown):  # the name is said once
        ((key, name),) = label.items()
        return name + " · ".join(form[key](numbers[key]) for numbers in shown)
    each = (", ".join(f"{label[key]}{form[key](value)}" for key, value in numbers.items()) for numbers in shown)
    return " · ".join(each)


def run_table(
    caption="Every training behind this notebook, failures included.",
    result="accuracy",
    told=None,
    most=None,
    usual=None,
):
    """Display the run table: one line per setting, repetitions with other seeds side by side.

    A result `seconds_of_training` is the cost of a training that a sweep only looks up; it counts as the sweep's.

    Args:
        caption: of the table.
        result: the number shown for each seed where a run has it, or several: then the first that a run has, with its
            name if it is not the first of them. Where a run has none, all its numbers are shown.
        told: dict from the name of a run to a function of its result, which returns the numbers to show instead.
        most: of more repetitions than these the median, the lowest and the highest number are shown.
        usual: dict of settings that are not told where the line above does not have them; the caption should name them.
    """
    names = [result] if isinstance(result, str) else list(result)
    lines, above, told, usual = [], {}, told or {}, usual or {}
    for record in checkpoints.RECORDS:
        groups = {}
        for row in record["rows"]:
            shared = {key: value for key, value in row["settings"].items() if key != "seed"}
            groups.setdefault(str(shared), (shared, []))[1].append(row)
        for number, (shared, rows) in enumerate(groups.values()):
            before = usual | above
            changed = {key: value for key, value in shared.items() if key not in before or before[key] != value}
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
                    "result": _outcomes(results, names, most),
                    "CPU-seconds": f"{seconds:.0f}",
                    "why": record["why"] if number == 0 else "",
                }
            )
    figures.show_table(pd.DataFrame(lines), caption)
