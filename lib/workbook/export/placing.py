"""Which figures and tables stand where the notebook has them, found by setting the document a few times."""

import json

import typst

from .template import PREAMBLE, TEXT_HEIGHT, fonts

BOTTOM = 56.7 + TEXT_HEIGHT  # pt from the edge of the paper, whose margins are 20 mm, to the end of the text
SPARE = 0.18 * TEXT_HEIGHT  # so much of a page may stay white for a figure to stand in its place, on the next page
ROUNDS = 8  # in which figures may be put in their places; after that they are only taken out
REPORT = """
#context [#metadata(query(<called>).zip(query(<stands>)).map(((called, stands)) => {
  let (place, above) = (called.location().position(), query(selector(heading).before(called.location())))
  let headed = above.len() > 0 and {
    let last = above.last().location().position()
    last.page == place.page and place.y - last.y < 60pt
  }
  (..called.value, place.page, place.y.pt(), headed, stands.location().page())
}))<places>]
"""


def arrange(main):
    """Choose in the document in the file `main`, of Typst, which of its figures are set in place.

    One is, if the rest of the page has room for it, or is so small that it may stay white, and no earlier one waits for
    the next page. As each choice moves what comes after it, the document is set again until nothing changes; then those
    are taken out that a later one overtakes. A document that Typst refuses stays as it is.

    Returns:
        the `typst.Compiler` that has set the document; it remembers, so that the PDF takes a tenth of the time.
    """
    text, chosen, settled = main.read_text("utf-8").removeprefix(PREAMBLE), set(), False
    compiler = typst.Compiler(str(main), root=str(main.parent), font_paths=fonts(), ignore_system_fonts=True)
    for attempt in range(2 * ROUNDS):
        main.write_text(f"{PREAMBLE}#in-place.update({_array(chosen)})\n{text}{REPORT}", "utf-8")
        try:
            compiler.compile()  # else it would answer from the file as it was before
            found = compiler.query("<places>")
        except (typst.TypstError, RuntimeError):
            break
        places = json.loads(found)[0]["value"]
        fitting = _fitting(places, chosen)
        settled = settled or fitting == chosen or attempt >= ROUNDS
        if settled:
            fitting = (fitting & chosen) - _overtaken(places, chosen)
        if fitting == chosen:
            break
        chosen = fitting
    main.write_text(f"{PREAMBLE}#in-place.update({_array(chosen)})\n{text}", "utf-8")
    return compiler


def forget(main):
    """Let Typst forget what it has set, once the PDF is made: it remembers until ten more documents are compiled, and
    in a process that exports many notebooks they would fill the memory. The file `main` is empty afterwards.
    """
    main.write_text("", "utf-8")
    compiler = typst.Compiler(str(main), root=str(main.parent), font_paths=[], ignore_system_fonts=True)
    for _ in range(12):
        compiler.compile()


def _fitting(places, chosen):
    """Numbers of the figures that can stand in their places: list of (number, height, page and y of its call, whether
    a heading stands right above, its own page)."""
    fitting, reached = set(), 1  # the last page with a figure that does not stand in its place
    for number, height, page, y, headed, stands in places:
        from_above = [h for n, h, *_, on in places if on == page and n >= number and n not in chosen]
        rest = BOTTOM - (y - sum(from_above))
        if page >= reached and (height <= rest or rest <= SPARE and not headed):
            fitting.add(number)
        elif number not in chosen:
            reached = max(reached, stands)
    return fitting


def _overtaken(places, chosen):
    """Those of the chosen figures above which a later one stands, as it has floated to the top of their page."""
    last = {}
    for number, *_, stands in places:
        if number not in chosen:
            last[stands] = number
    return {number for number, *_, stands in places if number in chosen and number < last.get(stands, 0)}


def _array(numbers):
    """As Typst writes an array of numbers."""
    return "(" + "".join(f"{number}, " for number in sorted(numbers)) + ")"
