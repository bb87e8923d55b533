"""The web book: a static site of all notebooks with their committed outputs, made by Sphinx.

Sphinx reads copies of the pages that are written for it: links lead to pages of the site or are plain text, pictures
are embedded, and tags of cells become those that fold code there. Its settings are `docs/conf.py`.
"""

import base64
import copy
import html
import importlib.util
import os
import posixpath
import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import nbformat
from nbformat.v4 import new_code_cell

from lib.storage.paths import ROOT, exports_folder
from lib.workbook import notebooks
from lib.workbook.export.static_outputs import StaticOutputs
from lib.workbook.notebooks import UsageError, cell_tags
from lib.workbook.reading import about

NEEDED = "the site needs Sphinx and its theme: `make site`, or python -m pip install -r requirements-site.txt"
PICTURES = ("image/svg+xml", "image/png", "image/jpeg")
# Code is left as it is; pictures and links are looked at.
LINK = re.compile(
    r"(?P<code>^```.*?^```|`+[^`]*`+)|(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?P<url>[^)\s]+)\)", re.S | re.M
)
REMOTE = re.compile(r"https?://|mailto:|data:")
FOLDED = {  # tag of a cell: (tag that folds it on the site, what opens it)
    "figure-code": ("hide-input", "Show the code"),
    "predict": ("hide-cell", "Show the answer"),
}
WHOLE = '\n<p class="ways"><a href="pdf/workbook.pdf">all notebooks as one PDF</a></p>\n'
BRANCH = "gh-pages"  # of the repository, where the published site lies
COLAB = "https://colab.research.google.com/github"
BINDER = "https://mybinder.org/v2/gh"


def build(repository=""):
    """Build the site into `exports/site` and return the path of its first page.

    With the address of the `repository`, such as https://github.com/OWNER/NAME, the notebooks get buttons that open
    them in Colab and Binder; for Colab, copies whose first cell installs the pinned environment lie in the site.

    Raises:
        UsageError: Sphinx is not installed, a page refers to what does not exist, or the address is of another form.
    """
    try:
        from sphinx.cmd.build import build_main

        found = [importlib.util.find_spec(name) for name in ("myst_nb", "sphinx_book_theme", "sphinx-mathjax-offline")]
    except ImportError:
        found = [None]
    if not all(found):
        raise UsageError(NEEDED)
    if repository and not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", repository):
        raise UsageError(f"the repository's address is like https://github.com/OWNER/NAME; got {repository!r}")
    source, site = exports_folder() / ".site", exports_folder() / "site"
    for folder in (source, site):
        shutil.rmtree(folder, ignore_errors=True)
    write_pages(source, repository)
    _copy_mathjax(Path(found[-1].submodule_search_locations[0]), source / "_static" / "mathjax")
    os.environ["WORKBOOK_REPOSITORY"] = repository
    options = ["-q", "-b", "html", "-d", source / "doctrees", "--fail-on-warning", "--keep-going"]
    if build_main([*map(str, options), str(source), str(site)]):
        raise UsageError(f"Sphinx finds fault with pages of the site, as it says above; their copies lie in {source}")
    shutil.rmtree(source)
    return site / "index.html"


def pages():
    """What becomes a page: {path in the repository: path in the site's source}, in the order of the site's menu."""
    names = ["README.md", *(f"notebooks/{path.name}" for path in notebooks.paths()), "notebooks/glossary.md"]
    names += [f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))]
    names += ["CONTRIBUTING.md", "CHANGELOG.md", "data/README.md"]
    return {name: "index.md" if name == "README.md" else name for name in names if (ROOT / name).is_file()}


def write_pages(source, repository=""):
    """Write what Sphinx reads into a folder."""
    known = pages()
    for name, place in known.items():
        target = source / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".ipynb":
            nb, other = notebooks.read(ROOT / name), ways(ROOT / name, repository)
            target.write_text(nbformat.writes(notebook_page(nb, name, known, source, other)), "utf-8")
            _copy(ROOT / name, source / "extra" / "launch" / target.name)
            if repository:
                launched = nbformat.writes(for_colab(nb, repository))
                (source / "extra" / "launch" / target.name).write_text(launched, "utf-8")
        else:
            text = led((ROOT / name).read_text("utf-8"), name, known, source)
            if place.endswith("glossary.md"):
                text = re.sub(r"^### ", "## ", text, flags=re.M)  # a page's headings descend by one level
            if place == "index.md":
                text += _menu(known) + WHOLE * (exports_folder() / "workbook.pdf").exists()
            target.write_text(text, "utf-8")
    for name in [*(path.stem for path in notebooks.paths()), "workbook"]:  # whatever else lies there is private
        if (path := exports_folder() / f"{name}.pdf").exists():
            _copy(path, source / "extra" / "pdf" / path.name)
    (source / "extra" / ".nojekyll").write_text("")  # GitHub would leave out folders that begin with _
    _copy(ROOT / "docs" / "conf.py", source / "conf.py")
    _copy(ROOT / "docs" / "site.css", source / "_static" / "workbook.css")


def led(text, name, known, source=None):
    """Markdown of a page whose links lead to pages of the site; those to other files of the repository are plain text.

    Args:
        name: of the page, a path in the repository. known: as from `pages`. source: where pictures are copied to.
    """

    def place(found):
        url = found["url"]
        if found["code"] or REMOTE.match(url or "") or (url or "").startswith("#"):
            return found[0]
        path, _, anchor = url.partition("#")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(name), unquote(path)))
        if found["picture"]:
            if source:
                _copy(ROOT / path, source / path)
            return f"![{found['text']}](/{path})"
        if path not in known:
            return found["text"]
        return f"[{found['text']}](/{known[path]}{f'#{anchor}' if anchor else ''})"

    return LINK.sub(place, text)


def heading_name(title):
    """The name by which links lead to a heading, that of JupyterLab: its text with hyphens for blanks."""
    return re.sub(r"\s", "-", html.unescape(title).strip())


def notebook_page(nb, name, known, source=None, other=""):
    """A notebook as Sphinx is to read it; `other` is HTML put below its title, the rest as in `led`."""
    nb, _ = StaticOutputs(keep_films=True).preprocess(nb, {"metadata": {"name": Path(name).stem}})
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            cell.source = led(cell.source, name, known, source)
            if other and (title := re.search(r"^# .+$", cell.source, re.M)):
                cell.source = f"{cell.source[: title.end()]}\n\n{other}\n{cell.source[title.end() :]}"
                other = ""
        elif cell.cell_type == "code":
            for tag in FOLDED.keys() & cell_tags(cell):
                folded, prompt = FOLDED[tag]
                cell.metadata = nbformat.from_dict({"tags": [folded], "mystnb": {"code_prompt_show": prompt}})
            cell.outputs = [_shown(output, name, known) for output in cell.outputs]
    return nb


def _shown(output, name, known):
    """An output with links that lead somewhere and a picture that says how wide it is and what it shows."""
    data = output.get("data", {})
    if "text/markdown" in data:
        data["text/markdown"] = led(data["text/markdown"], name, known)
    kind = next((kind for kind in PICTURES if kind in data), None)
    if kind and "text/html" not in data:  # a film has both: its stills stand beside it for paper
        text = data[kind] if kind != "image/svg+xml" else base64.b64encode(data[kind].encode()).decode()
        text = text.replace("\n", "")
        width = output.metadata.get(kind, {}).get("width")
        described = html.escape(re.sub(r"[$*`]", "", about(output).get("caption", "")), quote=True)
        size = f' width="{width}"' if width else ""
        tag = f'<img class="picture"{size} alt="{described}" src="data:{kind};base64,{text}">'
        output.data = nbformat.from_dict({"text/html": tag, "text/plain": data.get("text/plain", "")})
    return output


def ways(path, repository):
    """HTML: how else to read or run a notebook."""
    found = [("the notebook", f"../launch/{path.name}")]
    if (exports_folder() / f"{path.stem}.pdf").exists():
        found.insert(0, ("PDF", f"../pdf/{path.stem}.pdf"))
    if repository:
        name = repository.removeprefix("https://github.com/")
        found.append(("open in Colab", f"{COLAB}/{name}/blob/{BRANCH}/launch/{path.name}"))
        found.append(("open in Binder", f"{BINDER}/{name}/HEAD?urlpath=lab/tree/notebooks/{path.name}"))
    return f'<p class="ways">{" · ".join(f"""<a href="{url}">{text}</a>""" for text, url in found)}</p>'


def for_colab(nb, repository):
    """A copy of a notebook without outputs whose first cell fetches the workbook and installs what it pins."""
    nb = copy.deepcopy(nb)
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    folder = repository.rsplit("/", 1)[1]
    install = (
        "# Colab alone: the workbook and its pinned packages. If Colab asks for it, restart the session, run on.\n"
        f"!test -d {folder} || git clone --quiet --depth 1 {repository}\n"
        f"%cd {folder}\n"
        "%pip install --quiet -r requirements.txt\n"
        "%cd notebooks\n"
        'import sys; sys.path.insert(0, "..")'
    )
    nb.cells.insert(0, new_code_cell(install))
    return nb


def _menu(known):
    """The pages of the sidebar, as Sphinx is told of them."""
    groups = {"The notebooks": [], "The workbook": []}
    for place in [*known.values()][1:]:
        groups["The notebooks" if place.startswith("notebooks/") else "The workbook"].append(place.rsplit(".", 1)[0])
    lists = ("\n".join(["```{toctree}", ":hidden:", f":caption: {name}", "", *of]) for name, of in groups.items())
    return "\n\n" + "\n\n".join(f"{text}\n```" for text in lists) + "\n"


def _copy_mathjax(package, target):
    """Of MathJax only what pages load: the program and its fonts."""
    folder = package / "static" / "mathjax"
    _copy(folder / "tex-chtml.js", target / "tex-chtml.js")
    shutil.copytree(folder / "output" / "chtml" / "fonts", target / "output" / "chtml" / "fonts")


def _copy(path, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)
