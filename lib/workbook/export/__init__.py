"""Notebooks as PDF and as web pages."""

from .html import export_html
from .pandoc import ExportError
from .static_outputs import StaticOutputs, film_sizes, freeze_widgets
from .typst_pdf import TypstPDFExporter, export_pdf

__all__ = [
    "ExportError",
    "StaticOutputs",
    "TypstPDFExporter",
    "export_html",
    "export_pdf",
    "film_sizes",
    "freeze_widgets",
]
