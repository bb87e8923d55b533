"""Markdown, HTML, tables and pictures as Typst, by way of pandoc.

Markdown may hold any HTML, so everything passes through HTML once: Markdown → HTML → pandoc's document tree → Typst.
"""

import hashlib
import re
import urllib.parse
from pathlib import Path

from pandocfilters import stringify

from . import pictures
from .formulas import MARK, Formulas
from .pandoc import ExportError, document, pandoc, pandoc_each, quote, raw, raw_inline, rewrite
from .tables import pieces, table
from .template import BOX_WIDTH, CODE_SIZE, CONTINUATION, LINE_BREAK, MONO_ADVANCE, TEXT_HEIGHT, TEXT_WIDTH

# Jupyter's Markdown is GitHub's; quotes and dashes become typographic.
MARKDOWN = "gfm+smart-emoji-alerts-footnotes-tex_math_dollars-tex_math_gfm-yaml_metadata_block"
NESTED = "its text is nested too deeply; use fewer levels of quotes, lists or boxes"
# What is longer is left out in the middle: characters of a line and of a word, lines of what code prints.
LINE_ROOM, WORD_ROOM, OUTPUT_ROOM = 4000, 1000, 500
LONG_WORD = re.compile(r"[!-~]{61,}")
REFERENCE = re.compile(r"^ {0,3}\[[^\]]+\]:", re.M)  # a definition that other cells must not see
HALF = 0.42  # of the text's height: what a picture may take of half a page


def slug(text):
    """A heading or link target without what dialects of Markdown disagree about."""
    return re.sub(r"[\W_]+", "", urllib.parse.unquote(text).casefold())


def verbatim(kind, text, lang=None, sticky=False, size=CODE_SIZE):
    """Code or text in a box of the template: "input", "listing", "output", "warning" or "error".

    Lines that are too long for the page at this size (pt) continue below, behind an arrow; of what is endless the
    beginning and the end are printed. With `sticky` the box stays on the page of what follows it.
    """
    lines = [line.rstrip() for line in text.expandtabs(4).strip("\n").split("\n")]
    if kind not in ("input", "listing"):
        lines = shortened(lines, OUTPUT_ROOM, lambda left: [f"[… {left:,} lines are not printed …]"])
    code = quote("\n".join(fold(_within(line, LINE_ROOM), int(BOX_WIDTH / MONO_ADVANCE / size)) for line in lines))
    stay = ", sticky: true" if sticky else ""
    return raw(f"#verbatim({quote(kind)}, {size}pt, {quote(lang) if lang else 'none'}, {code}{stay})")


def _cleaned(page):
    """HTML without what paper cannot show; what unfolds is a `div`, whose class says so."""
    page = re.sub(r"<(style|script)\b.*?(?:</\1>|\Z)|<!--.*?(?:-->|\Z)", "", page, flags=re.S)
    page = re.sub(r"<(details|summary)\b[^>]*>", r'<div class="\1">', page)
    return re.sub(r"</(details|summary)>", "</div>", page)


def shortened(long, room, mark):
    """A list or text of at most `room` pieces and what `mark(number of those left out)` puts between its two ends."""
    end = room // 4
    return long if len(long) <= room else long[: room - end] + mark(len(long) - room) + long[-end:]


def _within(line, room):
    return shortened(line, room, lambda left: f" [… {left:,} characters are not printed …] ")


def fold(line, columns):
    """Break a line at blanks or commas, else anywhere; continued lines keep the indent and begin with an arrow."""
    indent = min(len(line) - len(line.lstrip()), columns // 2)
    parts = []
    while len(line) > columns:
        room = line[:columns]
        cut = max(room.rfind(" "), room.rfind(",")) + 1
        cut = cut if cut > max(indent, columns * 0.6) else columns
        parts.append(line[:cut])
        line = " " * indent + CONTINUATION * 2 + line[cut:]  # two marks, because the arrow takes two columns
    return LINE_BREAK.join([*parts, line]).replace(CONTINUATION * 2, CONTINUATION)


class Typesetter:
    """What belongs to one document: its formulas, pictures, headings and anchors.

    `markdown` and `html` return blocks of pandoc's tree. `typst` turns the blocks of all cells into Typst code at the
    end, when every heading that a link may lead to is known. `place` says what is being read ("cell 3"), for messages.
    """

    def __init__(self, name, folder):
        self.name, self.folder = name, Path(folder)
        self.place, self.attachments = "title page", {}
        self.trees = {}  # (place, "markdown" or "html", text) -> blocks as pandoc gives them
        self.formulas = Formulas()
        self.pictures = {}  # file name -> bytes
        self.targets = {}  # slug of a heading or anchor -> label
        self.labels = 0

    def fail(self, problem, place=None):
        raise ExportError(f"{self.name}, {place or self.place}: {problem}")

    def read(self, pieces):
        """Read many texts at once, (place, "markdown" or "html", text), because every run of pandoc takes its time."""
        new = [piece for piece in dict.fromkeys(pieces) if piece not in self.trees]
        take = {"markdown": self.formulas.take_out, "html": self.formulas.take_out_of_html}
        pages = [take[kind](text, place) for place, kind, text in new]
        alone = [bool(REFERENCE.search(page)) for page in pages]
        for own_run in (False, True):
            which = [i for i, (_, kind, _) in enumerate(new) if kind == "markdown" and alone[i] is own_run]
            for group in [[i] for i in which] if own_run else [which]:
                for i, page in zip(group, pandoc_each([pages[i] for i in group], MARKDOWN, "html"), strict=True):
                    pages[i] = page
        pages = [_cleaned(page) for page in pages]
        try:
            trees = pandoc_each(pages, "html+task_lists", "json")
        except (ExportError, RecursionError):
            trees = [self._tree(page, place) for page, (place, _, _) in zip(pages, new, strict=True)]
        self.trees.update(zip(new, trees, strict=True))

    def _tree(self, page, place):
        try:
            return pandoc_each([page], "html+task_lists", "json")[0]
        except (ExportError, RecursionError) as error:
            self.fail(NESTED if isinstance(error, RecursionError) else error, place)

    def markdown(self, text):
        return self._blocks("markdown", text)

    def html(self, text):
        return self._blocks("html", text)

    def _blocks(self, kind, text):
        piece = self.place, kind, text
        self.read([piece])
        try:
            return rewrite(self.trees[piece], self._adapt)
        except RecursionError:
            self.fail(NESTED)

    def inline(self, text):
        """Markdown as the content of one paragraph."""
        paragraphs = [block["c"] for block in self.markdown(text) if block["t"] in ("Para", "Plain")]
        return [node for i, content in enumerate(paragraphs) for node in ([{"t": "Space"}] if i else []) + content]

    def typst(self, blocks):
        code, _ = pandoc(document(rewrite(blocks, self._lead_links)), "json", "typst")
        return self.formulas.put_back(code, self.fail)

    def _adapt(self, kind, value):
        """One node as this document wants it, its content being done already; None leaves it as it is."""
        if kind in ("RawInline", "RawBlock") and value[0] == "html":
            return []
        if kind == "Header":
            level, (identifier, _, _), text = value
            return {"t": "Header", "c": [level, [self.label(self.as_written(text), identifier), [], []], text]}
        if kind == "Code":
            return {"t": "Code", "c": [value[0], _within(self.formulas.as_written(value[1]), WORD_ROOM)]}
        if kind == "Str" and LONG_WORD.search(value) and not MARK.search(value):
            parts = pieces(_within(value, WORD_ROOM))
            return [node for part in parts for node in ({"t": "Str", "c": part}, raw_inline("#box()"))]
        if kind == "CodeBlock":
            return verbatim("listing", self.formulas.as_written(value[1]), next(iter(value[0][1]), None))
        if kind == "Table":
            return table(value, self._seen)
        if kind == "Image":
            return raw_inline(f"#box({self._image(value)})")
        if kind in ("Para", "Plain") and len(value) == 1 and value[0]["t"] == "RawInline":
            alone = re.match(r"#box\(image(.*)\)$", value[0]["c"][1])
            return raw(f"#picture{alone[1]}") if alone else None
        if kind == "Div" and set(value[0][1]) & {"details", "summary"}:
            return [raw(f"#{value[0][1][0]}["), *value[1], raw("]")]
        if kind == "Div":
            content = [{"t": "Para", "c": node["c"]} if node["t"] == "Plain" else node for node in value[1]]
            return [raw(f"#metadata(none)<{self.label(value[0][0])}>"), *content] if value[0][0] else content
        if kind == "Span":
            return [raw_inline(f"#metadata(none)<{self.label(value[0][0])}>"), *value[1]] if value[0][0] else value[1]
        return None

    def as_written(self, inlines):
        return self.formulas.as_written(stringify(inlines))

    def label(self, *names):
        """A new label, to which links to any of these names lead; the first place of a name wins."""
        self.labels += 1
        for name in filter(None, map(slug, names)):
            self.targets.setdefault(name, f"place-{self.labels}")
        return f"place-{self.labels}"

    def _lead_links(self, kind, value):
        """Links lead to headings and entries of the glossary; links to other files are plain text on paper."""
        if kind != "Link" or re.match(r"(https?|mailto):", value[2][0]):
            return None
        _, text, (target, _) = value
        label = self.targets.get(slug(target)) if target.startswith(("#", "glossary.md#")) else None
        return {"t": "Link", "c": [["", [], []], text, [f"#{label}", ""]]} if label else text

    # Pictures

    def picture(self, data, kind, width=None, alt=""):
        """Typst code of a picture at its natural size, at most as wide as the text and 0.8 of its height, and
        not a little higher than half a page.

        `width` is in pixels of 1/96 inch; without it the file's own resolution counts, 96 per inch if it has none.
        """
        size = "" if width is None else f", width: {min(width * 0.75, TEXT_WIDTH):.2f}pt"
        if kind != "svg":
            kind, columns, rows, dpi = pictures.measured(data, self.fail)
            natural = min(width * 0.75 if width else columns * 72 / (dpi or 96), TEXT_WIDTH)
            height = natural * rows / columns / TEXT_HEIGHT
            # With its caption it would take little more than half a page: made smaller, two of them fit on one.
            height = HALF if HALF < height < 1.3 * HALF else min(height, 0.8)
            size = f", width: {height * TEXT_HEIGHT * columns / rows:.2f}pt"
        name = f"{hashlib.sha256(data).hexdigest()[:20]}.{kind}"
        self.pictures[name] = data
        return f"image({quote(name)}{size}{f', alt: {quote(alt)}' if alt else ''})"

    def _image(self, value):
        """An image of a Markdown cell or of HTML."""
        (_, _, attributes), alt, (target, _) = value
        alt = self.as_written(alt)
        kind = Path(target).suffix.lower().lstrip(".")
        if pictures.REMOTE.match(target):  # a document is made without the network
            target = target if ":" in target[:6] else f"https:{target}"
            return f"link({quote(target)}, {quote('[' + (alt or 'picture') + ']')})"
        if found := re.match(r"data:image/([\w+]+);base64,(.*)", target, re.S):
            kind, data = found[1], pictures.decoded(found[2], self.fail)
        elif target.startswith("attachment:"):
            bundle = self.attachments.get(urllib.parse.unquote(target.removeprefix("attachment:")))
            if not bundle:
                self.fail(f"the picture '{target}' is missing; paste it into the cell again")
            mime, data = next(iter(bundle.items()))
            kind, data = mime.split("/")[-1], pictures.decoded(data, self.fail)
        else:
            data = pictures.file(self.folder, target, self.fail)
        kind = {"svg+xml": "svg", "jpg": "jpeg"}.get(kind, kind)
        if kind not in ("png", "jpeg", "gif", "svg", "webp"):
            self.fail(f"the picture '{target[:60]}' cannot be printed; save it as PNG, JPEG or SVG")
        attributes = dict(attributes)
        style = re.search(r"(?<!-)\bwidth:\s*([\d.]+(?:px|%))", attributes.get("style", ""))
        return self.picture(data, kind, self.pixels(attributes.get("width") or (style and style[1])), alt)

    def pixels(self, value):
        """A width as HTML has it, such as 300, "300px" or "50%", in pixels; None where it says nothing."""
        number, of_page = pictures.width(value) or (None, False)
        return number * TEXT_WIDTH / 75 if of_page else number

    def _seen(self, blocks):
        """A cell's text, each formula about as long as it will be."""
        return MARK.sub(lambda found: "x" * (len(self.formulas.all[int(found[1])][0]) // 2), stringify(blocks))
