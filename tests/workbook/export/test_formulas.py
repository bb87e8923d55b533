"""Formulas: where they begin and end, what they mean, and those that cannot be printed."""

import pytest
from pieces import flat, markdown, notebook, pdf, source

from lib.workbook.export import ExportError, export_pdf

FORMULAS = r"""
\begin{aligned} a &= b \\ &= c \end{aligned}
f(x) = \begin{cases} -1 & x < 0 \\ 1 & \text{otherwise} \end{cases}
\begin{pmatrix} a & b \\ c & d \end{pmatrix} \begin{bmatrix} W_{hh} & W_{hx} \end{bmatrix}
\begin{vmatrix} a & b \\ c & d \end{vmatrix} \lVert x \rVert_2 = \|x\| = \left\|x\right\| = \bigl\| x \bigr\|
\operatorname{softmax}(x) = \operatorname*{arg\,max}_x f \tag{3}
\mathbb{E}_{x \sim p} \; \partial_t u \; \prod_{i=1}^n x_i \; \sum\limits_{i}^{n} i \; \sum_{\substack{i \\ j}} x
\sigma \odot \text{ if } x \; \underbrace{a + b}_{\text{sum}} \; \boldsymbol{\theta} \; W^\top \; a \cdot b \le c
\frac{a}{b} \sqrt{2} \; \sqrt{1 - \bar{\alpha}_t}\,\epsilon \; \Bigl( \tfrac12 \Bigr)^2 \; \bigl\{ x \bigr\}
D_{\mathrm{KL}}(q \| p) \; \left. \frac{df}{dx} \right|_{x=0} \; \left\{ \begin{array}{ll} a & b \end{array} \right.
\mathcal{N}\!\left(0, \sigma^2 I\right) \; \hat{x} \tilde{x} \vec{v} \dot{x} \; \lfloor \log_3 T \rfloor \; 10\,\%
\overset{\text{def}}{=} \binom{n}{k} \nabla^2 u \; \mathbf{1}[x] \xrightarrow{f} \boxed{x} \mathscr{F}
""".strip().split("\n")


def test_formulas_compile():
    bare = r"\begin{align} \frac{\partial L}{\partial W} &= \sum_t \prod_k J_k \\ &= 0 \end{align}"
    cells = [markdown(f"Inline ${tex.replace(chr(92) + 'tag{3}', '')}$ and\n\n$$\n{tex}\n$$") for tex in FORMULAS]
    assert pdf(*cells, markdown(bare)).startswith(b"%PDF")


@pytest.mark.parametrize(
    "tex, typst",
    [
        (r"\operatorname*{arg\,max}_x", 'op("arg\u2006max", limits: #true)_x'),
        (r"\operatorname{softmax}(x)", r'op("softmax") \( x \)'),
        (r"\|x\|", "lr(bar.v.double x bar.v.double)"),
        (r"q\|p", "q parallel p"),
        (r"\left\lVert x \right\rVert_2", "lr(bar.v.double x bar.v.double)_2"),
        (r"\bigl( x \bigr)", r'class("opening", lr(size: #1.2em, \()) x class("closing", lr(size: #1.2em, \)))'),
        (r"\left. x \right|_0", "lr(x |)_0"),
        (r"\begin{vmatrix} a \end{vmatrix}", 'mat(delim: "|", a)'),
    ],
)
def test_formulas_mean_what_they_mean_in_latex(tex, typst):
    assert f"${typst}$" in source(markdown(f"${tex}$"))


def test_where_formulas_begin_and_end():
    code_ = source(
        markdown("Costs $5 and $6, `$x$`, \\$y\\$, **bold**$z$, $a_b$ and $c_d$.\n\n$$\na\n- b\n$$\n\n\\\\(q\\\\)")
    )
    assert "Costs \\$5 and \\$6, `$x$`, \\$y\\$, #strong[bold]$z$, $a_b$ and $c_d$." in code_
    assert "$ a - b $" in code_ and "$q$" in code_


def test_a_tag_stands_at_the_margin():
    assert '#tagged("3a")[$ x = 1 $]' in source(markdown(r"$$x = 1 \tag{3a}$$"))


def test_long_formulas_stay_on_the_page():
    """Every word of a formula several lines long is inside the margins."""
    long = " + ".join(rf"\text{{word{i}}}" for i in range(60))
    cells = [
        markdown(f"$$a = {long}$$"),
        markdown(f"$${' + '.join('abcdefghijklmnopqrst')} = {' + '.join('abcdefgh')}$$"),
    ]
    text = flat(pdf(*cells))
    assert all(f"word{i}" in text for i in range(60))


@pytest.mark.parametrize(
    "tex, why",
    [(r"\argmaxx_\theta L", r"the macro \argmaxx is unknown"), (r"\frac{a}", "incomplete"), (r"\frac{}{}", "simpler")],
)
def test_a_formula_that_cannot_be_printed_is_named(tex, why, tmp_path):
    out = tmp_path / "deep" / "a.pdf"
    with pytest.raises(ExportError) as error:
        export_pdf(notebook(markdown("# T"), markdown(f"fine $x$ and\n\n$${tex}$$")), out)
    assert f"a, cell 2: the formula ${tex}$" in str(error.value) and why in str(error.value)
    assert not list(tmp_path.rglob("*.pdf")) and not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize(
    "tex, typst",
    [
        (r"\text{50\% mehr \& a}", 'upright("50% mehr & a")'),
        (r"\cfrac{1}{1+x}", "frac(1, 1 + x)"),
        (r"\textcolor{red}{x} + {\color{blue}y}", "x + y"),
        (
            r"\left[\begin{array}{cc|c}1&2&3\\\hline 4&5&6\end{array}\right]",
            "[mat(delim: #none, column-gap: #1em, augment: #(hline: (1, ), vline: (2, )), 1, 2, 3; 4, 5, 6)]",
        ),
        (
            r"\begin{array}{|c|}\hline a\\\hline\end{array}",
            "mat(delim: #none, column-gap: #1em, augment: #(hline: (0, 1, ), vline: (0, 1, )), a)",
        ),
        (r"\begin{array}{cc}1&2\end{array}", "mat(delim: #none, column-gap: #1em, 1, 2)"),
        (
            r"\begin{array}{@{}*{2}{c}:p{1cm}@{}}1&2&3\end{array}",
            "mat(delim: #none, column-gap: #1em, augment: #(hline: (), vline: (2, )), 1, 2, 3)",
        ),
    ],
)
def test_what_pandoc_does_not_know_is_put_right(tex, typst):
    assert f"${typst}$" in source(markdown(f"${tex}$"))
    pdf(markdown(f"$${tex}$$"))


def test_rules_and_signs_in_the_page():
    from test_html import page

    tree = page(markdown(r"$\begin{array}{c|c}1&2\\\hline 3&4\end{array}$ and $\text{50\% mehr \& a}$"))
    sides = [[side for side in ("left", "top") if f"border-{side}" in cell["style"]] for cell in tree.find_all("mtd")]
    assert sides == [[], ["left"], ["top"], ["left", "top"]]
    assert tree.find("mtext").get_text() == "50% mehr & a"
