"""Which figures and tables stand where the notebook has them, found by setting the document a few times."""

import json

import typst

from .template import PREAMBLE, TEXT_HEIGHT, fonts

BOTTOM = 56.7 + TEXT_HEIGHT  # pt from the edge of the paper, whose margins are 20 mm, to the end of the text
ROUNDS = 4  # in which figures may be put in their places; after that they are only taken out
REPORT = """
#context [#metadata(query(<called>).zip(query(<stands>)).map(((called, stands)) => {
  let place = called.location().position()
  (..called.value, place.page, place.y.pt(), stands.location().page())
}))<places>]
"""


def arrange(main):
    """Choose in the document in the file `main`, of Typst, which of its figures are set in place.

    One is, if the rest of the page has room for it and no earlier one waits for the next page. As each choice moves
    what comes after it, the document is set again until nothing changes. A document that Typst refuses stays as it is.
    """
    text, chosen = main.read_text("utf-8").removeprefix(PREAMBLE), set()
    for attempt in range(3 * ROUNDS):
        main.write_text(f"{PREAMBLE}#in-place.update({_array(chosen)})\n{text}{REPORT}", "utf-8")
        try:
            found = typst.query(
                str(main), "<places>", root=str(main.parent), font_paths=fonts(), ignore_system_fonts=True
            )
        except (typst.TypstError, RuntimeError):
            break
        fitting = _fitting(json.loads(found)[0]["value"], chosen)
        if attempt >= ROUNDS:
            fitting &= chosen
        if fitting == chosen:
            break
        chosen = fitting
    _forget(main)
    main.write_text(f"{PREAMBLE}#in-place.update({_array(chosen)})\n{text}", "utf-8")


def _forget(main):
    """Let Typst forget these documents. It keeps what it has set until ten more are compiled, and does not count those
    that are only asked for their places: in a process that exports many notebooks they would fill the memory."""
    main.write_text("", "utf-8")
    for _ in range(12):
        typst.compile(str(main), root=str(main.parent), font_paths=fonts(), ignore_system_fonts=True)


def _fitting(places, chosen):
    """Numbers of the figures that have room in their places: list of (number, height, page and y of its call, its own
    page)."""
    fitting, reached = set(), 1  # the last page with a figure that does not stand in its place
    for number, height, page, y, stands in places:
        if page >= reached and y + height <= BOTTOM:
            fitting.add(number)
        elif number not in chosen:
            reached = max(reached, stands)
    return fitting


def _array(numbers):
    """As Typst writes an array of numbers."""
    return "(" + "".join(f"{number}, " for number in sorted(numbers)) + ")"
