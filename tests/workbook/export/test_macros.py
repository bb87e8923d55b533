"""Macros: known from the first cell to the last, on paper and in the page."""

import time

import pytest
from pieces import markdown, source
from test_html import page

from lib.workbook.export import ExportError
from lib.workbook.export.macros import expanded

DEFINED = r"\newcommand{\R}{\mathbb{R}} \def\E#1{\mathbb{E}[#1]} \DeclareMathOperator*{\argmin}{arg\,min}"


@pytest.mark.parametrize(
    "definition, tex, meaning",
    [
        (r"\newcommand{\R}{\mathbb{R}}", r"x \in \R^n", r"x \in \mathbb{R}^n"),
        (r"\newcommand\R{r}", r"\Re \R", r"\Re r"),
        (r"\newcommand{\a}[2][q]{#1+#2}", r"\a{1} \a[b]{2} \a 3", "q+1 b+2 q+3"),
        (r"\def\f#1#2{\frac{#2}{#1}}", r"\f{a}{\f12}", r"\frac{\frac{2}{1}}{a}"),
        (r"\DeclareMathOperator*{\argmin}{arg\,min}", r"\argmin_x", r"\operatorname*{arg\,min}_x"),
        (r"\DeclareMathOperator{\tr}{tr}", r"\tr A", r"\operatorname{tr} A"),
        (r"\let\al\alpha", r"\al x", r"\alpha x"),
        (r"\let\al=\alpha", r"\al", r"\alpha"),
        (r"\newcommand{\b}{\beta}", r"{\b}x \b x", r"{\beta}x \beta x"),
        (r"\newcommand{\x}{1}\renewcommand{\x}{2}\providecommand{\x}{3}", r"\x", "2"),
    ],
)
def test_what_a_macro_stands_for(definition, tex, meaning):
    assert expanded([definition, tex], pytest.fail) == ["", meaning]
    assert expanded([tex, definition], pytest.fail) == [meaning, ""]


def test_macros_of_an_earlier_cell():
    cells = [markdown(r"# On $\R$"), markdown(f"Let ${DEFINED}$ be."), markdown(r"$\argmin_x \E{x} \in \R$")]
    code = source(*cells)
    assert '$op("arg min", limits: #true)_x bb(E) \\[ x \\] in bb(R)$'.replace("arg min", "arg\u2006min") in code
    assert "Let  be." in code and "On $bb(R)$" in code
    assert "ℝ" in page(*cells).h1.get_text()


@pytest.mark.parametrize("tex", [r"\def\x{\x}\x", r"\def\a{\b\b}\def\b{\a\a}\a"])
def test_macros_without_end_are_refused(tex):
    for export in (source, page):
        with pytest.raises(ExportError, match="cell 2: .*without end"):
            export(markdown("# T"), markdown(f"${tex}$"))


@pytest.mark.parametrize(
    "tex", [r"\def\x" + " " * 50_000 + "y", r"\newcommand{\x}[1]" + " " * 50_000, "\\def\\x" * 5000]
)
def test_endless_formulas_take_no_time(tex):
    start = time.process_time()
    expanded([tex], pytest.fail)
    assert time.process_time() - start < 2
