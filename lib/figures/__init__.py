"""What is seen: one look, numbered captions, films, recurring figures; `diagrams` and `widgets` go by their names."""

from lib.figures.captions import number_anew
from lib.figures.films import encode_video, film
from lib.figures.output import jpeg, png, show, show_table, svg
from lib.figures.recurring import band, sheet
from lib.figures.style import COLORS, CYCLE, DPI, use_style

__all__ = [
    "COLORS",
    "CYCLE",
    "DPI",
    "band",
    "encode_video",
    "film",
    "jpeg",
    "number_anew",
    "png",
    "sheet",
    "show",
    "show_table",
    "svg",
    "use_style",
]
