"""Captions: steady numbers in the order of first appearance, figures and tables each by themselves."""

import pandas as pd
import pytest

from lib import figures
from lib.figures import captions

pytestmark = pytest.mark.usefixtures("style")


def test_numbers_follow_the_order_of_first_appearance(displayed, drawing):
    def numbers():
        found = [
            metadata["workbook"].get("figure") or metadata["workbook"].get("table") for _, metadata in displayed[::2]
        ]
        displayed.clear()
        return found

    table = pd.DataFrame({"a": [1]})
    figures.show(drawing(), "first")
    figures.show(drawing(), "second")
    figures.show_table(table, "first")
    assert numbers() == [1, 2, 1], "tables are counted by themselves"
    figures.show(drawing(), "first")
    figures.show_table(table, "second")
    figures.show(drawing(), "third")
    assert numbers() == [1, 2, 3], "running a cell again keeps its number"
    figures.use_style()
    figures.show(drawing(), "third")
    assert numbers() == [1], "a notebook starts to count at one"


def test_numbers_start_anew_for_everything_that_has_a_number(displayed):
    assert [captions.number(kind, "one") for kind in ("figure", "table")] == [1, 1]
    assert [captions.number(kind, "two") for kind in ("figure", "table")] == [2, 2]
    figures.number_anew()
    assert [captions.number(kind, "two") for kind in ("figure", "table")] == [1, 1]


def test_what_is_emitted_keeps_its_own_metadata(displayed):
    captions.emit("table", {"text/plain": "1"}, "One.", {"text/plain": {"width": 3}})
    (data, metadata), (_, note) = displayed
    assert data == {"text/plain": "1"} and metadata["text/plain"] == {"width": 3}
    assert metadata["workbook"] == {"table": 1, "caption": "One."}
    assert note["workbook"] == {"caption_of": 1, "kind": "table"}
