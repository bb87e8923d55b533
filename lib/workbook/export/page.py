"""Markdown and HTML of a notebook as parts of one web page that needs nothing from outside: pictures are embedded,
formulas become MathML, links lead to places in the page or to the pages of other notebooks beside it.
"""

import base64
import html
import mimetypes
import re
from collections import Counter
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote

import mistune
from bs4 import BeautifulSoup
from nbconvert.filters.markdown_mistune import InvalidNotebook, IPythonRenderer

from .formulas import MARK, Formulas
from .mathml import mathml
from .pandoc import ExportError
from .pictures import file
from .tables import NUMBER
from .typeset import slug

REMOTE = re.compile(r"(https?:)?//|mailto:")
TAG = re.compile("<[a-zA-Z][^<>]*\u2e28[^<>]*>")  # with a formula's mark in an attribute
# A mark and the text that touches it, such as the comma behind it, between which browsers would break the line.
TOUCHING = re.compile("[^\\s<>&;\u2e28\u2e29]{0,20}(?:\u2e28[^\u2e29]*\u2e29[^\\s<>&\u2e28\u2e29]{0,20})+")
HEADING = re.compile(r'<h1 id="([^"]*)">(.*)</h1>', re.S)
IMAGE = re.compile(r"<img\b[^>]*>")
PLUGINS = ["strikethrough", "table", "task_lists", "url"]  # what Jupyter's Markdown adds to plain Markdown
NO_CAPTION = "picture without a caption"


class Page(IPythonRenderer):
    """Renders the texts of one notebook. Formulas are marks in them, for which `finish` puts MathML at the end.

    Args:
        name: of the notebook, for messages. folder: where its pictures lie. titles: [(Markdown of a heading, number of
            its cell), …] in their order. terms: anchors of the glossary's entries that stand in the page.

    Attributes:
        headings: [(name, HTML of its text), …] of the titles.
    """

    def __init__(self, name, folder, titles=(), terms=()):
        super().__init__(escape=False)
        self.name, self.folder, self.terms, self.cell = name, Path(folder), {*terms}, 0
        self.formulas = Formulas()
        self.ids, self.targets = Counter(), {}
        self.read = mistune.create_markdown(escape=False, renderer=self, plugins=PLUGINS)
        self.headings = [self._heading(title, cell) for title, cell in titles]
        self.targets = {slug(name): name for name, _ in reversed(self.headings)}
        self.ids.clear()

    def _heading(self, title, cell):
        name, text = HEADING.search(self.markdown(f"# {title}", cell)).groups()
        return html.unescape(name), text

    def fail(self, problem, cell=None):
        """Refuse the notebook, naming the cell."""
        cell = self.cell if cell is None else cell
        raise ExportError(f"{self.name}, {f'cell {cell}' if cell else 'title page'}: {problem}")

    # Texts

    def markdown(self, text, cell=0, attachments=None):
        """Markdown of a cell or an output as HTML; `cell` is the cell's number, for messages."""
        self.cell, self.attachments = cell, attachments or {}
        return self.read(self.formulas.take_out(text, cell))

    def inline(self, text, cell=0):
        """Markdown of one paragraph as HTML without the paragraph."""
        return re.sub(r"^<p>(.*)</p>\s*$", r"\1", self.markdown(text, cell), flags=re.S)

    def plain(self, text, cell=0):
        """Markdown as plain text, formulas in LaTeX; for attributes and titles."""
        text = BeautifulSoup(self.inline(text, cell), "html.parser").get_text()
        return " ".join(MARK.sub(lambda found: self.formulas.all[int(found[1])][0], text).split())

    def description(self, caption, cell=0):
        """What is said of a picture in place of it."""
        return self.plain(caption, cell) or NO_CAPTION

    def output(self, text, cell=0, caption=""):
        """HTML that a cell displays: nothing of it is loaded from elsewhere, columns of numbers are marked."""
        self.cell = cell
        soup = BeautifulSoup(self.formulas.take_out_of_html(text, cell), "html.parser")
        for tag in soup.select("link, script[src]"):
            tag.decompose()
        self._embed(soup, caption)
        for table in soup.find_all("table"):
            _mark_numbers(table)
            table.wrap(soup.new_tag("div", attrs={"class": "wide"}))
        return str(soup)

    def finish(self, body):
        """The page with MathML for the marks, in attributes with LaTeX."""
        body = TAG.sub(lambda found: MARK.sub(lambda mark: html.escape(self._as_written(mark[0])), found[0]), body)
        formulas = mathml(self.formulas, self.fail)
        body = TOUCHING.sub(r'<span class="whole">\g<0></span>', body)
        return MARK.sub(lambda found: formulas[int(found[1])], body)

    def _as_written(self, text):
        return self.formulas.as_written(text)

    # What mistune calls for parts of Markdown

    def heading(self, text, level, **attrs):
        """A heading under the name that JupyterLab gives it: its text with hyphens for blanks."""
        plain = self._as_written(html.unescape(re.sub(r"<[^>]+>", "", text))).strip()
        name = re.sub(r"\s", "-", plain)
        self.ids[name] += 1
        name += f"-{self.ids[name]}" if self.ids[name] > 1 else ""
        return f'<h{level} id="{html.escape(name)}">{text}</h{level}>\n'

    def link(self, text, url, title=None):
        """A link; what leads to other files than notebooks is plain text."""
        address = self._address(url)
        return super().link(text, address, title) if address else text

    def _address(self, url):
        path, _, anchor = url.partition("#")
        anchor = unquote(anchor)
        if REMOTE.match(url):
            return url
        if PurePosixPath(path).name == "glossary.md":
            return f"#glossary-{quote(anchor)}" if anchor in self.terms else None
        if path.endswith(".ipynb"):
            return PurePosixPath(path).with_suffix(".html").name + (f"#{quote(anchor)}" if anchor else "")
        return None if path else f"#{quote(self.targets.get(slug(anchor), anchor))}"

    def image(self, text, url, title=None):
        """An embedded picture."""
        try:
            tag = super().image(text, url, title)
        except InvalidNotebook:
            self.fail(f"the picture '{url}' is missing; paste it into the cell again")
        return self._embedded(tag)

    def block_html(self, html):
        """HTML within Markdown, where a tag may stand alone."""
        return IMAGE.sub(lambda found: self._embedded(found[0]), html) + "\n"

    def inline_html(self, html):
        """A tag within a paragraph."""
        return IMAGE.sub(lambda found: self._embedded(found[0]), html)

    def _embedded(self, tag):
        soup = BeautifulSoup(tag, "html.parser")
        self._embed(soup)
        return str(soup)

    def _embed(self, soup, caption=""):
        """Put files into the tags that name them; what lies elsewhere becomes a link, since a page loads nothing."""
        for tag in soup.find_all(src=True):
            source = tag["src"]
            if REMOTE.match(source):
                link = soup.new_tag("a", attrs={"href": source})
                link.string = f"[{tag.get('alt') or tag.name}]"
                tag.replace_with(link)
            elif not source.startswith("data:"):
                data = file(self.folder, source, self.fail)
                kind = mimetypes.guess_type(unquote(source))[0] or "application/octet-stream"
                tag["src"] = f"data:{kind};base64,{base64.b64encode(data).decode()}"
            if tag.name == "img" and not tag.get("alt"):
                tag["alt"] = self.description(caption, self.cell)

    def codespan(self, text):
        return super().codespan(self._as_written(text))

    def block_code(self, code, info=None):
        return super().block_code(self._as_written(code), info)

    def table(self, text):
        """A table that scrolls in itself where it is wider than the page."""
        return f'<div class="wide"><table>\n{text}</table></div>\n'


def _mark_numbers(table):
    """Give the cells of columns that hold numbers alone the class `number` (in place)."""
    rows = [row.find_all(["td", "th"], recursive=False) for row in table.find_all("tr")]
    width = max(map(len, rows), default=0)
    regular = all(len(row) == width and not any(cell.has_attr("colspan") for cell in row) for row in rows)
    for cells in zip(*rows, strict=True) if regular else []:
        texts = [cell.get_text().strip() for cell in cells if cell.name == "td"]
        if any(texts) and all(map(NUMBER.fullmatch, texts)):
            for cell in cells:
                cell["class"] = [*cell.get("class", []), "number"]
