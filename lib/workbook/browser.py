"""JupyterLab in a browser that nobody sees: what the tests and the measurement of widgets share. Needs Chromium."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import nbformat

from lib.storage.paths import ROOT, checkpoints_folder

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MISSING = "needs a browser: apt install chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
TIME = 60_000  # ms, until a part of the page must be there
SETTINGS = {
    "notebook-extension/tracker": '{"windowingMode": "none"}',  # all cells stay in the page: they can be looked at
    "apputils-extension/notification": '{"fetchNews": "false"}',  # its question would lie over the controls
}
# Asked of JupyterLab itself: the page shows no number for a cell whose source is folded.
CELLS = "jupyterapp.shell.currentWidget.content.widgets.filter(cell => cell.model.type === 'code')"
UNFINISHED = CELLS + ".filter(({ model }) => model.executionCount === null || model.executionState !== 'idle').length"
ERRORS = (  # of cells, as texts; the page shows them like anything that was written to stderr
    f"{CELLS}.flatMap(({{ model }}) => model.outputs.toJSON()).filter(output => output.output_type === 'error')"
    ".map(output => output.traceback.join('\\n'))"
)
READY = (  # sooner, "Run All" runs nothing, or asks for a kernel in a dialog
    f"cells => window.jupyterapp?.shell.currentWidget?.content?.widgets && {CELLS}.length === cells"
    " && document.querySelector('.jp-Toolbar-kernelName')?.textContent.startsWith('Python')"
    " && !!document.querySelector('.jp-Notebook-ExecutionIndicator[data-status=idle]')"
)


def free_port():
    """A port of this machine that nothing listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def serving(command, address, log, **settings):
    """Run a server until the block ends; the block begins when the server answers at `address`.

    Args:
        command: its words. log: file for what it prints. settings: of `subprocess.Popen`.

    Raises:
        RuntimeError: the server ended, or did not answer within a minute; with what it printed.
    """
    with open(log, "w") as output:
        server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, **settings)
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(address, timeout=1)
                break
            except OSError:
                if server.poll() is not None:
                    raise RuntimeError(f"the server ended: {Path(log).read_text()}") from None
                time.sleep(0.2)
        else:
            raise RuntimeError(f"the server did not answer: {Path(log).read_text()}")
        yield
    finally:
        server.terminate()
        server.wait(20)


@contextmanager
def jupyterlab(folder, launcher=("jupyter", "lab"), shown="notebooks", library=ROOT):
    """A JupyterLab without settings of the reader's, over `folder`/notebooks.

    Args:
        folder: pathlib.Path; settings and logs lie there too.
        launcher: module and command that start it: `jupyter lab`, or `lib.workbook lab` with the workbook's defaults.
        shown: the folder within it that is shown. library: the workbook, or student edition, whose library is used.

    Yields:
        The address of the notebook NAME in the workspace STEM.
    """
    port = free_port()
    own = {f"JUPYTER_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    own |= {"JUPYTERLAB_WORKSPACES_DIR": str(folder / "spaces"), "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings")}
    for name, setting in SETTINGS.items():
        place = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(setting)
    stored = checkpoints_folder() if library == ROOT else library / "checkpoints"
    own |= {"WORKBOOK_EXPORTS": str(folder / "exports"), "WORKBOOK_CHECKPOINTS": str(stored)}
    command = [sys.executable, "-m", *launcher, "--no-browser", "--allow-root", f"--port={port}"]
    command += ["--ip=127.0.0.1", "--IdentityProvider.token=test", f"--ServerApp.root_dir={folder / shown}"]
    command += ["--ServerApp.port_retries=0", "--LabApp.news_url=", "--ServerApp.disable_check_xsrf=True"]
    command += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    command += ["--LabApp.expose_app_in_browser=True"]
    environment = os.environ | own | {"PYTHONPATH": str(library)}
    answers = f"http://127.0.0.1:{port}/api?token=test"
    with serving(command, answers, folder / "lab.log", env=environment, cwd=folder):
        yield f"http://127.0.0.1:{port}/lab/workspaces/STEM/tree/NAME?token=test"


@contextmanager
def new_page():
    """A page of a browser of its own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield browser.new_page(viewport={"width": 1280, "height": 1000})
        browser.close()


def open_notebook(page, lab, path):
    """Show a notebook, `path`, in a `jupyterlab`, and wait for its kernel.

    Raises:
        RuntimeError: the kernel was not ready after 90 s.
    """
    page.goto(lab.replace("STEM", path.stem).replace("NAME", path.name), wait_until="domcontentloaded")
    page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=TIME)
    sessions = lab.split("/lab/")[0] + "/api/sessions?token=test"
    for _ in range(450):
        with urllib.request.urlopen(sessions) as answer:
            running = json.load(answer)
        if any(one["path"] == path.name and (one["kernel"] or {}).get("execution_state") == "idle" for one in running):
            break
        time.sleep(0.2)
    else:
        raise RuntimeError(f"the kernel of {path.name} was not ready after 90 s")
    page.wait_for_function(READY, arg=code_cells(path), timeout=TIME)


def code_cells(path):
    """How many cells of code a notebook has."""
    return sum(cell.cell_type == "code" for cell in nbformat.read(path, 4).cells)


def menu(page, name, item):
    """Choose an item of a menu of JupyterLab."""
    page.get_by_role("menuitem", name=name, exact=True).click()
    page.get_by_role("menuitem", name=item, exact=True).click()


def run_all(page, path, seconds=400):
    """Run all cells of the notebook that is shown.

    Raises:
        RuntimeError: a cell failed, with its error, or cells were not run after so many seconds.
    """
    from playwright.sync_api import TimeoutError

    menu(page, "Edit", "Clear Outputs of All Cells")
    page.wait_for_function(f"() => {UNFINISHED} === {code_cells(path)}")  # else old numbers may pass for new ones
    menu(page, "Run", "Run All Cells")
    try:
        page.wait_for_function(f"() => {UNFINISHED} === 0 || {ERRORS}.length", timeout=1000 * seconds)
    except TimeoutError:
        notice, left = " ".join(page.locator(".jp-Dialog").all_inner_texts()), page.evaluate(UNFINISHED)
        raise RuntimeError(f"{left} cells of {path.name} were not run in {seconds} s. {notice}") from None
    if errors := page.evaluate(ERRORS):  # the cells after it are not run
        raise RuntimeError(f"a cell of {path.name} failed: {errors[0].strip().splitlines()[-1]}")
