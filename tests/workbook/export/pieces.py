"""Cells, outputs and notebooks for tests, and what they become."""

import base64
import io
import shutil
import subprocess

import pytest
from nbformat import v4
from PIL import Image

from lib.workbook.export import TypstPDFExporter
from lib.workbook.export.template import PREAMBLE

VIEW = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"


def markdown(text, **kw):
    return v4.new_markdown_cell(text, **kw)


def code(source="x = 1", *outputs, tags=()):
    return v4.new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})


def display(data, **metadata):
    return v4.new_output("display_data", data, metadata=metadata)


def stream(text, name="stdout"):
    return v4.new_output("stream", text=text, name=name)


def png(width=64, height=32, dpi=None):
    """A PNG file, base64 as notebooks keep it."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), "white").save(file, "png", **({"dpi": (dpi, dpi)} if dpi else {}))
    return base64.b64encode(file.getvalue()).decode()


def notebook(*cells, widgets=None, **workbook):
    metadata = {"workbook": workbook} if workbook else {}
    if widgets:
        metadata["widgets"] = {STATE: {"version_major": 2, "version_minor": 0, "state": widgets}}
    return v4.new_notebook(cells=list(cells), metadata=metadata)


def source(*cells, **kw):
    """The Typst code after the template."""
    return TypstPDFExporter().typst_source(notebook(*cells, **kw)).removeprefix(PREAMBLE)


def pdf(*cells, **kw):
    return TypstPDFExporter().from_notebook_node(notebook(*cells, **kw))[0]


def pages(data):
    """The text of every page, its white space reduced."""
    if not shutil.which("pdftotext"):
        pytest.skip("needs pdftotext (poppler-utils)")
    text = subprocess.run(
        ["pdftotext", "-layout", "-", "-"], input=data, capture_output=True, check=True
    ).stdout.decode()
    return text.removesuffix("\f").split("\f")


def flat(data):
    return " ".join(" ".join(pages(data)).split())


def figure(number, caption="The *loss* $\\log 3$ of `lstm`.", width=None, data=None):
    size = {"image/png": {"width": width}} if width else {}
    return [
        display(
            {"image/png": png(), "text/plain": "<Figure>", **(data or {})},
            workbook={"figure": number, "caption": caption},
            **size,
        ),
        display(
            {"text/markdown": f"**Figure {number}.** {caption}", "text/plain": caption}, workbook={"caption_of": number}
        ),
    ]
