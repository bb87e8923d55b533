"""How soon widgets answer: from the release of a control to the new picture, in JupyterLab in Chromium.

A hand is imitated: sliders and points are dragged in four steps of a sixtieth of a second and let go, a square of a
board is pressed as long, menus take the next choice, a prompt is written and sent. The time ends when the browser has
painted the picture of the last value; a text that grows while one watches has answered with its first words. A game is
not released: there it is the time from frame to frame, of which it asks 50 ms.
"""

import shutil
import tempfile
from pathlib import Path
from statistics import median

from lib.workbook import browser

TITLE = "Widgets in Chromium: from the release of a control to the new picture, median of {} moves of each"
TARGET = 100  # ms
PLACES = (0.9, 0.15, 0.7, 0.3, 0.6, 0.2, 0.8, 0.4, 0.95, 0.5)  # where along a control it is let go
CONTROLS = ".widget-slider:has(.noUi-handle), .widget-dropdown, .widget-text, .board, canvas.plane, canvas.game"

WATCH = """number => {
  const cell = document.querySelectorAll(".jp-CodeCell")[number];
  window.released = 0;
  window.shown = []; // when new pictures were painted
  const painted = () => requestAnimationFrame(() => setTimeout(() => shown.push(performance.now())));
  const look = (records) => {
    const added = records.flatMap((record) => [...record.addedNodes]);
    const image = added.find((node) => node.tagName === "IMG");
    if (added.length) (image ? image.decode() : Promise.resolve()).then(painted);
  };
  window.observer?.disconnect();
  window.observer = new MutationObserver(look);
  for (const output of cell.querySelectorAll(".jp-OutputArea-child, .jp-OutputArea-child:has(canvas.game) span"))
    if (output.tagName === "SPAN" || !output.querySelector(".jupyter-widgets"))
      observer.observe(output, { childList: true, subtree: true });
  for (const event of ["pointerup", "change"])
    window.addEventListener(event, () => (window.released = performance.now()), true);
}"""
SETTLED = """() => shown.length && released && performance.now() - Math.max(released, shown.at(-1)) > 300
  && document.querySelector(".jp-Notebook-ExecutionIndicator[data-status=idle]")"""
# A text that grows answers with the first piece after the release, a picture with the last.
TIME = "text => Math.max(0, (text ? shown.find(time => time > released) : shown.at(-1)) - released)"


def drag(page, start, end):
    """Press the mouse at a point of the page (x, y), move it to another, and let it go there."""
    page.mouse.move(*start)
    page.mouse.down()
    for step in range(1, 5):
        page.mouse.move(*(a + (b - a) * step / 4 for a, b in zip(start, end, strict=True)))
        page.wait_for_timeout(1000 / 60)
    page.mouse.up()


def move(page, control, turn):
    """Move a control, a locator, for the `turn`-th time."""
    place = PLACES[turn % len(PLACES)]
    kinds = control.get_attribute("class")
    if "widget-dropdown" in kinds:
        select = control.locator("select")
        choices = select.locator("option").count()
        select.select_option(index=(select.evaluate("select => select.selectedIndex") + 1) % choices)
    elif "widget-text" in kinds:
        control.locator("input").fill(f"The ferryman of {turn} ")
        control.locator("input").press("Enter")
    elif "widget-slider" in kinds:
        handle, base = (control.locator(part).bounding_box() for part in (".noUi-handle", ".noUi-base"))
        y = handle["y"] + handle["height"] / 2
        drag(page, (handle["x"] + handle["width"] / 2, y), (base["x"] + place * base["width"], y))
    else:
        before, now = (point_of(control.bounding_box(), turn + shift) for shift in (-1, 0))
        drag(page, now if "board" in kinds else before, now)  # a board is clicked on


def point_of(box, turn):
    """One of ten points of a box of the page."""
    across, down = PLACES[turn % len(PLACES)], PLACES[(turn + 3) % len(PLACES)]
    return box["x"] + across * box["width"], box["y"] + down * box["height"]


def times_of(page, control, moves):
    """Milliseconds of so many moves of a control, which stands in a cell that is watched.

    Raises:
        RuntimeError: nothing new was shown after a move.
    """
    from playwright.sync_api import TimeoutError

    control.scroll_into_view_if_needed()
    if "game" in control.get_attribute("class"):
        page.get_by_role("button", name="Play", exact=True).click()
        page.keyboard.down("ArrowUp")
        page.wait_for_function("frames => shown.length > frames", arg=2 * moves, timeout=browser.TIME)
        page.keyboard.up("ArrowUp")
        return page.evaluate("shown.slice(1).map((time, number) => time - shown[number])")
    times, text = [], control.locator("xpath=ancestor::div[contains(@class, 'jp-OutputArea ')]//img").count() == 0
    for turn in range(moves):
        page.evaluate("() => { shown.length = 0; window.released = 0; }")
        move(page, control, turn)
        try:
            page.wait_for_function(SETTLED, timeout=20_000)
        except TimeoutError:
            raise RuntimeError(f"{name_of(control)} was moved, and nothing new was shown") from None
        times.append(page.evaluate(TIME, text))
    return times


def name_of(control):
    """What stands beside a control, or what it is."""
    label = control.locator(".widget-label")
    return label.first.inner_text() if label.count() else control.get_attribute("class").split()[-1]


def measured(page, moves):
    """The widgets of the notebook that is shown, after it was run.

    Returns:
        list of dicts: the `widget`'s sentence, its `median_ms` over all moves, and by `controls` {name: median_ms}.
    """
    rows, cells = [], page.locator(".jp-CodeCell")
    found = "query => [...document.querySelectorAll('.jp-CodeCell')].map(cell => cell.querySelectorAll(query).length)"
    for number, count in enumerate(page.evaluate(found, CONTROLS)):
        if count:
            page.evaluate(WATCH, number)
            controls, title = cells.nth(number).locator(CONTROLS), cells.nth(number).locator(".widget-html b")
            times = {name_of(controls.nth(k)): times_of(page, controls.nth(k), moves) for k in range(count)}
            rows.append(
                {
                    "widget": title.first.inner_text() if title.count() else ", ".join(times),
                    "median_ms": median(time for part in times.values() for time in part),
                    "controls": {name: median(part) for name, part in times.items()},
                }
            )
    return rows


def line(row):
    """A row of the table."""
    controls = " · ".join(f"{name} {time:.0f}" for name, time in row["controls"].items())
    title = row["widget"] if len(row["widget"]) <= 48 else row["widget"][:47] + "…"
    return f"{row['notebook']:8}  {title:48}  {row['median_ms']:5.0f} ms   ≤ {TARGET}   {controls}"


def print_table(paths, moves):
    """Run notebooks in JupyterLab, move all controls of their widgets, and print a line for each widget.

    Args:
        paths: of the notebooks. moves: of each control.

    Returns:
        list of dicts, the numbers of each line: `notebook` and those of `measured`.
    """
    if not browser.CHROMIUM:
        print(f"Widgets were not measured: that {browser.MISSING}.")
        return []
    print(TITLE.format(moves))
    print(f"{'notebook':8}  {'widget':48}  {'median':>8}   target  by control")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        shutil.copytree(paths[0].parent, folder / "notebooks")
        with browser.jupyterlab(folder, ("lib.workbook", "lab")) as lab:
            for path in paths:
                with browser.new_page() as page:
                    browser.open_notebook(page, lab, path)
                    browser.run_all(page, path)
                    new = [{"notebook": path.name[:2]} | row for row in measured(page, moves)]
                    browser.menu(page, "Kernel", "Shut Down Kernel")
                rows += new
                print("\n".join(map(line, new)) or f"{path.name[:2]:8}  has no widget", flush=True)
    return rows
