"""A web page of a notebook in a real browser with the network off: nothing is asked for, formulas are set, code stands
in a fixed-width face, films play, folds open.
"""

import shutil

import pytest

from lib.workbook import notebooks
from lib.workbook.export import export_html

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not CHROMIUM, reason="needs a browser: apt install chromium"),
]

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
WITHOUT_SIZE = """() => [...document.querySelectorAll('math')].filter(math => !math.closest('details')).filter(math => {
    const box = math.getBoundingClientRect();
    return box.width < 3 || box.height < 3;
}).map(math => math.textContent)"""
PROPORTIONAL = """query => {
    const faces = new Set([...document.querySelectorAll(query)].map(code => getComputedStyle(code).fontFamily));
    const ruler = document.createElement('canvas').getContext('2d');
    return [...faces].filter(face => {
        ruler.font = `20px ${face}`;
        return Math.abs(ruler.measureText('iiii').width - ruler.measureText('WWWW').width) > 0.5;
    });
}"""
READY = """() => [...document.querySelectorAll('img')].every(picture => picture.complete && picture.naturalWidth > 0)
    && [...document.querySelectorAll('video')].every(film => film.readyState >= 2 && film.duration > 1)"""


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=["01", "07", "10"])
def report(request, tmp_path_factory):
    (path,) = notebooks.paths(request.param)
    return export_html(path, tmp_path_factory.mktemp("html") / f"{path.stem}.html")


@pytest.fixture
def page(report, browser):
    """A page in a browser without a network; at the end nothing may have been asked for or complained about."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000}, offline=True)
    page = context.new_page()
    requests, complaints = [], []
    page.on("request", lambda sent: requests.append(sent.url[:100]))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(report.as_uri(), wait_until="load")
    yield page
    outside = [url for url in requests if not url.startswith(("file:", "data:"))]
    assert requests and not outside and not complaints, f"{outside} {complaints}"
    context.close()


def test_the_page_works_without_the_network(page):
    page.wait_for_function(READY, timeout=30_000)
    assert page.locator("math").count() > 10 and not page.evaluate(WITHOUT_SIZE)
    assert page.locator(".highlight pre").count() > 10
    for query in (".highlight pre", ".source .highlight span", "pre.stdout"):
        assert not page.evaluate(PROPORTIONAL, query), f"{query} is not set in a fixed-width face"
    assert page.evaluate(PROPORTIONAL, "main p")


def test_folds_are_closed_and_open_by_a_click(page):
    folds = page.locator("main details")
    assert folds.count() and page.locator("main details[open]").count() == 0
    fold = page.locator("main > details.code").first
    assert not fold.locator("pre").is_visible()
    fold.locator("summary").click()
    assert fold.locator("pre").is_visible()
    for answer in page.locator("details.answer").all():
        answer.locator("> summary").click()
        assert not answer.locator("details pre").is_visible(), "the code of an answer stays folded"


def test_the_contents_stand_beside_the_text_or_above_it(page):
    contents, text = page.locator("nav"), page.locator("main")
    beside = contents.bounding_box(), text.bounding_box()
    assert beside[0]["x"] + beside[0]["width"] <= beside[1]["x"] + 1
    page.locator("nav a").last.click()
    assert abs(contents.bounding_box()["y"]) < 1, "they stay in sight"
    page.set_viewport_size({"width": 420, "height": 900})
    assert contents.bounding_box()["y"] + contents.bounding_box()["height"] <= text.bounding_box()["y"] + 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 420, "nothing sticks out of a narrow page"
