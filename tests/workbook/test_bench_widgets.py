"""The measurement of widgets: what is printed without a browser and of rows, and in a browser a toy."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from lib.workbook import browser, widget_bench

ROW = {"notebook": "07", "widget": "Move the time from noise to data and look at it very closely", "median_ms": 61.4}
ROW |= {"controls": {"density": 58.2, "time": 64.0}}
TOY = """
import time
from matplotlib import pyplot as plt
from lib import figures
from lib.figures import widgets

def grey():
    fig = plt.figure(figsize=(2, 2), layout="none")
    picture = fig.add_axes((0, 0, 1, 1)).imshow([[0]], vmin=0, vmax=40)

    def update(number, kind, place, point):
        time.sleep(0.05)
        picture.set_data([[number + len(kind) + place[0] + 4 * place[1] + sum(point)]])
        return [picture]

    return fig, update

pad = widgets.PlanePoint(figures.png(grey()[0]), 0, 1, pixels=50)
_ = widgets.interactive(grey, "Move it.", number=(0, 9), kind=["a", "bb"], place=widgets.ClickGrid(4, 4), point=pad)
"""


def test_a_line_of_the_table():
    title = "Move the time from noise to data and look at it…"
    assert widget_bench.line(ROW) == f"07        {title}     61 ms   ≤ 100   density 58 · time 64"


def test_without_a_browser_it_says_what_is_missing(monkeypatch, capsys, stores):
    monkeypatch.setattr(browser, "CHROMIUM", None)
    assert widget_bench.print_table([stores / "01_any.ipynb"], 3) == []
    assert capsys.readouterr().out == "Widgets were not measured: that needs a browser: apt install chromium.\n"


@pytest.mark.system
@pytest.mark.skipif(not browser.CHROMIUM, reason=browser.MISSING)
def test_a_toy_is_measured(stores, capsys):
    kernel = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
    cells = [new_code_cell("print('no widget')"), new_code_cell(TOY.strip())]
    (stores / "some").mkdir()
    path = stores / "some" / "00_toy.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata=kernel), path)
    (row,) = widget_bench.print_table([path], 3)
    assert row["widget"] == "Move it." and [*row["controls"]] == ["number", "kind", "board", "plane"]
    assert 50 < row["median_ms"] < 20_000, "the function sleeps for 50 ms"
    assert capsys.readouterr().out.splitlines()[-1] == widget_bench.line(row)
