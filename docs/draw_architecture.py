"""Draws `docs/architecture.svg` from the imports of today's code: `python docs/draw_architecture.py`.

The functions that read the imports also serve `tests/test_architecture.py`.
"""

import ast
import io
import re
from functools import cache
from pathlib import Path

import matplotlib
from matplotlib import pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path as Path_

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "architecture.svg"


# --- what the code says ---------------------------------------------------------------------------------------------


@cache
def modules():
    """All modules of the library: dict of dotted name to path; a package is named like its folder."""
    paths = sorted((ROOT / "lib").rglob("*.py"))
    return {dotted(path): path for path in paths}


def dotted(path):
    """The name that a file of this project has when it is imported: `lib/models/unet.py` -> `lib.models.unet`."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def room(name):
    """The room of a module: `lib.models.unet` -> `models`; None for what is not of the library."""
    parts = name.split(".")
    return parts[1] if parts[0] == "lib" and len(parts) > 1 else None


@cache
def tree(path):
    return ast.parse(path.read_text("utf-8"))


@cache
def bound(path):
    """What a file imports from the library, at its top or inside functions: (name in the file, full name), in order.

    `from lib.models import UNet as Net` -> ("Net", "lib.models.UNet"); `import lib.figures` -> ("lib", "lib.figures").
    """
    package = dotted(path) if path.name == "__init__.py" else dotted(path).rpartition(".")[0]
    found = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found += [(alias.asname or alias.name.partition(".")[0], alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *filter(None, [base])])
            found += [(alias.asname or alias.name, f"{base}.{alias.name}") for alias in node.names]
    return tuple((name, full) for name, full in found if full.partition(".")[0] == "lib")


@cache
def defined_in(full):
    """The module that a full name leads to: itself, the one around it, or the one that a package exports it from."""
    if full in modules():
        return full
    package, _, name = full.rpartition(".")
    if not package:
        return None
    if package not in modules():
        return defined_in(package)
    exported = [origin for known, origin in bound(modules()[package]) if known == name]
    return defined_in(exported[0]) if exported and exported[0] != full else package


@cache
def edges():
    """Which room imports which: sorted pairs of names."""
    pairs = {(room(name), room(full)) for name, path in modules().items() for _, full in bound(path)}
    return tuple(sorted((one, other) for one, other in pairs if one and other and one != other))


def floors():
    """Rooms from the ground floor up: each stands one floor above the highest room that it imports.

    Raises:
        ValueError: rooms import each other in a circle.
    """
    height, names = {}, {room(name) for name in modules()} - {None}
    while len(height) < len(names):
        ready = {
            name: 1 + max((height[below] for one, below in edges() if one == name), default=-1)
            for name in names - set(height)
            if all(below in height for one, below in edges() if one == name)
        }
        if not ready:
            raise ValueError(f"these rooms import each other in a circle: {', '.join(sorted(names - set(height)))}")
        height |= ready
    return [sorted(name for name in names if height[name] == floor) for floor in range(max(height.values()) + 1)]


def lines(name):
    """Lines of a room, blank ones and comments included."""
    files = [path for module, path in modules().items() if room(module) == name]
    return sum(len(path.read_text("utf-8").splitlines()) for path in files)


# --- the picture ----------------------------------------------------------------------------------------------------

# Purpose and colour of a room; the colour is also that of the arrows that end there. From left to right on each floor.
LOOKS = {
    "figures": ("what is seen", "#A64D7F"),
    "storage": ("files, fingerprints", "#5F5F5F"),
    "baselines": ("what a network\nhas to beat", "#8A6D00"),
    "models": ("architectures, nothing else", "#0072B2"),
    "training": ("trains, resumes, loads", "#5B4DB2"),
    "datasets": ("data: made, fetched, split", "#00795A"),
    "losses": ("what is minimised", "#B34700"),
    "workbook": ("runs, checks, exports and ships the book", "#222222"),
    "experiments": ("the waves under Hydra", "#222222"),
    "metrics": ("what is reported", "#222222"),
}
# In inches: height of a box, distance between floors, room beside a box, a line of code, smallest width, the page.
HEIGHT, STOREY, GAP, INCHES, LEAST, PAGE = 0.78, 1.55, 0.62, 1 / 1100, 1.5, 11.9


def boxes(storeys, page):
    """Where every room stands: dict of name to (left, bottom, width); rows are centred on the page."""
    places = {}
    for floor, names in enumerate(storeys):
        names = sorted(names, key=list(LOOKS).index)
        widths = [max(LEAST, lines(name) * INCHES) for name in names]
        left = (page - sum(widths) - GAP * (len(widths) - 1)) / 2
        for name, width in zip(names, widths, strict=True):
            places[name] = (left, floor * STOREY, width)
            left += width + GAP
    return places


def gaps(storey, places):
    """The middles of the spaces beside and between the boxes of a floor."""
    boxes = sorted(places[name] for name in storey)
    between = [(one[0] + one[2] + other[0]) / 2 for one, other in zip(boxes, boxes[1:], strict=False)]
    return [boxes[0][0] - GAP / 2, *between, boxes[-1][0] + boxes[-1][2] + GAP / 2]


def routes(storeys, places):
    """Every arrow as (from, to, points): it leaves below a box, passes floors between boxes, and ends on top of one."""
    level = {name: number for number, storey in enumerate(storeys) for name in storey}
    middle = {name: left + width / 2 for name, (left, _, width) in places.items()}
    passing, through = {}, {}
    for one, other in edges():
        for floor in range(level[one] - 1, level[other], -1):
            aim = middle[one] + (middle[other] - middle[one]) * (level[one] - floor) / (level[one] - level[other])
            gap = min(gaps(storeys[floor], places), key=lambda x, aim=aim: abs(x - aim))
            passing[one, other, floor] = gap
            through.setdefault((floor, gap), []).append((one, other))
    for arrows in through.values():
        arrows.sort(key=lambda arrow: (middle[arrow[1]], middle[arrow[0]]))

    def port(name, arrow, end):
        """Arrows share the side of a box evenly, in the order of what lies at their other ends."""
        side = [edge for edge in edges() if edge[end] == name]

        def far(edge):
            steps = [x for (one, other, floor), x in passing.items() if (one, other) == edge]
            return (steps[-1] if end else steps[0]) if steps else middle[edge[1 - end]]

        side.sort(key=lambda edge: (far(edge), middle[edge[1 - end]]))
        left, _, width = places[name]
        return left + width * (side.index(arrow) + 1) / (len(side) + 1)

    for one, other in edges():
        points = [(port(one, (one, other), 0), places[one][1])]
        for floor in range(level[one] - 1, level[other], -1):
            group = through[floor, passing[one, other, floor]]
            x = passing[one, other, floor] + 0.13 * (group.index((one, other)) - (len(group) - 1) / 2)
            points += [(x, floor * STOREY + HEIGHT), (x, floor * STOREY)]
        yield one, other, [*points, (port(other, (one, other), 1), places[other][1] + HEIGHT + 0.03)]


def draw():
    """The picture as SVG text; the edges stand in its description too, one a line."""
    matplotlib.rcParams["svg.hashsalt"] = "architecture"
    storeys = floors()
    page, top = PAGE, (len(storeys) - 1) * STOREY + HEIGHT
    fig = plt.figure(figsize=(page, top + 1.15))
    ax = fig.add_axes((0, 0, 1, 1), xlim=(0, page), ylim=(-0.3, top + 0.85))
    ax.axis("off")
    fig.patch.set(facecolor="#FFFFFF", edgecolor="#D0D7DE", linewidth=1)
    places = boxes(storeys, page)
    band = FancyBboxPatch((0.35, top + 0.3), page - 0.7, 0.32, boxstyle="round,pad=0.03", fc="#F2F4F7", ec="#8C959F")
    ax.add_patch(band)
    text = "notebooks join the rooms: each imports what its exercise is about"
    ax.text(page / 2, top + 0.46, text, ha="center", va="center", fontsize=9.5)
    for _, other, points in routes(storeys, places):
        vertices, codes = [points[0]], [Path_.MOVETO]
        for number, ((x, y), (u, v)) in enumerate(zip(points, points[1:], strict=False)):
            bend = 0 if number % 2 else 0.5 * (y - v)  # beside a box straight down, between floors from side to side
            vertices += [(x, y - bend), (u, v + bend), (u, v)]
            codes += [Path_.CURVE4] * 3
        look = {"color": LOOKS[other][1], "lw": 1.5, "mutation_scale": 11, "shrinkA": 0, "shrinkB": 0}
        ax.add_patch(FancyArrowPatch(path=Path_(vertices, codes), arrowstyle="-|>", **look))
    for name, (left, bottom, width) in places.items():
        purpose, color = LOOKS[name]
        style = {"boxstyle": "round,pad=0,rounding_size=0.08", "fc": "#FFFFFF", "ec": color, "lw": 1.6}
        ax.add_patch(FancyBboxPatch((left, bottom), width, HEIGHT, **style))
        middle = left + width / 2
        folder = (ROOT / "lib" / name).is_dir()
        label = f"{name}/" if folder else f"{name}.py"
        ax.text(
            middle, bottom + HEIGHT - 0.19, label, ha="center", va="center", fontsize=11, weight="bold", color=color
        )
        ax.text(middle, bottom + 0.37, purpose, ha="center", va="center", fontsize=8.5, linespacing=1.0)
        count = f"{round(lines(name), -1):,} lines"
        ax.text(middle, bottom + 0.11, count, ha="center", va="center", fontsize=7.5, color="#5F5F5F")
    description = "Which room of lib imports which:\n" + "\n".join(f"{one} -> {other}" for one, other in edges())
    text = io.StringIO()
    fig.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Description": description})
    plt.close(fig)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def drawn(picture):
    """The edges that stand in a picture's description, as `edges` returns them."""
    return tuple(tuple(pair) for pair in re.findall(r"^.*?\b(\w+) -(?:&gt;|>) (\w+)", picture, re.MULTILINE))


if __name__ == "__main__":
    PICTURE.write_text(draw(), "utf-8")
