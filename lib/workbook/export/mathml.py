"""Formulas as MathML, which browsers set by themselves: all formulas of a page by one run of pandoc."""

import html

from bs4 import BeautifulSoup

from .formulas import refusal, split_tag, without_labels
from .pandoc import document, pandoc

APPLIED = "\u2061"  # the sign after the name of a function
SIGNS = "+−±∓"  # which pandoc writes as names at the beginning of a formula
NO_SPACE = ("mo", "mspace")  # beside these a name has no space of its own
SCRIPTS = ("msub", "msup", "msubsup", "munder", "mover", "munderover")


def mathml(formulas, fail):
    """Every formula of a `Formulas` as HTML, in their order; `fail(problem, cell)` is called for one without MathML."""
    if not formulas.all:
        return []
    blocks = [_paragraph(tex, display) for tex, _, display, _ in formulas.all]
    soup = BeautifulSoup(pandoc(document(blocks), "json", "html", "--mathml")[0], "html.parser")
    done = []
    for i, ((tex, _, display, cell), found) in enumerate(zip(formulas.all, soup.find_all("p"), strict=True)):
        if found.math is None:  # pandoc gives the TeX back where it does not understand it
            fail(refusal(tex, pandoc(document([blocks[i]]), "json", "html", "--mathml")[1]), cell)
        found.annotation.decompose()  # the LaTeX, for other programs
        found.semantics.unwrap()
        del found.math["xmlns"]
        _space_functions(found.math, soup)
        _tighten_scripts(found.math)
        tag = split_tag(tex)[1]
        tag = f'<span class="tag">({html.escape(tag)})</span>' if tag else ""
        done.append(f'<span class="formula">{found.math}{tag}</span>' if display else str(found.math))
    return done


def _paragraph(tex, display):
    kind = {"t": "DisplayMath" if display else "InlineMath"}
    return {"t": "Para", "c": [{"t": "Math", "c": [kind, without_labels(split_tag(tex)[0])]}]}


def _space_functions(math, soup):
    """Put TeX's thin spaces around the names of functions, as in 2 log x but not in log(x) (in place)."""
    for name in math.find_all(lambda tag: tag.name == "mi" and len(tag.get_text()) > 1):
        sign = name.find_next_sibling()
        if sign is not None and sign.get_text() == APPLIED:
            name = name.parent
        while name.parent.name in SCRIPTS and name.find_previous_sibling() is None:
            name = name.parent
        before, after = name.find_previous_sibling(), name.find_next_sibling()
        if (
            before is not None
            and before.get_text() not in SIGNS
            and (before.name not in NO_SPACE or before.get("form") == "postfix")
        ):
            name.insert_before(soup.new_tag("mspace", attrs={"width": "0.167em"}))
        if after is not None and _first(after).name not in NO_SPACE:
            name.insert_after(soup.new_tag("mspace", attrs={"width": "0.167em"}))


def _tighten_scripts(math):
    """No space around the signs in an index or exponent, as in TeX (in place)."""
    for script in math.find_all(SCRIPTS):
        for part in script.find_all(True, recursive=False)[1:]:
            for sign in [part, *part.find_all("mo")]:
                if sign.name == "mo" and not sign.has_attr("form"):
                    sign["lspace"] = sign["rspace"] = "0"


def _first(node):
    """The first leaf of a piece of MathML."""
    while (child := node.find(True)) is not None:
        node = child
    return node
