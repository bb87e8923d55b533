"""The notebooks at a glance: minutes, and for each a picture and a number out of its committed outputs."""

import base64
import io
import itertools
import re
from functools import cache
from typing import NamedTuple

import yaml
from PIL import Image, ImageSequence

from lib.storage.paths import ROOT
from lib.workbook import notebooks, reading
from lib.workbook.export.static_outputs import FILM
from lib.workbook.reading import about

COVERS = notebooks.FOLDER / "covers.yaml"
# A row of the README's table: | picture | **[01 Palindromes](notebooks/01_palindromes.ipynb)**<br>… | run | train | …
ROW = re.compile(r"^\|.*?\[(\d\d) ([^]]+)\]\(notebooks/(\w+)\.ipynb\).*?((?:\| *[\d.]+ *(?:GB)? *){4,})\|$", re.M)


class Times(NamedTuple):
    """What a notebook takes: reading minutes of the core path and of the deeper sections, computing minutes on the
    reference machine with what ships, for the headline models and for everything, and memory in GB.
    """

    core: int
    deeper: int
    run: float
    train: float
    everything: float
    memory: float


class Cover(NamedTuple):
    """What stands for a notebook.

    Attributes:
        frames: PIL images, of a film several. sentence: with its number. missing: what `covers.yaml` asks for that the
            notebook does not have; something else of it is taken then.
    """

    frames: list
    sentence: str
    missing: list


def titles():
    """Short titles of the notebooks, from the README's table: {"01_palindromes": "Palindromes"}."""
    return {name: title for _, title, name, _ in ROW.findall((ROOT / "README.md").read_text("utf-8"))}


def times():
    """{name of a notebook: `Times`}: computing times from the README's table, reading times as counted today."""
    found = {}
    for _, _, name, columns in ROW.findall((ROOT / "README.md").read_text("utf-8")):
        core, deeper = reading.minutes(_read(notebooks.FOLDER / f"{name}.ipynb"))
        found[name] = Times(round(core), round(deeper), *map(float, re.findall(r"[\d.]+", columns)[:4]))
    return found


@cache
def _read(path):
    return notebooks.read(path)


@cache
def choices():
    """What `covers.yaml` chooses: {name of a notebook: {"after": […], "figure": …, …}}."""
    return yaml.safe_load(COVERS.read_text("utf-8"))


def cover(path):
    """The `Cover` of a notebook."""
    chosen, nb = choices()[path.stem], _read(path)
    outputs = [output for cell in nb.cells for output in cell.get("outputs", []) if "data" in output]
    pictures = [output for output in outputs if "figure" in about(output)]
    wanted = [one for one in pictures if re.match(chosen["figure"], about(one)["caption"])]
    said = re.sub(r"[*]", "", "\n".join(output.data.get("text/markdown", "") for output in outputs))
    number = re.search(chosen["number"], said)
    sentence = chosen["says"].format(*number.groups()) if number else _first_claim(said)
    missing = [f"no caption begins with {chosen['figure']!r}"] * (not wanted)
    missing += [f"no sentence says {chosen['number']!r}"] * (not number)
    frames = _frames((wanted or pictures)[0])
    if wanted and "part" in chosen:
        frames = [_cut(frame, *chosen["part"]) for frame in frames]
    if wanted and "columns" in chosen:  # of a sheet, one picture after the other and back
        edges = [column / chosen["columns"] for column in range(chosen["columns"] + 1)]
        there = [_cut(frames[0], left, 0, right, 1) for left, right in itertools.pairwise(edges)]
        frames = there + there[-2:0:-1]
    return Cover(frames, sentence, missing)


def _first_claim(said):
    claims = [line.removeprefix("✓ ") for line in said.splitlines() if line.startswith("✓") and re.search(r"\d", line)]
    return claims[0].split(". ")[0][:120] if claims else ""


def _frames(output):
    film = FILM.search(output.data.get("text/html", ""))
    kind = next((kind for kind in ("image/png", "image/jpeg") if kind in output.data), None)
    data = film[1] if film else output.data[kind]
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        return [frame.convert("RGB") for frame in ImageSequence.Iterator(picture)]


def _cut(frame, left, top, right, bottom):
    return frame.crop(
        tuple(map(round, (left * frame.width, top * frame.height, right * frame.width, bottom * frame.height)))
    )
