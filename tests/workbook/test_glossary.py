"""The glossary: its form, and which of its terms a notebook uses."""

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from lib.workbook import glossary


def test_terms_are_sorted_and_their_definitions_short():
    terms = [entry.term for entry in glossary.entries().values()]
    assert terms == sorted(terms, key=str.casefold) and len(terms) > 80
    assert not [entry for entry in glossary.entries().values() if "](#" in entry.text]
    assert all(len(entry.text.split()) <= 60 for entry in glossary.entries().values())


def test_used_terms_are_those_that_are_linked():
    text = "An [*LSTM*](glossary.md#LSTM) has a [gate](glossary.md#forget-gate), no [flux](glossary.md#flux)"
    text += "; [it](other.md#gate)"
    nb = new_notebook(cells=[new_markdown_cell(text), new_code_cell("# [x](glossary.md#Adam)")])
    assert glossary.used(nb) == ["forget-gate", "LSTM"]
    assert glossary.links(nb) == ["LSTM", "forget-gate", "flux"]
    assert glossary.entries()["forget-gate"].term == "forget gate"


@pytest.mark.parametrize("text", ["# G\n### a\ntext\n### a\nagain", "# G\n### a\n\n### b\ntext"])
def test_a_glossary_out_of_form_is_refused(text, tmp_path, monkeypatch):
    monkeypatch.setattr(glossary, "FILE", tmp_path / "glossary.md")
    glossary.FILE.write_text(text)
    with pytest.raises(ValueError, match="the term 'a' needs one heading with one definition"):
        glossary.entries.__wrapped__()
