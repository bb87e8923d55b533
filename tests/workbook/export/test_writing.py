"""What all exporters share: files that appear as a whole or not at all, and the facts about a run."""

import pytest
from pieces import markdown, notebook

from lib.workbook.export.writing import run_facts, write


class Exporter:
    """Stands in for an nbconvert exporter: its result is the first cell."""

    def from_notebook_node(self, nb, resources):
        if not nb.cells:
            raise ValueError(f"nothing in {resources['metadata']['name']}")
        return nb.cells[0].source, resources


def test_a_file_appears_as_a_whole_or_not_at_all(tmp_path):
    out = tmp_path / "deep" / "a.txt"
    assert write(Exporter(), notebook(markdown("é")), out) == out and out.read_bytes() == "é".encode()
    with pytest.raises(ValueError, match="nothing in a"):
        write(Exporter(), notebook(), out)
    assert out.read_text("utf-8") == "é" and [path.name for path in out.parent.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("seconds, text", [(5, "5 s"), (80.4, "1 min 20 s"), (3725, "1 h 2 min"), (0, "0 s")])
def test_facts_about_a_run(seconds, text):
    about = {"profile": "cpu", "device": None, "seconds": seconds, "versions": {"torch": "2", "numpy": "1"}}
    assert run_facts(about) == {"Profile": "cpu", "Run time": text, "Versions": "numpy 1, torch 2"}
    assert run_facts({}) == {}
