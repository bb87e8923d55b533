"""A real browser: in JupyterLab "Run All" ends without an error, films play, a figure answers to its controls, keeps up
with them, and is there when the notebook is opened again; TensorBoard shows the logs."""

import os
import re
import shutil
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from lib.storage.paths import ROOT
from lib.workbook import browser, notebooks, widget_bench
from lib.workbook.browser import CHROMIUM, FLAGS, free_port, serving

pytestmark = [pytest.mark.system, pytest.mark.skipif(not CHROMIUM, reason=browser.MISSING)]

# A square as bright as its value says. It is drawn when the file `gate` is there.
TOY = """
import time
from pathlib import Path
from matplotlib import pyplot as plt
from lib.figures import widgets

def grey():
    fig = plt.figure(figsize=(1, 1), layout="none")
    picture = fig.add_axes((0, 0, 1, 1)).imshow([[0]], cmap="gray", vmin=0, vmax=255)

    def update(value):
        while not Path("gate").exists():
            time.sleep(0.01)
        picture.set_data([[value]])
        return [picture]

    return fig, update

_ = widgets.interactive(grey, "How bright?", value=(0, 255))
"""
BRIGHTNESS = """() => {
  const image = document.querySelector(".jp-RenderedImage img");
  const context = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d");
  context.drawImage(image, 50, 50, 1, 1, 0, 0, 1, 1); // nothing, if it is not loaded yet
  return context.getImageData(0, 0, 1, 1).data[0];
}"""
VALUE = "() => Number(document.querySelector('.widget-readout').textContent)"
THE_SAME = f"() => ({BRIGHTNESS})() === ({VALUE})()"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a copy of the notebooks (JupyterLab saves them now and then)."""
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "notebooks", folder / "notebooks")
    return folder


@pytest.fixture(scope="module")
def lab(folder):
    """Address of a JupyterLab as it comes, without the workbook's settings."""
    with browser.jupyterlab(folder) as lab:
        yield lab


@pytest.mark.parametrize("path", notebooks.paths(), ids=lambda path: path.stem)
def test_run_all_and_move_the_controls(lab, path):
    from playwright.sync_api import expect

    with browser.new_page() as page:
        browser.open_notebook(page, lab, path)
        browser.run_all(page, path)
        assert page.evaluate(browser.ERRORS) == []
        ready = """() => [...document.querySelectorAll("img[src*='/webp']")].every(film => film.naturalWidth > 0)"""
        page.wait_for_function(ready, timeout=90_000)
        assert widget_bench.measured(page, 1) or path.stem == "00_start_here", (
            "every control is moved, and each time something new is shown"
        )
        if page.locator(".jp-OutputArea-output .widget-text input").count():
            written = page.locator(".jp-OutputArea-output p", has_text=re.compile(r"The ferryman of .{100}", re.DOTALL))
            expect(written).to_be_visible(timeout=60_000)
        if folder := os.environ.get("WORKBOOK_SCREENSHOTS"):
            page.wait_for_timeout(500)
            page.screenshot(path=str(Path(folder, f"{path.stem}.png")))


def toy(folder, name):
    """A notebook with one cell, a widget."""
    path = folder / "notebooks" / name
    kernel = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
    nbformat.write(new_notebook(cells=[new_code_cell(TOY.strip())], metadata=kernel), path)
    return path


def drag(page):
    """Drag the slider over many values and let it go in the right half; the value there."""
    track = page.locator(".noUi-base").bounding_box()
    y = track["y"] + track["height"] / 2
    page.mouse.move(track["x"] + track["width"] / 2, y)
    page.mouse.down()
    for part in (0.6, 0.3, 0.9, 0.2, 0.4, 0.5, 0.65, 0.7, 0.75):
        page.mouse.move(track["x"] + part * track["width"], y)
        page.wait_for_timeout(20)
    page.mouse.up()
    return page.evaluate(VALUE)


def test_while_it_is_dragged_stale_values_are_left_out_and_the_last_one_is_shown(lab, folder):
    path, gate = toy(folder, "00_dragged.ipynb"), folder / "notebooks" / "gate"
    gate.touch()
    with browser.new_page() as page:
        browser.open_notebook(page, lab, path)
        browser.run_all(page, path, 60)
        page.wait_for_function(THE_SAME, timeout=browser.TIME)
        page.evaluate(widget_bench.WATCH, 0)
        gate.unlink()  # the first value is not drawn before the last one has come
        assert drag(page) > 180
        assert page.evaluate("shown.length") == 0
        gate.touch()
        page.wait_for_function(THE_SAME, timeout=browser.TIME)
        page.wait_for_function(widget_bench.SETTLED, timeout=browser.TIME)
        assert page.evaluate("shown.length") == 2, "the first value and the last"


@pytest.mark.parametrize("launcher", ["jupyter lab", "lib.workbook lab"])
def test_saved_and_opened_again_it_shows_its_last_picture(tmp_path, launcher):
    """With the workbook's settings the controls are there as well, instead of "model not found"."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "gate").touch()
    path = toy(tmp_path, "00_saved.ipynb")
    with browser.jupyterlab(tmp_path, launcher.split()) as lab:
        with browser.new_page() as page:
            browser.open_notebook(page, lab, path)
            browser.run_all(page, path, 60)
            value = drag(page)
            page.wait_for_function(THE_SAME, timeout=browser.TIME)
            page.keyboard.press("ControlOrMeta+s")
            page.wait_for_function("() => !document.querySelector('.jp-mod-dirty')", timeout=browser.TIME)
            browser.menu(page, "Kernel", "Shut Down Kernel")
        with browser.new_page() as page:
            browser.open_notebook(page, lab, path)
            page.wait_for_selector(".jp-RenderedImage img", timeout=browser.TIME)
            page.wait_for_function(f"value => ({BRIGHTNESS})() === value", arg=value, timeout=browser.TIME)
            controls = page.get_by_text("model not found").or_(page.locator(".widget-readout"))
            controls.first.wait_for(timeout=browser.TIME)
            if launcher == "lib.workbook lab":
                assert page.get_by_text("model not found").count() == 0
            if folder := os.environ.get("WORKBOOK_SCREENSHOTS"):
                page.screenshot(path=str(Path(folder, f"reopened_{launcher.split()[0]}.png")))


def test_tensorboard_shows_the_runs(tmp_path):
    from playwright.sync_api import sync_playwright

    from lib.training import events

    history = {"step": [10, 20, 30], "loss": [3.0, 2.0, 1.0], "one_step_share": [0.3, 0.2, 0.1]}
    events.write(tmp_path / "notebook" / "a_run", history, mark="test")
    port = free_port()
    command = [sys.executable, "-m", "tensorboard.main", "--load_fast=false"]
    command += ["--logdir", str(tmp_path), "--port", str(port)]
    with serving(command, f"http://127.0.0.1:{port}/", tmp_path / "server.log"), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(f"http://127.0.0.1:{port}/#timeseries", wait_until="domcontentloaded")
        for text in ("notebook/a_run", "one_step_share", "loss"):
            page.get_by_text(text).first.wait_for(timeout=60_000)
        browser.close()
