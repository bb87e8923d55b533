"""Tables as Typst: as small as the page asks for, numbers to the right, the head repeated on every page."""

import re

from pandocfilters import stringify

from lib.workbook.reading import MINUS

from .formulas import MARK
from .pandoc import array, raw, raw_inline, rewrite
from .template import TEXT_WIDTH

NUMBER = re.compile(r"[\s\d.,:+\-−–±×·/%()^eE]*|[-+]?(nan|inf|∞)|None|NaN|—|…|", re.I)
WORD = re.compile(r"[^/_.,=\-]{1,18}[/_.,=\-]*|[/_.,=\-]+")  # between these pieces a table may break a long word
SIDES = {"AlignLeft": "left", "AlignRight": "right", "AlignCenter": "center"}
LINE = 26  # characters; longer texts may be wrapped
SMALLEST, DIVIDED = 4.6, 6.5  # pt, of a table in one piece, and for which a wider one is divided
WIDE = re.compile(r"[WM@\u1100-\u11ff\u2e80-\uffef\U0001f000-\U0003ffff]")  # twice as wide as others
TOGETHER = 3  # rows that stay on one page at the beginning and at the end of a long table


def table(value, seen):
    """The blocks of a table of pandoc's tree; `seen(blocks)` is the text of a cell about as long as it will be.

    A table with more columns than the page has room for becomes several, each with the first column.
    """
    attributes, caption, columns, (head_attributes, heading), bodies, foot = value
    rows = [row for body in bodies for row in body[2] + body[3]]
    cells = _place(heading + rows)
    by_column = [[(y < len(heading), c) for y, x, c in cells if x == i and c[3] == 1] for i in range(len(columns))]
    texts = [[(head, seen(c[4])) for head, c in column] for column in by_column]
    if all(c[2] == c[3] == 1 for _, _, c in cells) and len(parts := _parts(texts)) > 1:

        def only(part, rows):
            return [[about, [row[i] for i in part if i < len(row)]] for about, row in rows]

        done = []
        for part in parts:
            some = [*bodies[0][:2], [], only(part, rows)]
            piece = [attributes, [None, []], [columns[i] for i in part], [head_attributes, only(part, heading)]]
            done += table([*piece, [some], foot], seen)
        return [*_title(caption[1]), *done]
    size, widths = _measures(texts)
    sides = [_side([c for head, c in column if not head]) for column in by_column]
    lines = [[] for _ in heading + rows]
    for y, x, (_, align, high, wide, content) in cells:
        side = SIDES.get(align["t"]) or ("center" if wide > 1 else sides[x])
        spans = "".join(f", {name}span: {n}" for name, n in (("row", high), ("col", wide)) if n > 1)
        if NUMBER.fullmatch(stringify(content).replace(" to ", " ").strip()):
            content = rewrite(content, _with_minus)
        lines[y] += [raw(f"table.cell(align: {side}{spans})["), *rewrite(content, _breakable), raw("],")]
    for y, line in enumerate(lines):
        line += _row_end(y - len(heading), len(rows))
    head, body = sum(lines[: len(heading)], []), sum(lines[len(heading) :], [])
    return [
        *_title(caption[1]),
        raw(f"#data-table({size}pt, {array(widths)}, {len(heading)}, ("),
        *head,
        raw("), ("),
        *body,
        raw("))"),
    ]


def _title(caption):
    return [raw("#align(center)["), *caption, raw("]")] if caption else []


def _parts(columns):
    """The columns that stand side by side: [[0, 1, …], [0, 7, …], …]."""
    needed = [_needed(column) for column in columns]
    if sum(needed) <= TEXT_WIDTH / SMALLEST:
        return [[*range(len(columns))]]
    parts, room = [], 0
    for i, width in enumerate(needed):
        if parts and (room >= width or len(parts[-1]) < 2):
            parts[-1].append(i)
        else:
            parts.append([0, i] if i else [0])
            room = TEXT_WIDTH / DIVIDED - (needed[0] if i else 0)
        room -= width
    return parts


def _needed(column):
    """The width, in units of the size, below which a column would run into the next one."""
    return _width(max(_longest_word(column), min(LINE, _longest_text(column))))


def _longest_word(column):
    return max([_length(piece) for _, text in column for word in text.split() for piece in pieces(word)], default=1)


def _longest_text(column):
    """Below the head, which may be wrapped."""
    return max([_length(text) for head, text in column if not head], default=0)


def _row_end(y, rows):
    """The last cell of row `y` below the head, which has no width: it holds the first and the last rows together."""
    if rows < 2 * TOGETHER or y < 0:
        return [raw("row-end,")]
    if y in (0, rows - TOGETHER):
        return [raw(f"rows-end({TOGETHER}),")]
    return [] if y < TOGETHER or y > rows - TOGETHER else [raw("row-end,")]


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


def _measures(columns):
    """(size in pt, widths of the columns as Typst code); a column is [(header?, text), …].

    At this size numbers stay whole and texts wrap at 26 characters or more. In a table that is wider than the page the
    columns with longer texts share the room that the others leave.
    """
    words, longest = [[*map(measure, columns)] for measure in (_longest_word, _longest_text)]
    natural = sum(_width(max([_length(text) for _, text in column], default=1)) for column in columns)
    needed = sum(map(_needed, columns))
    size = round(min(8.8, TEXT_WIDTH / min(natural, needed)) - 0.05, 1)
    wrapped = [i for i, length in enumerate(longest) if length > LINE]
    if natural * size <= TEXT_WIDTH or not wrapped:
        return size, ["auto"] * len(columns)
    fixed = sum(_width(max(words[i], longest[i])) for i in range(len(columns)) if i not in wrapped)
    room = (TEXT_WIDTH / size - fixed - sum(_width(words[i]) for i in wrapped)) / _width(1)
    lengths = [[_length(text) for _, text in columns[i]] for i in wrapped]
    shares = dict(zip(wrapped, _shared(lengths, [words[i] for i in wrapped], round(room)), strict=True))
    return size, [f"{_width(shares[i]):.1f}fr" if i in shares else "auto" for i in range(len(columns))]


def _shared(lengths, characters, room):
    """Give each column some of the `room` (characters), one after the other to where it saves most lines.

    `lengths` are the characters of every cell, column by column, `characters` those that fit into a line at first.
    """
    for _ in range(room):
        options = [[width + (i == wider) for i, width in enumerate(characters)] for wider in range(len(characters))]
        characters = min(options, key=lambda widths: _lines(lengths, widths))
    return characters


def _lines(lengths, widths):
    columns = [[max(1, length / width) for length in column] for column, width in zip(lengths, widths, strict=True)]
    return sum(map(max, *columns, *[columns[0]] * (len(columns) == 1)))


def _length(text):
    """The length in usual characters; a few wide ones are made up for by narrow ones."""
    return len(text) + max(0, len(WIDE.findall(text)) - 3)


def _width(characters):
    return 0.48 * characters + 1.1  # 1.1 for the gap


def pieces(word):
    """Where a long word may be broken."""
    return WORD.findall(word) if len(word) > 18 else [word]


def _with_minus(kind, value):
    """The hyphens before numbers as minus signs."""
    return [{"t": "Str", "c": re.sub(MINUS, "−", value)}] if kind == "Str" else None


def _breakable(kind, value):
    """Give the long words of a cell places to break."""
    if kind == "Str" and len(value) > 18 and not MARK.search(value):
        return [node for piece in pieces(value) for node in ({"t": "Str", "c": piece}, raw_inline("#box()"))]
    return None
