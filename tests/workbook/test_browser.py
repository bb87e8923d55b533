"""A real browser: in JupyterLab "Run All" ends without an error, films play, and a figure answers to its controls;
TensorBoard shows the logs."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest

from lib.storage.paths import ROOT, checkpoints_folder
from lib.workbook import notebooks

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not CHROMIUM, reason="needs a browser: apt install chromium"),
]

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
PICTURE = ".jp-OutputArea-output .widget-image"
CELLS = "[...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]"
UNFINISHED = CELLS + ".filter(prompt => !/\\[\\d+\\]/.test(prompt.textContent)).length"  # no number, or a star
READY = (  # sooner, "Run All" runs nothing, or asks for a kernel in a dialog
    f"cells => {CELLS}.length === cells"
    " && document.querySelector('.jp-Toolbar-kernelName')?.textContent.startsWith('Python')"
    " && !!document.querySelector('.jp-Notebook-ExecutionIndicator[data-status=idle]')"
)


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def serving(command, address, log, **settings):
    """Run a server until the block ends; the block begins when the server answers at `address`."""
    with open(log, "w") as output:
        server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, **settings)
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(address, timeout=1)
                break
            except OSError:
                assert server.poll() is None, Path(log).read_text()
                time.sleep(0.2)
        yield
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Address of a JupyterLab over a copy of the notebooks (it saves them now and then)."""
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "notebooks", folder / "notebooks")
    port = free_port()
    own = {f"JUPYTER_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    own |= {"JUPYTERLAB_WORKSPACES_DIR": str(folder / "spaces"), "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings")}
    tracker = folder / "settings" / "@jupyterlab" / "notebook-extension" / "tracker.jupyterlab-settings"
    tracker.parent.mkdir(parents=True)
    tracker.write_text('{"windowingMode": "none"}')  # all cells stay in the page, so that they can be looked at
    own |= {"WORKBOOK_EXPORTS": str(folder / "exports"), "WORKBOOK_CHECKPOINTS": str(checkpoints_folder())}
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", f"--port={port}"]
    command += ["--ip=127.0.0.1", "--IdentityProvider.token=test", f"--ServerApp.root_dir={folder / 'notebooks'}"]
    command += ["--ServerApp.port_retries=0", "--LabApp.news_url=", "--ServerApp.disable_check_xsrf=True"]
    command += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    environment = os.environ | own | {"PYTHONPATH": str(ROOT)}
    answers = f"http://127.0.0.1:{port}/api?token=test"
    with serving(command, answers, folder / "lab.log", env=environment, cwd=folder):
        yield f"http://127.0.0.1:{port}/lab/workspaces/STEM/tree/NAME?token=test"


def wait_for_kernel(lab, path):
    address = lab.split("/lab/")[0] + "/api/sessions?token=test"
    for _ in range(450):
        with urllib.request.urlopen(address) as answer:
            sessions = json.load(answer)
        if any(one["path"] == path.name and (one["kernel"] or {}).get("execution_state") == "idle" for one in sessions):
            return
        time.sleep(0.2)
    pytest.fail(f"the kernel of {path.name} was not ready after 90 s")


def wait_for_another_picture(page, before):
    changed = "([query, old]) => [...document.querySelectorAll(query)].pop()?.src !== old"
    page.wait_for_function(changed, arg=[PICTURE, before], timeout=60_000)


@pytest.mark.parametrize("path", notebooks.paths(), ids=lambda path: path.stem)
def test_run_all_and_move_the_sliders(lab, path):
    from playwright.sync_api import TimeoutError, expect, sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.goto(lab.replace("STEM", path.stem).replace("NAME", path.name), wait_until="domcontentloaded")
        page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=60_000)
        wait_for_kernel(lab, path)
        cells = sum(cell.cell_type == "code" for cell in nbformat.read(path, 4).cells)
        page.wait_for_function(READY, arg=cells, timeout=60_000)
        page.get_by_role("menuitem", name="Edit", exact=True).click()
        page.get_by_role("menuitem", name="Clear Outputs of All Cells", exact=True).click()
        page.wait_for_function(f"() => {UNFINISHED} === {cells}")  # else old numbers may pass for new ones
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        try:
            page.wait_for_function(f"() => {UNFINISHED} === 0", timeout=400_000)
        except TimeoutError:
            notice = " ".join(page.locator(".jp-Dialog").all_inner_texts())
            pytest.fail(f"{page.evaluate(UNFINISHED)} cells of {path.name} were not run in 400 s. {notice}")
        picture = page.locator(PICTURE).last
        picture.scroll_into_view_if_needed(timeout=60_000)
        assert page.locator(".jp-RenderedText[data-mime-type*=error]").count() == 0
        ready = """() => [...document.querySelectorAll("img[src*='/webp']")].every(film => film.naturalWidth > 0)"""
        page.wait_for_function(ready, timeout=90_000)
        figure = page.locator(".jp-OutputArea-output", has=page.locator(".widget-image")).last
        for slider in figure.locator(".widget-slider:has(.noUi-handle)").all():
            before, readout = picture.get_attribute("src"), slider.locator(".widget-readout")
            shown = readout.inner_text()
            handle = slider.locator(".noUi-handle")
            at_the_end = handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemax")
            handle.focus()
            page.keyboard.press("ArrowLeft" if at_the_end else "ArrowRight")
            expect(readout).not_to_have_text(re.compile(f"^{re.escape(shown)}$"), timeout=60_000)
            wait_for_another_picture(page, before)
        if (board := page.locator(".jp-OutputArea-output .widget-gridbox button")).count():
            before = picture.get_attribute("src")
            board.first.click()
            wait_for_another_picture(page, before)
        if (plane := page.locator("canvas.plane")).count():
            before, box = picture.get_attribute("src"), plane.bounding_box()
            page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 4)
            page.mouse.down()
            page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 4, steps=5)
            page.mouse.up()
            wait_for_another_picture(page, before)
        if (screen := page.locator("canvas.game")).count():
            page.get_by_role("button", name="Play", exact=True).click()
            page.keyboard.down("ArrowUp")
            frames = screen.locator("xpath=following-sibling::div/span")
            expect(frames).to_have_text(re.compile(r"[2-9]\d frames"), timeout=60_000)  # at least twenty
        if (prompt := page.locator(".jp-OutputArea-output .widget-text input")).count():
            prompt.first.fill("The ferryman of ")
            prompt.first.press("Enter")
            written = page.locator(".jp-OutputArea-output p", has_text=re.compile(r"The ferryman of .{100}", re.DOTALL))
            expect(written).to_be_visible(timeout=60_000)
        if folder := os.environ.get("WORKBOOK_SCREENSHOTS"):
            page.wait_for_timeout(500)
            page.screenshot(path=str(Path(folder, f"{path.stem}.png")))
        browser.close()


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
