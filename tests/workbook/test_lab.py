"""`make lab`: JupyterLab starts in `notebooks/`, asks nothing and nobody, and shows Markdown files as text."""

import json
import os
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from test_browser import CHROMIUM, FLAGS, free_port, serving

from lib.storage.paths import ROOT
from lib.workbook import lab, mine
from lib.workbook.command_line import main

CONFIG = ("JUPYTER_CONFIG_DIR", "JUPYTER_CONFIG_PATH", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_NO_CONFIG")
CONFIG += ("JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
OPTIONS = ["--no-browser", "--allow-root", "--ip=127.0.0.1", "--IdentityProvider.token=test"]
TIME = 60_000  # ms, until a part of the page must be there


# --- how it is started ----------------------------------------------------------------------------------------------


def test_what_was_set_before_is_kept_behind_ours():
    given = {"PYTHONPATH": "theirs", "HOME": "any"}
    own = lab.environment(given)
    assert own == {
        "HOME": "any",
        "PYTHONPATH": f"{ROOT}{os.pathsep}theirs",
        "JUPYTER_CONFIG_PATH": str(lab.SETTINGS),
    }
    assert given == {"PYTHONPATH": "theirs", "HOME": "any"}


def test_options_are_handed_on(monkeypatch):
    given = []
    monkeypatch.setattr("jupyterlab.labapp.LabApp.launch_instance", given.append)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    assert main(["lab", "--no-browser", "--port", "9999", "-y", "01.ipynb"]) == 0
    folders, (options,) = given[0][:2], [given[0][2:]]
    assert options == ["--no-browser", "--port", "9999", "-y", "01.ipynb"]
    assert folders == [f"--ServerApp.root_dir={ROOT}", f"--FileContentsManager.preferred_dir={ROOT / 'notebooks'}"]


@pytest.mark.parametrize(
    "option", ["--ServerApp.root_dir=x", "--notebook-dir=x", "--preferred-dir=x", "--FileContentsManager.root_dir=x"]
)
def test_another_folder_takes_the_place_of_ours(option):
    assert lab.command([option, "--no-browser"]) == [option, "--no-browser"]


def test_every_setting_of_ours_exists_in_this_jupyterlab():
    """A name that JupyterLab no longer knows would be dropped without a word."""
    ours = json.loads((lab.SETTINGS / "labconfig" / "default_setting_overrides.json").read_text("utf-8"))
    schemas = Path(sys.prefix, "share", "jupyter", "lab", "schemas")
    for plugin, settings in ours.items():
        package, _, name = plugin.partition(":")
        (file,) = [
            *schemas.glob(f"{package}/{name}.json"),
            *Path(sys.prefix, "share", "jupyter", "labextensions").glob(f"{package}/schemas/{package}/{name}.json"),
        ]
        assert {*settings} <= {*json.loads(file.read_text("utf-8"))["properties"]}, plugin


# --- what a reader sees ---------------------------------------------------------------------------------------------

FOLDED = {"jupyter": {"source_hidden": True}}
ANSWER = {"jupyter": {"source_hidden": True, "outputs_hidden": True}}
GLOSSARY = "# Glossary\n\n" + "Filler.\n\n" * 80 + "### hidden state\n\nWhat is *kept*.\n\n" + "Filler.\n\n" * 80


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page of a browser, its requests, and the address of a JupyterLab that was started for the first time."""
    if not CHROMIUM:
        pytest.skip("needs a browser: apt install chromium")
    from playwright.sync_api import sync_playwright

    home = tmp_path_factory.mktemp("home")
    folder = home / "workbook" / "notebooks"
    cells = [new_markdown_cell("# Title\n\n[hidden state](glossary.md#hidden-state)")]
    cells += [new_code_cell("# Figure 1\nimport lib.storage.paths\nprint('drawn')", metadata=FOLDED)]
    cells += [new_markdown_cell("**Predict.** What is 6 × 7?")]
    cells += [new_code_cell("# Answer\nprint(6 * 7)", metadata=ANSWER)]
    cells += [new_code_cell("print(open('data.txt').read())")]
    kernel = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
    folder.mkdir(parents=True)
    nbformat.write(new_notebook(cells=cells, metadata=kernel), folder / "01_small.ipynb")
    (folder / "glossary.md").write_text(GLOSSARY, "utf-8")
    (folder / "data.txt").write_text("read", "utf-8")
    mine.keep(folder.parent, "notebooks/01_small.ipynb", (folder / "01_small.ipynb").read_bytes(), "2026-11-28")
    port = free_port()
    command = [sys.executable, "-m", "lib.workbook", "lab", *OPTIONS, f"--port={port}", "--ServerApp.port_retries=0"]
    command += [f"--ServerApp.root_dir={folder.parent}", f"--FileContentsManager.preferred_dir={folder}"]
    environment = {name: value for name, value in os.environ.items() if name not in CONFIG} | {"HOME": str(home)}
    address = f"http://127.0.0.1:{port}"
    server = serving(command, f"{address}/api?token=test", home / "log", env=environment, cwd=ROOT)
    with server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        requests = []
        page.on("request", lambda request: requests.append(request.url))
        yield page, requests, address
        browser.close()


def look(page, name):
    if folder := os.environ.get("WORKBOOK_SCREENSHOTS"):
        page.screenshot(path=str(Path(folder, f"lab_{name}.png")))


def open_notebook(page, address, path):
    page.goto(f"{address}/lab/workspaces/{Path(path).stem}/tree/{path}?token=test", wait_until="domcontentloaded")
    # Sooner, "Run All" runs nothing.
    page.locator(".jp-Toolbar-kernelName", has_text="Python").wait_for(timeout=TIME)
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]", timeout=TIME)


@pytest.mark.system
def test_the_first_start_asks_nothing_and_nobody(page):
    page, requests, address = page
    page.goto(f"{address}/lab?token=test", wait_until="domcontentloaded")
    page.wait_for_selector(".jp-Launcher", timeout=TIME)
    page.wait_for_timeout(4000)  # the question comes a second after everything else
    look(page, "start")
    assert page.locator(".jp-Dialog, .Toastify__toast, .jp-toastContainer .jp-toast-button").count() == 0
    assert page.locator(".jp-DirListing-itemText").all_inner_texts()[:2] == ["mine", "01_small.ipynb"], "in notebooks/"
    assert not [url for url in requests if not url.startswith((address, "data:", "blob:"))]
    assert not [url for url in requests if "/api/news" in url or "/api/update" in url]


@pytest.mark.system
def test_a_link_to_the_glossary_shows_it_as_text_at_its_entry(page):
    from playwright.sync_api import expect

    page, _, address = page
    for path in ("notebooks/01_small.ipynb", "notebooks/mine/01_small_2026-11-28.ipynb"):
        open_notebook(page, address, path)
        page.get_by_role("link", name="hidden state").click()
        entry = page.locator(".jp-MarkdownViewer h3", has_text="hidden state")
        entry.wait_for(timeout=TIME)
        expect(entry).to_be_in_viewport(timeout=TIME)
        look(page, f"glossary_{Path(path).parent.name}")


@pytest.mark.system
def test_folded_cells_unfold_by_a_click_and_answers_show_when_they_are_run(page):
    page, _, address = page
    open_notebook(page, address, "notebooks/01_small.ipynb")
    figure, answer = page.locator(".jp-CodeCell").nth(0), page.locator(".jp-CodeCell").nth(1)
    assert figure.inner_text().split() == ["#", "Figure", "1"] and answer.inner_text().split() == ["#", "Answer"]
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.locator(".jp-OutputArea-output", has_text="read").wait_for(timeout=TIME)
    look(page, "folded")
    assert "drawn" in figure.inner_text() and "import" not in figure.inner_text(), "the library is found"
    assert "42" in answer.inner_text() and "print" not in answer.inner_text()
    figure.locator(".jp-Placeholder").first.click()
    figure.locator(".cm-line", has_text="import").wait_for(timeout=TIME)
    look(page, "unfolded")


@pytest.mark.system
def test_a_kept_notebook_runs_where_it_is_kept(page):
    page, _, address = page
    open_notebook(page, address, "notebooks/mine/01_small_2026-11-28.ipynb")
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.locator(".jp-OutputArea-output", has_text="read").wait_for(timeout=TIME)
    look(page, "kept")
    assert page.locator(".jp-RenderedText[data-mime-type*=error]").count() == 0
