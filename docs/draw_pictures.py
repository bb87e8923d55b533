"""Draw the pictures of the README from the committed outputs of the notebooks, as `notebooks/covers.yaml` chooses them:
`python docs/draw_pictures.py` writes `docs/pictures/strip.webp`, films side by side, and `docs/pictures/NN.jpg`.
"""

import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # so that it runs without PYTHONPATH

from lib.workbook import notebooks, overview  # noqa: E402

FILMS = ("03", "05", "08", "07", "09")  # numbers of the notebooks, from left to right
HEIGHT, GAP, FRAMES, DURATION = 170, 6, 40, 100  # pixels, pixels, number, milliseconds
SMALL = 200, 130  # pixels, at most, of a notebook's picture


def strip(films):
    """Frames of all films side by side, each shown once while the strip is shown once."""
    films = [[frame.resize((round(frame.width * HEIGHT / frame.height), HEIGHT)) for frame in film] for film in films]
    width = sum(film[0].width + GAP for film in films) - GAP
    for step in range(FRAMES):
        whole, left = Image.new("RGB", (width, HEIGHT), "white"), 0
        for film in films:
            whole.paste(film[step * len(film) // FRAMES], (left, 0))
            left += film[0].width + GAP
        yield whole


def main():
    folder = ROOT / "docs" / "pictures"
    folder.mkdir(exist_ok=True)
    covers = {path.name[:2]: overview.cover(path) for path in notebooks.paths() if path.stem in overview.choices()}
    for number, cover in covers.items():
        print("\n".join(f"{number}: {problem}" for problem in cover.missing), end="")
        small = cover.frames[-1].copy()
        small.thumbnail(SMALL)
        small.save(folder / f"{number}.jpg", quality=82, optimize=True)
    first, *others = strip([covers[number].frames for number in FILMS])
    first.save(
        folder / "strip.webp", save_all=True, append_images=others, duration=DURATION, loop=0, quality=60, method=4
    )


if __name__ == "__main__":
    main()
