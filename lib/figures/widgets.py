"""Figures that answer to sliders, in JupyterLab and in print."""

from pathlib import Path

import anywidget
import ipywidgets
import numpy as np
import traitlets
from IPython.display import display
from matplotlib import pyplot as plt

from lib.figures.output import png


class ClickGrid(ipywidgets.GridBox):
    """A board of squares to click on; `value` is the (row, column) of the last click, from the top left.

    Args:
        rows, columns: number of squares. start: the first value (default: the middle). pixels: side of a square.
    """

    value = traitlets.Tuple(traitlets.Int(), traitlets.Int())

    def __init__(self, rows, columns, start=None, pixels=24):
        size = {"width": f"{pixels}px", "height": f"{pixels}px", "padding": "0px", "margin": "0px"}
        squares = []
        for number in range(rows * columns):
            place = divmod(number, columns)
            square = ipywidgets.Button(tooltip=f"row {place[0]}, column {place[1]}", layout=ipywidgets.Layout(**size))
            square.on_click(lambda _, place=place: self.set_trait("value", place))
            squares.append(square)
        layout = {"grid_template_columns": f"repeat({columns}, {pixels + 2}px)", "grid_gap": "2px 0px"}
        super().__init__(squares, layout=ipywidgets.Layout(**layout))
        self.value = start or (rows // 2, columns // 2)
        self._mark(columns)
        self.observe(lambda _: self._mark(columns), "value")

    def _mark(self, columns):
        for number, square in enumerate(self.children):
            square.button_style = "warning" if divmod(number, columns) == self.value else ""


def interactive(draw, description, **controls):
    """Display controls above a figure that is drawn again whenever one of them changes.

    In print, and on pages that cannot run a notebook, the figure is shown as it is drawn for the first values.

    Args:
        draw: function of the controls' values by name, returns a matplotlib figure.
        description: one sentence above the controls: what to move and what to watch.
        controls: ipywidgets by the names of `draw`'s arguments; a tuple (low, high) or (low, high, step) is a slider
            that starts in the middle, a list is a choice.

    Returns:
        dict of the control widgets by name, so that a cell can set them.
    """
    widgets = {
        name: control if isinstance(control, ipywidgets.Widget) else _control(control)
        for name, control in controls.items()
    }
    for name, widget in widgets.items():
        if hasattr(widget, "description"):
            widget.description = widget.description or name.replace("_", " ")
        if hasattr(widget, "style"):
            widget.style.description_width = "initial"
        if hasattr(widget, "continuous_update"):
            widget.continuous_update = False  # draw when the handle is let go, not at every pixel on the way
    image = ipywidgets.Image(format="png")

    def update(_=None):
        fig = draw(**{name: widget.value for name, widget in widgets.items()})
        image.value = png(fig, dpi=100)
        image.width = f"{round(fig.get_size_inches()[0] * 72)}px"
        plt.close(fig)

    for widget in widgets.values():
        widget.observe(update, "value")
    update()
    rows = ipywidgets.HBox(list(widgets.values()), layout=ipywidgets.Layout(flex_flow="row wrap"))
    display(ipywidgets.VBox([ipywidgets.HTML(f"<b>{description}</b>"), rows, image]))
    return widgets


def _control(value):
    """(low, high[, step]) -> slider, list -> drop-down."""
    if isinstance(value, tuple):
        whole = all(isinstance(number, int) for number in value)
        low, high, step = value if len(value) == 3 else (*value, 1 if whole else (value[1] - value[0]) / 100)
        middle = low + round((high - low) / 2 / step) * step
        kind = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
        return kind(value=middle, min=low, max=high, step=step)
    return ipywidgets.Dropdown(options=value)


class PlanePoint(anywidget.AnyWidget):
    """A point to be dragged through a plane, with the pointer or the arrow keys; `value` is where it is, (x, y).

    A control for `interactive`, which hears of a moving point about eight times a second.

    Args:
        background: picture of the plane, a PNG file's bytes, that shows the square from `low` to `high` on both axes.
        value: where the point starts. pixels: side of the square on the screen.

    Raises:
        ValueError: low is not below high, or the point starts outside.
    """

    _esm = Path(__file__).with_name("plane_point.js")
    value = traitlets.Tuple(traitlets.Float(), traitlets.Float()).tag(sync=True)
    low = traitlets.Float().tag(sync=True)
    high = traitlets.Float().tag(sync=True)
    pixels = traitlets.Int().tag(sync=True)
    background = traitlets.Bytes().tag(sync=True)
    description = traitlets.Unicode().tag(sync=True)  # for print, where a line of text stands for the point

    def __init__(self, background, low, high, value=(0.0, 0.0), pixels=300, description="point"):
        if not low < high or not all(low <= number <= high for number in value):
            raise ValueError(f"the point {value} must lie between low = {low} and high = {high} on both axes")
        super().__init__(background=background, low=low, high=high, value=value, pixels=pixels, description=description)


class GamePlayer(anywidget.AnyWidget):
    """A game to be played in the notebook, with keys or buttons; what was played stays in `frames` and `actions`.

    The browser keeps the time: it sends the action, Python makes one step of the game and sends the picture back, and
    the next action waits for it, so that a slow connection slows the game down instead of losing frames.

    Args:
        game: has `step(action)`, which returns the next frame, uint8 (H, W).
        keys: dict from the browser's name of a key ("ArrowUp") to the action while it is held. idle: the action
            otherwise.
        fps: frames a second. limit: frames after which the game stops, as a bound for the memory.
    """

    _esm = Path(__file__).with_name("game_player.js")
    picture = traitlets.Bytes().tag(sync=True)  # grey levels, row by row
    height = traitlets.Int().tag(sync=True)
    width = traitlets.Int().tag(sync=True)
    count = traitlets.Int().tag(sync=True)  # frames so far
    limit = traitlets.Int().tag(sync=True)
    fps = traitlets.Float().tag(sync=True)
    controls = traitlets.Dict().tag(sync=True)
    idle = traitlets.Int().tag(sync=True)

    def __init__(self, game, keys, idle=0, fps=20, limit=6000):
        first = np.asarray(game.step(idle))
        self.frames, self.actions, self._game = [first], [idle], game
        height, width = first.shape
        super().__init__(height=height, width=width, fps=fps, limit=limit, controls=dict(keys), idle=idle)
        self._show()
        self.on_msg(lambda _, message, __: self.play(int(message["action"])))

    def play(self, action):
        """One step of the game, as the browser asks for it."""
        if len(self.frames) < self.limit:
            self.frames.append(np.asarray(self._game.step(action)))
            self.actions.append(action)
            self._show()

    def _show(self):
        with self.hold_sync():
            self.picture, self.count = self.frames[-1].tobytes(), len(self.frames)

    def recording(self):
        """What was played so far: frames (T, H, W) uint8 and the actions that led to them (T,)."""
        return np.stack(self.frames), np.array(self.actions)
