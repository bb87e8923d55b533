"""Notebooks as PDF and as web pages."""

from .pandoc import ExportError
from .static_outputs import StaticOutputs, freeze_widgets
from .typst_pdf import TypstPDFExporter, export_html, export_pdf

__all__ = ["ExportError", "StaticOutputs", "TypstPDFExporter", "export_html", "export_pdf", "freeze_widgets"]
