"""A run of pandoc, its document tree, and the few pieces of Typst code that are put into that tree."""

import json
import re
import subprocess

import pypandoc
from nbconvert.utils.exceptions import ConversionException

BETWEEN_ID = "between-two-texts"
BETWEEN = f'<div id="{BETWEEN_ID}"></div>'


class ExportError(ConversionException):
    """A notebook cannot be exported; the message names the cell, what is wrong in it, and the remedy."""


def pandoc(text, reader, writer, *options):
    """Convert a text and return (the result, pandoc's warnings); a run takes about 10 ms."""
    command = [pypandoc.get_pandoc_path(), "-f", reader, "-t", writer, "--wrap=none", "--syntax-highlighting=none"]
    command += options
    done = subprocess.run(command, input=text.encode(), capture_output=True)
    warnings = done.stderr.decode(errors="replace").strip()
    if done.returncode:
        raise ExportError(f"pandoc cannot read this text: {warnings}")
    return done.stdout.decode().replace("\r\n", "\n"), warnings


def pandoc_each(texts, reader, writer):
    """Convert many texts to "html" or to the blocks of "json", by one run where no text reaches into the next one."""
    if len(texts) > 1:
        try:
            parts = _parts(pandoc(f"\n\n{BETWEEN}\n\n".join(texts), reader, writer)[0], writer)
        except ExportError:  # said about the one text that it is about
            parts = []
        if len(parts) == len(texts):
            return parts
    return [_parts(pandoc(text, reader, writer)[0], writer)[0] for text in texts]


def _parts(result, writer):
    if writer == "html":
        return result.split(BETWEEN)
    parts = [[]]
    for block in json.loads(result)["blocks"]:
        if block["t"] == "Div" and block["c"][0][0] == BETWEEN_ID:
            parts.append([])
        else:
            parts[-1].append(block)
    return parts


def document(blocks):
    """The blocks as a document in pandoc's JSON format."""
    return json.dumps({"pandoc-api-version": [1, 23, 1], "meta": {}, "blocks": blocks})


def raw(code):
    """A block of Typst code in pandoc's tree."""
    return {"t": "RawBlock", "c": ["typst", code]}


def raw_inline(code):
    """Typst code within a paragraph of pandoc's tree."""
    return {"t": "RawInline", "c": ["typst", code]}


def rewrite(node, change):
    """The tree after `change(kind, content)` of every node, leaves first; None keeps a node, a list replaces it."""
    if isinstance(node, list):
        done = []
        for item in node:
            item = rewrite(item, change)
            new = change(item["t"], item.get("c")) if isinstance(item, dict) and "t" in item else None
            done += [item] if new is None else new if isinstance(new, list) else [new]
        return done
    return {key: rewrite(value, change) for key, value in node.items()} if isinstance(node, dict) else node


def quote(text):
    """The text as a string literal of Typst."""
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return '"' + re.sub(r"[\x00-\x1f\x7f]", "", text) + '"'


def array(items):
    """Typst code of an array; the trailing comma keeps a single item an array."""
    return "(" + "".join(f"{item}, " for item in items) + ")"
