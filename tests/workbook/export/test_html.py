"""The web page of a notebook: it needs nothing from outside, its formulas are set, its code is folded as tagged."""

import re
from urllib.parse import unquote

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat import v4
from pieces import code, display, figure, markdown, notebook, png, stream
from test_formulas import FORMULAS

from lib.workbook import glossary, notebooks
from lib.workbook.export import ExportError, export_html
from lib.workbook.export.formulas import Formulas
from lib.workbook.export.html import HTMLReport
from lib.workbook.export.mathml import mathml
from lib.workbook.export.page import Page

LISTING = display({"text/markdown": "`lib.models`\n\n```python\nclass RNN:\n    pass\n```"}, workbook={"source": "RNN"})


def page(*cells, **about):
    """The exported page as a tree."""
    body, _ = HTMLReport().from_notebook_node(notebook(*cells, **about), {"metadata": {"name": "n", "path": "."}})
    return BeautifulSoup(body, "html.parser")


def rendered(*cells):
    return page(*cells).main


def table(number, html):
    return display({"text/html": html, "text/plain": "table"}, workbook={"table": number, "caption": "A table."})


# --- all notebooks of the workbook ----------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=notebooks.paths(), ids=lambda path: path.stem)
def shipped(request, tmp_path_factory):
    """(notebook, its page as a tree)."""
    out = export_html(request.param, tmp_path_factory.mktemp("html") / "page.html")
    return nbformat.read(request.param, 4), BeautifulSoup(out.read_text("utf-8"), "html.parser")


def test_shipped_notebooks_need_nothing_from_outside(shipped):
    _, tree = shipped
    assert not tree.find_all(["script", "link", "iframe", "object", "embed"]), "no scripts, nothing that loads"
    assert all(tag["src"].startswith("data:") for tag in tree.find_all(src=True))
    styles = " ".join([tag.get_text() for tag in tree("style")] + [tag["style"] for tag in tree.find_all(style=True)])
    assert "url(" not in styles and "@import" not in styles
    assert "default-src 'none'" in tree.find("meta", attrs={"http-equiv": "Content-Security-Policy"})["content"]


def test_shipped_notebooks_show_no_latex(shipped):
    nb, tree = shipped
    formulas = Formulas()
    for cell in nb.cells:
        if cell.cell_type == "markdown" and "contents" not in cell.metadata.get("tags", []):
            formulas.take_out(cell.source, 0)
    assert len(tree.find_all("math")) >= len(formulas.all)
    for tag in tree(["pre", "code", "math", "style"]):
        tag.decompose()
    found = re.findall(r"\$[^$\n]+\$|\\[a-zA-Z]+|[\u2e28\u2e29\ue002]", tree.get_text())
    assert not found, found


def test_shipped_notebooks_lead_to_places_that_exist(shipped):
    _, tree = shipped
    ids = [tag["id"] for tag in tree.find_all(id=True)]
    assert len(ids) == len({*ids}), "every id is there once"
    for link in tree.find_all("a", href=True):
        target = link["href"]
        assert re.match(r"https?://|#|\d\d_\w+\.html(#|$)", target), target
        assert not target.startswith("#") or unquote(target[1:]) in ids, target


def test_shipped_notebooks_can_be_read_aloud(shipped):
    _, tree = shipped
    assert tree.html["lang"] == "en" and tree.title.get_text().strip()
    assert all(len(picture["alt"]) > 10 for picture in tree("img"))
    levels = [int(tag.name[1]) for tag in tree.main(re.compile(r"^h\d$"))]
    assert levels.count(1) == 1 and all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False)), levels


# --- folded code ----------------------------------------------------------------------------------------------------


def test_code_that_draws_is_folded_below_its_figure():
    fold = rendered(code("draw()", *figure(3), table(2, "<table></table>"), tags=["figure-code"])).details
    assert fold.summary.get_text() == "Code of Figure 3, Table 2" and not fold.has_attr("open")
    assert fold.pre.get_text().strip() == "draw()" and fold.find_previous_sibling("figure", id="table-2")
    folded = rendered(
        code("draw()", *figure(3), *figure(4), tags=["figure-code"]), code("cache()", tags=["figure-code"])
    )
    assert [fold.get_text() for fold in folded("summary")] == ["Code of Figures 3 and 4", "Code"]


def test_an_answer_is_folded_with_its_code_in_it():
    answer = rendered(code("claim(True)", stream("it holds\n"), *figure(3), tags=["predict"])).details
    assert answer.summary.get_text() == "Answer" and not answer.has_attr("open")
    assert "it holds" in answer.get_text() and answer.figure
    inner = answer.details
    assert inner.summary.get_text() == "Code" and inner.pre.get_text().strip() == "claim(True)"


def test_other_code_stays_in_sight():
    tree = rendered(code("x = 1", stream("1\n")))
    assert not tree.details and [pre.get_text().strip() for pre in tree("pre")] == ["x = 1", "1"]


def test_code_is_highlighted_also_that_of_the_library():
    own, shown = rendered(code("class A: pass", LISTING))(class_="highlight")
    assert own.find("span", class_="k").get_text() == shown.find("span", class_="k").get_text() == "class"
    assert shown.find_parent(class_="source").code.get_text() == "lib.models"


# --- figures and tables ---------------------------------------------------------------------------------------------


def test_figures_carry_their_caption_and_describe_themselves():
    tree = rendered(code("x", *figure(3, "The *loss* $\\log 3$ of `lstm`.", width=200)))
    (picture,), (caption,) = tree("img"), tree("figcaption")
    assert tree.figure["id"] == "figure-3" and tree.get_text().count("Figure 3.") == 1
    assert picture["alt"] == "The loss \\log 3 of lstm." and picture["width"] == "200"
    assert caption.math and caption.em and caption.code


def test_a_film_is_shown_rather_than_its_stills():
    webp = '<img src="data:image/webp;base64,AA" width="300">'
    tree = rendered(code("film", *figure(5, "A wave.", data={"text/html": webp})))
    assert [picture["src"] for picture in tree("img")] == ["data:image/webp;base64,AA"] and tree.img["alt"] == "A wave."


def test_columns_of_numbers_are_marked():
    head = "<thead><tr style='text-align: left;'><th>model</th><th>loss</th></tr></thead>"
    rows = "".join(f"<tr><td>{name}</td><td>{value}</td></tr>" for name, value in [("$\\beta$-VAE", 1.5), ("GAN", "–")])
    tree = rendered(code("t", table(1, f"<table>{head}<tbody>{rows}</tbody></table>")))
    assert [cell.get_text() for cell in tree(class_="number")] == ["loss", "1.5", "–"]
    assert tree.td.math.get_text() == "β" and tree.td.get_text() == "β-VAE" and tree.table.parent["class"] == ["wide"]


def test_results_without_pictures():
    results = v4.new_output("execute_result", {"text/latex": "$\\displaystyle x^{2}$", "text/plain": "x**2"})
    error = v4.new_output("error", ename="E", evalue="v", traceback=["\x1b[31mE\x1b[0m: <v>"])
    tree = rendered(
        code("x", results, error, stream("a < b\n"), v4.new_output("execute_result", {"text/plain": "<o>"}))
    )
    assert tree.math["display"] == "block" and "x**2" not in tree.get_text()
    assert [pre.get_text().strip() for pre in tree("pre")[1:]] == ["E: <v>", "a < b", "<o>"]


# --- formulas -------------------------------------------------------------------------------------------------------


def test_formulas_become_mathml():
    tree = rendered(*[markdown(f"a ${tex.replace(chr(92) + 'tag{3}', '')}$\n\n$$\n{tex}\n$$") for tex in FORMULAS])
    assert [math["display"] for math in tree("math")] == ["inline", "block"] * len(FORMULAS)
    assert tree.find(class_="tag").get_text() == "(3)" and not tree.find("annotation")


def test_where_formulas_stand():
    tree = rendered(
        markdown(
            "# The $\\beta$-VAE\n\n| a | b |\n|---|---|\n| $p(x|z)$ | `$x$` |\n\n<b title='$y$'>$y$</b>, $5 and $6."
        ),
        code("x", display({"text/markdown": "✓ $\\alpha$ is *small*"}), *figure(1, "At $t$.")),
    )
    assert [math.get_text() for math in tree("math")] == ["β", "p(x|z)", "y", "α", "t"]
    assert tree.h1["id"] == "The-$\\beta$-VAE", "as JupyterLab names it"
    assert (
        tree.td.find_next("td").code.get_text() == "$x$"
        and tree.b["title"] == "$y$"
        and "$5 and $6." in tree.get_text()
    )
    assert tree.b.parent.name == "p"


def test_a_formula_is_not_parted_from_its_comma():
    whole = rendered(markdown("That ($x$), the $k$-th, &amp;$z$ end."))(class_="whole")
    assert [span.get_text() for span in whole] == ["(x),", "k-th,", "z"]


@pytest.mark.parametrize(
    "tex, spaces",
    [(r"2\log x", 2), (r"\log(x)", 0), (r"-\log p", 1), (r"\log_2 x", 1), (r"a \max_i b_i", 2), (r"\sin\cos x", 2)],
)
def test_names_of_functions_are_spaced(tex, spaces):
    formulas = Formulas()
    formulas.take_out(f"$${tex}$$", 1)
    assert mathml(formulas, None)[0].count("<mspace") == spaces


@pytest.mark.parametrize("where", ["$$\\argmaxx x$$", "# About $\\argmaxx x$"])
def test_a_formula_that_cannot_be_set_is_named(where, tmp_path):
    with pytest.raises(ExportError) as error:
        export_html(notebook(markdown("fine $x$"), markdown(where)), tmp_path / "a.html")
    assert r"a, cell 2: the formula $\argmaxx x$ cannot be printed: the macro \argmaxx is unknown" in str(error.value)
    assert not list(tmp_path.iterdir())


def test_the_formula_of_a_caption_is_named_too(tmp_path):
    with pytest.raises(ExportError, match=r"a, cell 2: the formula \$\\nonsense\$"):
        export_html(notebook(markdown("# T"), code("x", *figure(1, "A $\\nonsense$."))), tmp_path / "a.html")


# --- around the text ------------------------------------------------------------------------------------------------

SECTIONS = [
    markdown("# 07 The book\n\nBegin"),
    markdown("**Contents.** old", metadata={"tags": ["contents"]}),
    markdown("## First part\n\ntext\n\n### Detail"),
    markdown("## *Going* further: $x^2$\n\ntext", metadata={"tags": ["deeper"]}),
]


def test_the_contents_lead_to_every_section():
    tree = page(*SECTIONS)
    entries = [(link.get_text(), link["href"]) for link in tree.nav("a")]
    assert [text for text, _ in entries] == ["07 The book", "First part", "Detail", "Going further: x2"]
    assert [unquote(target[1:]) for _, target in entries] == [tag["id"] for tag in tree.main(re.compile(r"^h\d$"))]
    assert "old" not in tree.main.get_text(), "the notebook's own contents are left out"
    (deeper,) = tree.nav(class_="deeper")
    assert deeper.small.get_text() == "deeper, 1 min" and "Reading takes about" in tree.nav.p.get_text()


def test_minutes_are_left_out_where_nothing_is_marked():
    tree = page(markdown("# Title\n\n## Part"))
    assert len(tree.nav("a")) == 2 and not tree.nav.find("small") and not tree.nav.p.get_text()


def test_links_within_and_between_notebooks():
    tree = rendered(
        markdown("# T\n\n## A part & more\n\n## A part & more"),
        markdown(
            "[a](#A-part-&-more) [b](04_text.ipynb#Its-start) [c](../lib/x.py) [d](https://example.org) "
            "[e](#a-part-more)"
        ),
    )
    assert [tag["id"] for tag in tree("h2")] == ["A-part-&-more", "A-part-&-more-2"]
    links = {link.get_text(): unquote(link["href"]) for link in tree("a")}
    assert links == {"a": "#A-part-&-more", "b": "04_text.html#Its-start", "d": "https://example.org", "e": links["a"]}


def test_the_glossary_explains_the_terms_that_are_used(monkeypatch):
    entries = {
        "forget-gate": glossary.Entry("forget gate", "The gate $f$, no [other](glossary.md#other)."),
        "Adam": glossary.Entry("Adam", "An optimiser, beside the [gate](glossary.md#forget-gate)."),
        "other": glossary.Entry("other", "Unused."),
    }
    monkeypatch.setattr(glossary, "entries", lambda: entries)
    tree = page(
        markdown("# T\n\nThe [*forget gate*](glossary.md#forget-gate), [Adam](glossary.md#Adam), [x](glossary.md#x).")
    )
    assert [term.get_text() for term in tree.dl("dt")] == ["Adam", "forget gate"] and tree.dl.math
    assert {link["href"] for link in tree.main("a")} == {"#glossary-forget-gate", "#glossary-Adam"}
    assert tree.find(id="glossary-forget-gate").name == "dt" and tree.nav("a")[-1]["href"] == "#glossary"
    assert not page(markdown("# T")).dl


def test_facts_about_the_run():
    tree = page(
        markdown("# 02 T"), title="T", number="02", authors=["Ann", "Bo"], date="1 May", seconds=80, profile="cpu"
    )
    assert tree.title.get_text() == "02 T" and tree.find(class_="made-by").get_text() == "Ann · Bo · 1 May"
    assert "Run time: 1 min 20 s" in tree.footer.get_text() and "Profile: cpu" in tree.footer.get_text()
    assert not page(markdown("# T")).footer


# --- what lies elsewhere --------------------------------------------------------------------------------------------


def test_what_lies_on_other_machines_becomes_a_link():
    tree = rendered(
        markdown('![A cat](https://example.org/cat.png)\n\n<img src="//example.org/dog.png" alt="dog"> x<sub>1</sub>'),
        code("x", display({"text/html": '<link href="https://cdn/x.css"><iframe src="https://v.example/1"></iframe>'})),
    )
    assert [link.get_text() for link in tree("a")] == ["[A cat]", "[dog]", "[iframe]"]
    assert not tree(["img", "link", "iframe"]) and tree.sub.get_text() == "1"


def test_pictures_are_embedded(tmp_path):
    import base64

    data = base64.b64decode(png())
    (tmp_path / "a b.png").write_bytes(data)
    text = markdown('![One](a%20b.png)\n\n![Two](attachment:c.png)\n\n<img src="a b.png" width="50%">')
    text.attachments = {"c.png": {"image/png": png()}}
    nbformat.write(notebook(text), tmp_path / "n.ipynb")
    tree = BeautifulSoup(export_html(tmp_path / "n.ipynb", tmp_path / "n.html").read_text("utf-8"), "html.parser")
    assert [picture["src"] for picture in tree("img")] == [f"data:image/png;base64,{png()}"] * 3
    assert [picture["alt"] for picture in tree("img")] == ["One", "Two", "picture without a caption"]


@pytest.mark.parametrize("text", ["![p](gone.png)", "![p](attachment:gone.png)", '<img src="gone.png">'])
def test_a_missing_picture_is_named(text, tmp_path):
    with pytest.raises(ExportError, match=r"a, cell 1: .*gone\.png"):
        export_html(notebook(markdown(text)), tmp_path / "a.html")


def test_a_page_renders_single_texts():
    texts = Page("n", ".")
    assert texts.inline("*a* `b`") == "<em>a</em> <code>b</code>" and texts.plain("*a* $b$ `c`") == "a b c"


def test_the_same_notebook_gives_the_same_page():
    one, two = (str(page(*SECTIONS, code("x", *figure(1)))) for _ in range(2))
    assert one == two
