"""Markdown, HTML, tables and pictures as Typst, by way of pandoc.

Markdown may hold any HTML, so everything passes through HTML once: Markdown → HTML → pandoc's document tree → Typst.
"""

import base64
import hashlib
import html
import io
import json
import re
import urllib.parse
from pathlib import Path

from pandocfilters import stringify
from PIL import Image

from .formulas import MARK, Formulas
from .pandoc import ExportError, document, pandoc, quote, raw, raw_inline, rewrite
from .template import BOX_WIDTH, CONTINUATION, LINE_BREAK, MONO_ADVANCE, TEXT_HEIGHT, TEXT_WIDTH

# Jupyter's Markdown is GitHub's; quotes and dashes become typographic.
MARKDOWN = "gfm+smart-emoji-alerts-footnotes-tex_math_dollars-tex_math_gfm-yaml_metadata_block"
CODE_SIZES = 6.4, 7.4  # pt: 120 and 104 characters a line
NUMBER = re.compile(r"[\s\d.,:+\-−–±×·/%()^eE]*|[-+]?(nan|inf|∞)|None|NaN|—|…|", re.I)
WORD = re.compile(r"[^/_.,=\-]{1,18}[/_.,=\-]*|[/_.,=\-]+")  # between these pieces a table may break a long word
SIDES = {"AlignLeft": "left", "AlignRight": "right", "AlignCenter": "center"}


def slug(text):
    """A heading or link target without what dialects of Markdown disagree about."""
    return re.sub(r"[\W_]+", "", urllib.parse.unquote(text).casefold())


def verbatim(kind, text, lang=None, sticky=False):
    """Code or text in a box of the template: "input", "listing", "output", "warning" or "error".

    The size follows the longest line; lines of more than 120 characters continue below, behind an arrow. Short boxes
    stay on one page, with `sticky` also on the page of what follows them.
    """
    lines = [line.rstrip() for line in text.expandtabs(4).strip("\n").split("\n")]
    longest = max([len(line) for line in lines if len(line) <= 120], default=0)
    size = max(CODE_SIZES[0], min(CODE_SIZES[1], BOX_WIDTH / MONO_ADVANCE / max(longest, 1)))
    size = int(size * 10) / 10
    columns = int(BOX_WIDTH / MONO_ADVANCE / size)
    code = quote("\n".join(fold(line, columns) for line in lines))
    short = len(lines) <= 12
    return raw(
        f"#verbatim({quote(kind)}, {size}pt, {quote(lang) if lang else 'none'}, {code}, "
        f"breakable: {str(not short).lower()}, sticky: {str(sticky and short).lower()})"
    )


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
    end, when every heading that a link may lead to is known. `cell` is the number of the cell being read, for messages.
    """

    def __init__(self, name, folder):
        self.name, self.folder = name, Path(folder)
        self.cell, self.attachments = 0, {}
        self.formulas = Formulas()
        self.pictures = {}  # file name -> bytes
        self.targets = {}  # slug of a heading or anchor -> label
        self.labels = 0

    def fail(self, problem, cell=None):
        cell = self.cell if cell is None else cell
        raise ExportError(f"{self.name}, {f'cell {cell}' if cell else 'title page'}: {problem}")

    def markdown(self, text):
        return self._blocks(pandoc(self.formulas.take_out(text, self.cell), MARKDOWN, "html")[0])

    def html(self, text):
        return self._blocks(self.formulas.take_out(text, self.cell, html.unescape))

    def inline(self, text):
        """Markdown as the content of one paragraph."""
        paragraphs = [block["c"] for block in self.markdown(text) if block["t"] in ("Para", "Plain")]
        return [node for i, content in enumerate(paragraphs) for node in ([{"t": "Space"}] if i else []) + content]

    def typst(self, blocks):
        code, _ = pandoc(document(rewrite(blocks, self._lead_links)), "json", "typst")
        return self.formulas.put_back(code, self.fail)

    def _blocks(self, text):
        text = re.sub(r"<(style|script)\b.*?</\1>|<!--.*?-->", "", text, flags=re.S)
        text = re.sub(r"<(details|summary)\b[^>]*>", r'<div class="\1">', text)
        text = re.sub(r"</(details|summary)>", "</div>", text)
        return rewrite(json.loads(pandoc(text, "html+task_lists", "json")[0])["blocks"], self._adapt)

    def _adapt(self, kind, value):
        """One node as this document wants it, its content being done already; None leaves it as it is."""
        if kind in ("RawInline", "RawBlock") and value[0] == "html":
            return []
        if kind == "Header":
            level, (identifier, _, _), text = value
            return {"t": "Header", "c": [level, [self._label(self.as_written(text), identifier), [], []], text]}
        if kind == "Code" and MARK.search(value[1]):
            return {"t": "Code", "c": [value[0], self.formulas.as_written(value[1])]}
        if kind == "CodeBlock":
            return verbatim("listing", self.formulas.as_written(value[1]), next(iter(value[0][1]), None))
        if kind == "Table":
            return self._table(value)
        if kind == "Image":
            return raw_inline(f"#box({self._image(value)})")
        if kind in ("Para", "Plain") and len(value) == 1 and value[0]["t"] == "RawInline":
            alone = re.match(r"#box\(image(.*)\)$", value[0]["c"][1])
            return raw(f"#picture{alone[1]}") if alone else None
        if kind == "Div" and set(value[0][1]) & {"details", "summary"}:
            return [raw(f"#{value[0][1][0]}["), *value[1], raw("]")]
        if kind == "Div":
            content = [{"t": "Para", "c": node["c"]} if node["t"] == "Plain" else node for node in value[1]]
            return [raw(f"#metadata(none)<{self._label(value[0][0])}>"), *content] if value[0][0] else content
        if kind == "Span":
            return [raw_inline(f"#metadata(none)<{self._label(value[0][0])}>"), *value[1]] if value[0][0] else value[1]
        return None

    def as_written(self, inlines):
        return self.formulas.as_written(stringify(inlines))

    def _label(self, *names):
        """A new label, to which links to any of these names lead; the first place of a name wins."""
        self.labels += 1
        for name in filter(None, map(slug, names)):
            self.targets.setdefault(name, f"place-{self.labels}")
        return f"place-{self.labels}"

    def _lead_links(self, kind, value):
        """Links within the document lead to their heading; links to other files are plain text on paper."""
        if kind != "Link" or re.match(r"(https?|mailto):", value[2][0]):
            return None
        _, text, (target, _) = value
        label = self.targets.get(slug(target)) if target.startswith("#") else None
        return {"t": "Link", "c": [["", [], []], text, [f"#{label}", ""]]} if label else text

    # Pictures

    def picture(self, data, kind, width=None, alt=""):
        """Typst code of a picture at its natural size, at most as wide as the text and 0.8 of its height.

        `width` is in pixels of 1/96 inch; without it the file's own resolution counts, 96 per inch if it has none.
        """
        size = "" if width is None else f", width: {min(width * 0.75, TEXT_WIDTH):.2f}pt"
        if kind != "svg":
            try:
                with Image.open(io.BytesIO(data)) as picture:
                    (columns, rows), dpi = picture.size, float(picture.info.get("dpi", (0, 0))[0])
            except OSError:
                self.fail("a picture cannot be read; draw or save it again")
            natural = width * 0.75 if width else columns * 72 / (dpi if dpi > 10 else 96)
            size = f", width: {min(natural, TEXT_WIDTH, 0.8 * TEXT_HEIGHT * columns / rows):.2f}pt"
        name = f"{hashlib.sha256(data).hexdigest()[:20]}.{kind}"
        self.pictures[name] = data
        return f"image({quote(name)}{size}{f', alt: {quote(alt)}' if alt else ''})"

    def _image(self, value):
        """An image of a Markdown cell or of HTML."""
        (_, _, attributes), alt, (target, _) = value
        alt = self.as_written(alt)
        kind = Path(target).suffix.lower().lstrip(".")
        if re.match(r"https?:", target):  # a document is made without the network
            return f"link({quote(target)}, {quote('[' + (alt or 'picture') + ']')})"
        if found := re.match(r"data:image/([\w+]+);base64,(.*)", target, re.S):
            kind, data = found[1], base64.b64decode(found[2])
        elif target.startswith("attachment:"):
            bundle = self.attachments.get(urllib.parse.unquote(target.removeprefix("attachment:")))
            if not bundle:
                self.fail(f"the picture '{target}' is missing; paste it into the cell again")
            mime, data = next(iter(bundle.items()))
            kind, data = mime.split("/")[-1], base64.b64decode(data)
        elif (path := self.folder / urllib.parse.unquote(target)).is_file():
            data = path.read_bytes()
        else:
            self.fail(f"there is no picture '{target}'; correct its path, which starts at the notebook's folder")
        kind = {"svg+xml": "svg", "jpg": "jpeg"}.get(kind, kind)
        if kind not in ("png", "jpeg", "gif", "svg", "webp"):
            self.fail(f"the picture '{target[:60]}' cannot be printed; save it as PNG, JPEG or SVG")
        attributes = dict(attributes)
        style = re.search(r"(?<!-)\bwidth:\s*([\d.]+(?:px|%))", attributes.get("style", ""))
        width = re.fullmatch(r"([\d.]+)(px|%)?", attributes.get("width") or (style[1] if style else ""))
        scale = TEXT_WIDTH / 75 if width and width[2] == "%" else 1
        return self.picture(data, kind, float(width[1]) * scale if width else None, alt)

    # Tables

    def _table(self, value):
        """A table that repeats its header on every page, as small as the page asks for, numbers to the right."""
        _, (_, caption), columns, (_, heading), bodies, _ = value
        rows = [row for body in bodies for row in body[2] + body[3]]
        cells = _place(heading + rows)
        by_column = [[(y < len(heading), c) for y, x, c in cells if x == i and c[3] == 1] for i in range(len(columns))]
        size = _table_size([[(head, self._seen(c[4])) for head, c in column] for column in by_column])
        sides = [_side([c for head, c in column if not head]) for column in by_column]
        code = {True: [], False: []}
        for y, x, (_, align, high, wide, content) in cells:
            side = SIDES.get(align["t"]) or ("center" if wide > 1 else sides[x])
            spans = "".join(f", {name}span: {n}" for name, n in (("row", high), ("col", wide)) if n > 1)
            cell = [raw(f"table.cell(align: {side}{spans})["), *rewrite(content, _breakable), raw("],")]
            code[y < len(heading)] += cell
        title = [raw("#align(center)["), *caption, raw("]")] if caption else []
        call = f"#data-table({size}pt, {len(columns)}, {len(heading)}, ("
        return [*title, raw(call), *code[True], raw("), ("), *code[False], raw("))")]

    def _seen(self, blocks):
        """A cell's text, each formula about as long as it will be."""
        return MARK.sub(lambda found: "x" * (len(self.formulas.all[int(found[1])][0]) // 2), stringify(blocks))


def _place(rows):
    """(row, column, cell) of every cell, those that span several rows or columns taken into account."""
    taken, placed = set(), []
    for y, (_, cells) in enumerate(rows):
        x = 0
        for cell in cells:
            while (y, x) in taken:
                x += 1
            placed.append((y, x, cell))
            taken |= {(y + j, x + i) for j in range(cell[2]) for i in range(cell[3])}
    return placed


def _side(cells):
    """Where the cells of a column go that do not say so themselves."""
    explicit = [SIDES[cell[1]["t"]] for cell in cells if cell[1]["t"] in SIDES]
    texts = [stringify(cell[4]).strip() for cell in cells]
    return explicit[0] if explicit else "right" if any(texts) and all(map(NUMBER.fullmatch, texts)) else "left"


def _table_size(columns):
    """Size (pt) at which numbers stay whole and texts wrap at 26 characters or more; a column is [(header?, text)]."""
    whole = needed = 0.0  # widths in units of the size: 0.48 a character and 1.1 for the gap
    for column in columns:
        words = [len(piece) for _, text in column for word in text.split() for piece in _pieces(word)]
        texts = [min(26, len(text)) for head, text in column if not head]
        whole += 0.48 * max([len(text) for _, text in column], default=1) + 1.1
        needed += 0.48 * max(words + texts, default=1) + 1.1
    return round(max(4.6, min(8.8, TEXT_WIDTH / min(whole, needed))) - 0.05, 1)


def _pieces(word):
    return WORD.findall(word) if len(word) > 18 else [word]


def _breakable(kind, value):
    """Give the long words of a cell places to break."""
    if kind == "Str" and len(value) > 18 and not MARK.search(value):
        return [node for piece in _pieces(value) for node in ({"t": "Str", "c": piece}, raw_inline("#box()"))]
    return None
