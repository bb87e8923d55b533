"""A film plays at first sight: in a notebook that JupyterLab does not trust, of which nothing was run, and as HTML."""

import os
import sys

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from test_browser import CHROMIUM, FLAGS, free_port, serving

from lib import figures
from lib.workbook import lab
from lib.workbook.export import export_html

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not CHROMIUM, reason="needs a browser: apt install chromium"),
]
FILM = "img[src^='data:image/webp']"
ALIEN = '<img alt="alien" src="data:image/png;base64,AA" onerror="alert(1)">'  # JupyterLab keeps it if it trusts


@pytest.fixture
def notebook(displayed, tmp_path):
    """A notebook that holds a film and was never run here; without a signature, JupyterLab does not trust it."""
    frames = np.full((40, 60, 160, 3), 255, np.uint8)
    for number, frame in enumerate(frames):
        frame[20:40, 3 * number : 3 * number + 30] = (0, 114, 178)
    figures.film(frames, "A square moves.", fps=20, width=480)
    outputs = [new_output("display_data", data, metadata=metadata) for data, metadata in displayed]
    outputs.append(new_output("display_data", {"text/html": ALIEN, "text/plain": "alien"}))
    cell = new_code_cell("figures.film(frames)", outputs=outputs, execution_count=1)
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    (tmp_path / "notebooks").mkdir()
    nbformat.write(new_notebook(cells=[cell], metadata={"kernelspec": kernel}), tmp_path / "notebooks" / "film.ipynb")
    return tmp_path / "notebooks" / "film.ipynb"


def assert_plays(page):
    """The film is shown at its width, and what is seen of it changes again and again."""
    film = page.locator(FILM)
    film.wait_for(timeout=60_000)
    page.wait_for_function("film => document.querySelector(film).naturalWidth === 160", arg=FILM)
    assert film.get_attribute("alt") == "A square moves." and film.bounding_box()["width"] == 480
    assert "max-width" in film.get_attribute("style")
    seen = set()
    for _ in range(50):  # the last frame stands for a second
        seen.add(film.screenshot())
        if len(seen) == 5:  # a dialog that comes up over it would make two or three
            return
        page.wait_for_timeout(100)
    pytest.fail(f"the film stands still: {len(seen)} different pictures in five seconds")


@pytest.fixture
def page():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield browser.new_page(viewport={"width": 1280, "height": 900})
        browser.close()


def keep(page, name):
    if folder := os.environ.get("WORKBOOK_SCREENSHOTS"):
        page.screenshot(path=os.path.join(folder, f"{name}.png"))


def test_a_film_plays_in_an_untrusted_notebook(notebook, tmp_path, page):
    port = free_port()
    own = {f"JUPYTER_{name}_DIR": str(tmp_path / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    own |= {f"JUPYTERLAB_{name}_DIR": str(tmp_path / name.lower()) for name in ("WORKSPACES", "SETTINGS")}
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", "--ip=127.0.0.1"]
    command += [f"--port={port}", "--ServerApp.port_retries=0", "--IdentityProvider.token=test"]
    command += [f"--ServerApp.root_dir={notebook.parent}"]
    address = f"http://127.0.0.1:{port}"
    environment = lab.environment(os.environ | own)
    with serving(command, f"{address}/api?token=test", tmp_path / "lab.log", env=environment):
        page.goto(f"{address}/lab/tree/{notebook.name}?token=test", wait_until="domcontentloaded")
        assert_plays(page)
        alien = page.locator("img[alt=alien]")
        alien.wait_for(state="attached")
        assert alien.get_attribute("onerror") is None, "JupyterLab trusts the notebook, so that nothing is shown here"
        keep(page, "film_untrusted")


def test_a_film_plays_in_the_html_report(notebook, tmp_path, page):
    page.goto(export_html(notebook, tmp_path / "film.html").as_uri())
    assert_plays(page)
    keep(page, "film_html")
