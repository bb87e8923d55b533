"""The web book: what is written for Sphinx, and, in a browser without a network, the site that it makes of it."""

import importlib.util
import re
from pathlib import Path
from urllib.parse import unquote, urldefrag

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from lib.storage.paths import ROOT
from lib.workbook import browser, notebooks, website
from lib.workbook.notebooks import UsageError

KNOWN = {"README.md": "index.md", "notebooks/01_a.ipynb": "notebooks/01_a.ipynb"}
KNOWN |= {"notebooks/glossary.md": "notebooks/glossary.md"}
SPHINX = importlib.util.find_spec("sphinx") and importlib.util.find_spec("myst_nb")


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("[one](01_a.ipynb#The-end)", "[one](/notebooks/01_a.ipynb#The-end)"),
        ("[*gate*](glossary.md#forget-gate)", "[*gate*](/notebooks/glossary.md#forget-gate)"),
        ("[start](../README.md)", "[start](/index.md)"),
        ("[here](#The-end), [there](https://example.org/x)", "[here](#The-end), [there](https://example.org/x)"),
        ("as [the script](../cluster/settings.sh) says", "as the script says"),
        ("write `[one](01_a.ipynb)`", "write `[one](01_a.ipynb)`"),
        ("```\n[one](01_a.ipynb)\n```", "```\n[one](01_a.ipynb)\n```"),
        ("![it](picture.png)", "![it](/notebooks/picture.png)"),
    ],
)
def test_links_lead_to_pages_of_the_site_and_others_are_text(text, becomes):
    assert website.led(text, "notebooks/02_b.ipynb", KNOWN) == becomes


def test_a_notebook_is_folded_by_its_tags_and_keeps_its_films():
    film = new_output("display_data", {"text/html": '<img src="data:image/webp;base64,UklGRg==">', "image/png": "iVBO"})
    caption = {"workbook": {"figure": 1, "caption": 'A "$x$" of `two`'}, "image/png": {"width": 300}}
    picture = new_output("display_data", {"image/png": "iVBO\nRw0K"}, metadata=caption)
    text = new_output("display_data", {"text/markdown": "see [one](01_a.ipynb)"})
    cells = [
        new_markdown_cell("# 02 Two\n\nas in [one](01_a.ipynb)"),
        new_code_cell("draw()", metadata={"tags": ["figure-code"]}, outputs=[picture, film, text]),
        new_code_cell("1 + 1", metadata={"tags": ["predict"]}),
        new_code_cell("plain", metadata={"tags": ["nbval-check-output"]}),
    ]
    page = website.notebook_page(new_notebook(cells=cells), "notebooks/02_b.ipynb", KNOWN, other="<p>ways</p>")
    title, drawn, answer, plain = page.cells
    assert title.source == "# 02 Two\n\n<p>ways</p>\n\n\nas in [one](/notebooks/01_a.ipynb)"
    assert drawn.metadata.tags == ["hide-input"] and answer.metadata.tags == ["hide-cell"]
    assert answer.metadata.mystnb.code_prompt_show == "Show the answer" and "mystnb" not in plain.metadata
    shown = drawn.outputs[0].data["text/html"]
    assert 'width="300"' in shown and 'alt="A &quot;x&quot; of two"' in shown and "base64,iVBORw0K" in shown
    assert "image/webp" in drawn.outputs[1].data["text/html"], "the film plays"
    assert drawn.outputs[2].data["text/markdown"] == "see [one](/notebooks/01_a.ipynb)"


def test_for_colab_the_first_cell_installs_what_is_pinned():
    nb = new_notebook(cells=[new_code_cell("1", outputs=[new_output("stream", text="1")], execution_count=1)])
    copy = website.for_colab(nb, "https://github.com/somebody/workbook")
    assert "clone" in copy.cells[0].source and "requirements.txt" in copy.cells[0].source
    assert copy.cells[1].outputs == [] and nb.cells[0].outputs, "the notebook itself stays as it is"
    nbformat.validate(copy)


def test_buttons_are_off_until_a_repository_is_named():
    path = notebooks.paths()[0]
    assert "colab" not in website.ways(path, "")
    with_buttons = website.ways(path, "https://github.com/somebody/workbook")
    assert f"colab.research.google.com/github/somebody/workbook/blob/gh-pages/launch/{path.name}" in with_buttons
    assert f"mybinder.org/v2/gh/somebody/workbook/HEAD?urlpath=lab/tree/notebooks/{path.name}" in with_buttons


def test_without_sphinx_one_line_names_the_remedy(monkeypatch):
    monkeypatch.setattr(website.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"requirements-site\.txt"):
        website.build()


def test_every_pin_of_the_site_is_new_to_the_environment():
    def names(file):
        return {line.split("==")[0].casefold() for line in (ROOT / file).read_text().splitlines() if "==" in line}

    assert not names("requirements-site.txt") & names("requirements.txt")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site of the committed notebooks, and a page of a browser whose network is off."""
    if not SPHINX:
        pytest.skip("needs Sphinx: make site, or python -m pip install -r requirements-site.txt")
    if not browser.CHROMIUM:
        pytest.skip(browser.MISSING)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBOOK_EXPORTS", str(tmp_path_factory.mktemp("exports")))
        first = website.build()
    with browser.new_page() as page:
        page.context.set_offline(True)
        page.problems = []
        page.on("console", lambda said: page.problems.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("request", lambda request: page.problems.append(request.url) if _leaves(request.url) else None)
        yield first.parent, page


def _leaves(url):
    return not url.startswith(("file:", "data:", "blob:"))


@pytest.mark.system
def test_every_page_opens_without_a_network_and_every_link_leads_somewhere(site):
    folder, page = site
    names, links = {}, {}
    for path in sorted(path for path in folder.rglob("*.html") if "_static" not in path.parts):
        page.problems.clear()
        page.goto(path.as_uri())
        page.wait_for_load_state("load")
        page.evaluate("() => window.MathJax?.startup?.promise")
        assert not page.problems, f"{path.name}: {page.problems[:3]}"
        assert not page.locator("mjx-merror").count(), f"{path.name}: a formula is not understood"
        broken = "imgs => imgs.filter(i => !(i.complete && i.naturalWidth) && i.loading != 'lazy').map(i => i.alt)"
        assert not page.eval_on_selector_all("img", broken), f"{path.name}: a picture is missing"
        names[path] = set(page.eval_on_selector_all("[id]", "all => all.map(one => one.id)")) | {""}
        links[path] = page.eval_on_selector_all("a[href]", "all => all.map(one => one.href)")
    lost = []
    for path, urls in links.items():
        for url in urls:
            address, anchor = urldefrag(url)
            if address.startswith("file:"):
                target = Path(unquote(address.removeprefix("file://")))
                there = unquote(anchor) in names.get(target, {""}) if target.is_file() else False
                lost += [] if there else [f"{path.name} → {target.name}#{anchor}"]
            elif not re.match(r"https?:|mailto:", url):
                lost.append(f"{path.name} → {url}")
    assert not lost, "\n".join(sorted(set(lost)))


@pytest.mark.system
def test_a_notebook_reads_as_it_should(site):
    folder, page = site
    path = folder / "notebooks" / "01_palindromes.html"
    page.goto(path.as_uri())
    page.evaluate("() => window.MathJax.startup.promise")
    assert page.locator("mjx-container").count() > 50, "formulas are set"
    assert page.locator("details.hide.above-input").count() > 20, "code of figures is folded"
    assert not page.locator("details.hide.above-input[open]").count()
    assert page.locator(".bd-sidebar-primary a", has_text="02 ").count(), "the sidebar names the other notebooks"
    films = [file for file in folder.rglob("*.html") if "image/webp;base64" in file.read_text("utf-8")]
    assert films, "films play"
    for mode in ("dark", "light"):
        page.evaluate(f"document.querySelector('[data-mode={mode}].theme-change-button').click()")
        assert page.evaluate("document.documentElement.dataset.theme") == mode
    page.goto((folder / "search.html").as_uri() + "?q=vanishing+gradient")
    page.wait_for_selector("#search-results li a", timeout=browser.TIME)
