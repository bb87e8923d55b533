"""What a student edition leaves out of a notebook: cells that are tagged `solution`, and, in the section of an item
that is answered in words, the readings and claims, since they are its answer.

Of functions that a student writes and other cells call, signature and docstring stay: their cell, tagged `solution`,
has `item` in its metadata.
"""

import ast
import re

import nbformat

from lib.workbook import exercises
from lib.workbook.notebooks import cell_tags

WITHHELD = "solution"  # the tag of cells that would give an answer away
HEADING = re.compile(r"(#+) (?:([A-Z]\d)\b)?")
READING = re.compile(r"\*\*(Reading|In one sentence)\b")
SHOWS = re.compile(r"\b(print|show\w*|display)\(")


def without_answers(cells):
    """The cells of a notebook that a student is given; those tagged `answer` as they are, since they become questions.

    A section ends with the next heading of its level or a higher one, or a heading that names another item. A reading
    is a paragraph that begins with **Reading or **In one sentence, and what follows up to a heading or a paragraph that
    begins in bold. A `predict` cell goes if it would show nothing any more and no other cell needs it.
    """
    item, kept = None, []
    for cell in cells:
        tags, text = cell_tags(cell), cell.source
        if cell.cell_type == "markdown":
            item, rest = _without_readings(text, item)
            text = text if "answer" in tags and _in_words(cell.metadata.get("item")) else rest
        elif cell.cell_type == "code" and WITHHELD in tags and "item" in cell.metadata:
            text, tags = _signatures(text, cell.metadata["item"]), []
        elif cell.cell_type == "code" and item:
            text = _without_claims(text)
            if "predict" in tags and not SHOWS.search(text) and not _needed(text, cell, cells):
                continue
        if text.strip() and WITHHELD not in tags:
            kept.append(nbformat.from_dict(cell | {"source": text}))
    return kept


def _without_readings(source, item):
    """The item whose section goes on after a text, or None, and the text without readings in such sections."""
    kept, reading = [], False
    for paragraph in re.split(r"\n{2,}", source):
        if heading := HEADING.match(paragraph):
            item = _in_words(heading[2]) if heading[2] or len(heading[1]) < 3 else item
        if heading or paragraph.startswith("**"):
            reading = bool(item and READING.match(paragraph))
        kept += [] if reading else [paragraph]
    return item, "\n\n".join(kept)


def _in_words(code):
    return code if code and exercises.items().get(code, {}).get("answers") else None


def _without_claims(source):
    """Code without the statements that do nothing but claim, those inside of an `if` or a loop included."""
    lines = source.splitlines()
    for node in reversed([*_claims(ast.parse(source).body)]):
        del lines[node.lineno - 1 : node.end_lineno]
    return "\n".join(lines)


def _claims(statements):
    for node in statements:
        if _claims_only(node):
            yield node
        elif isinstance(node, (ast.If, ast.For)) and not all(map(_claims_only, node.body)):
            yield from [*_claims(node.body), *_claims(node.orelse)]


def _claims_only(node):
    if isinstance(node, ast.Expr):
        called = getattr(node.value, "func", None)
        return getattr(called, "attr", getattr(called, "id", "")) == "claim"
    return isinstance(node, (ast.If, ast.For)) and all(map(_claims_only, [*node.body, *node.orelse]))


def _needed(text, own, cells):
    """Whether another cell mentions a name that this code defines."""
    nodes = [*ast.walk(ast.parse(text))]
    defined = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    defined |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    others = " ".join(cell.source for cell in cells if cell.cell_type == "code" and cell is not own)
    return bool(defined & set(re.findall(r"\w+", others)))


def _signatures(source, item):
    """Functions without what they do: called, they say whose they are to write."""
    lines = source.splitlines()
    for node in reversed(ast.parse(source).body):
        told = ast.get_docstring(node) is not None
        first = node.body[0].end_lineno if told else node.body[0].lineno - 1
        stop = f'    raise NotImplementedError("{node.name} is yours to write, in its cell above: {item}")'
        lines[first : node.end_lineno] = [stop]
    return "\n".join(lines)
