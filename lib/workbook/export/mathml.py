"""Formulas as MathML, which browsers set by themselves: all formulas of a page by one run of pandoc."""

import html

from bs4 import BeautifulSoup

from .formulas import paragraph, refusal, released, rules, simplified, split_tag
from .pandoc import document, pandoc

APPLIED = "\u2061"  # the sign after the name of a function
SIGNS = "+−±∓"  # which pandoc writes as names at the beginning of a formula
NO_SPACE = ("mo", "mspace")  # beside these a name has no space of its own
SCRIPTS = ("msub", "msup", "msubsup", "munder", "mover", "munderover")


def mathml(formulas, fail):
    """Every formula of a `Formulas` as HTML, in their order; `fail(problem, cell)` is called for one without MathML."""
    if not formulas.all:
        return []
    expanded = formulas.expanded(fail)
    blocks = [paragraph(tex, display, simplified) for tex, _, display, _ in expanded]
    soup = BeautifulSoup(pandoc(document(blocks), "json", "html", "--mathml")[0], "html.parser")
    done = []
    for i, ((tex, _, display, cell), found) in enumerate(zip(expanded, soup.find_all("p"), strict=True)):
        if not tex:  # it defines a macro and shows nothing
            done.append("")
            continue
        if found.math is None:  # pandoc gives the TeX back where it does not understand it
            fail(refusal(tex, pandoc(document([blocks[i]]), "json", "html", "--mathml")[1]), cell)
        found.annotation.decompose()  # the LaTeX, for other programs
        found.semantics.unwrap()
        del found.math["xmlns"]
        _space_functions(found.math, soup)
        _tighten_scripts(found.math)
        _draw_rules(found.math, rules(tex))
        tag = split_tag(tex)[1]
        tag = f'<span class="tag">({html.escape(tag)})</span>' if tag else ""
        code = released(str(found.math), html.escape)
        done.append(f'<span class="formula">{code}{tag}</span>' if display else code)
    return done


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


def _draw_rules(math, lines):
    """The rules of arrays, which pandoc drops (in place)."""
    tables = math.find_all("mtable")
    for table, (_, across, upright) in zip(tables, lines, strict=True) if len(tables) == len(lines) else []:
        rows = [row.find_all("mtd", recursive=False) for row in table.find_all("mtr", recursive=False)]
        for y, row in enumerate(rows):
            for x, cell in enumerate(row):
                sides = {"left": x in upright, "right": x == len(row) - 1 and x + 1 in upright}
                sides |= {"top": y in across, "bottom": y == len(rows) - 1 and y + 1 in across}
                style = [f"border-{side}: 0.06em solid" for side, wanted in sides.items() if wanted]
                if style:
                    cell["style"] = "; ".join([cell.get("style", "text-align: center"), *style])


def _first(node):
    """The first leaf of a piece of MathML."""
    while (child := node.find(True)) is not None:
        node = child
    return node
