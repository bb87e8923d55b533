"""Figures that answer to controls, in JupyterLab and in print."""

import base64
import io
from pathlib import Path

import anywidget
import ipywidgets
import numpy as np
import traitlets
from IPython.display import DisplayHandle, display
from matplotlib import pyplot as plt
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from lib.figures.output import png
from lib.figures.style import DPI


def interactive(make, description, **controls):
    """Display controls above a figure that answers while they are moved.

    The figure is made once; a new value changes artists of it, as in matplotlib's `FuncAnimation` with `blit=True`.
    Everything else is drawn once, since layout, axes and tick labels take most of the time. The picture is an ordinary
    output of the cell: it stays in print, on pages that cannot run a notebook, and in a notebook that is opened again.

    Args:
        make: function without arguments that returns a matplotlib figure, which is closed, and `update`. That is a
            function of the controls' values by name; it changes artists of the figure and returns a list of them, the
            same ones each time: images, lines, texts, bars, a title (`ax.title`), an axis with its tick labels
            (`ax.xaxis`), or all that is in an `ax`.
        description: one sentence above the controls: what to move and what to watch.
        controls: ipywidgets by the names of `update`'s arguments; a tuple (low, high) or (low, high, step) is a slider
            that starts in the middle, a list is a choice.

    Returns:
        dict of the control widgets by name, so that a cell can set them.

    Raises:
        TypeError: `update` returns no list of artists.
    """
    fig, update = make()
    widgets = {
        name: control if isinstance(control, ipywidgets.Widget) else _control(control)
        for name, control in controls.items()
    }
    for name, widget in widgets.items():
        if hasattr(widget, "description"):
            widget.description = widget.description or name.replace("_", " ")
        if hasattr(widget, "style"):
            widget.style.description_width = "initial"

    def change():
        return update(**{name: widget.value for name, widget in widgets.items()})

    artists, picture = change(), DisplayHandle()
    if not isinstance(artists, (list, tuple)) or not all(isinstance(artist, Artist) for artist in artists):
        raise TypeError("`update` must return a list of the artists that it changes, like [image, *bars, ax.title]")
    rows = ipywidgets.HBox(list(widgets.values()), layout=ipywidgets.Layout(flex_flow="row wrap"))
    display(ipywidgets.VBox([ipywidgets.HTML(f"<b>{description}</b>"), rows]))
    arranged = fig.get_layout_engine()
    data, metadata = _output(fig, png(fig))
    if arranged is None:
        fig.set_layout_engine("none")  # a figure that is saved forgets that it has none, and takes that of the style
    picture.display(data, metadata=metadata, raw=True)
    frames = _Frames(fig, artists)

    def answer(_):
        change()
        data, metadata = _output(fig, frames.png())
        picture.update(data, metadata=metadata, raw=True)

    # Nothing piles up while a control is dragged: the browser holds its newest value back until the answer to the one
    # before has come, and forgets those in between.
    for widget in widgets.values():
        widget.observe(answer, "value")
    return widgets


class _Frames:
    """Pictures of a figure in which only the given artists change; the rest is drawn once. The figure is closed."""

    def __init__(self, fig, artists):
        plt.close(fig)  # else it would be shown a second time, below the cell
        fig.set_dpi(DPI)
        self._canvas = FigureCanvasAgg(fig)
        self._canvas.draw()
        fig.set_layout_engine("none")  # everything keeps the place that it has now
        lines = [spine for ax in fig.axes if ax.axison for spine in ax.spines.values()]  # above bars and images
        self._artists = sorted([*artists, *lines], key=lambda artist: artist.get_zorder())
        for artist in self._artists:
            artist.set_animated(True)  # left out when the figure is drawn
        self._canvas.draw()
        self._rest = self._canvas.copy_from_bbox(fig.bbox)

    def png(self):
        """The figure as it is now, as PNG bytes that are coded for speed."""
        self._canvas.restore_region(self._rest)
        for artist in self._artists:
            self._canvas.figure.draw_artist(artist)
        file = io.BytesIO()
        Image.fromarray(np.asarray(self._canvas.buffer_rgba())).convert("RGB").save(file, "png", compress_level=1)
        return file.getvalue()


def _output(fig, picture):
    """Data and metadata of an output: a PNG file's bytes in the size of the figure, 96 pixels to the inch."""
    width, height = (round(96 * inches) for inches in fig.get_size_inches())
    data = {"image/png": base64.b64encode(picture).decode(), "text/plain": "figure"}
    return data, {"image/png": {"width": width, "height": height}}  # known before it is loaded: nothing jumps


def _control(value):
    """(low, high[, step]) -> slider, list -> drop-down."""
    if isinstance(value, tuple):
        whole = all(isinstance(number, int) for number in value)
        low, high, step = value if len(value) == 3 else (*value, 1 if whole else (value[1] - value[0]) / 100)
        middle = low + round((high - low) / 2 / step) * step
        kind = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
        return kind(value=middle, min=low, max=high, step=step)
    return ipywidgets.Dropdown(options=value)


class ClickGrid(anywidget.AnyWidget):
    """A board of squares to click on; `value` is the chosen one, (row, column) from the top left.

    A control for `interactive`: the arrow keys and dragging move it too.

    Args:
        rows, columns: number of squares. start: the first value (default: the middle). pixels: side of a square.

    Raises:
        ValueError: the start lies outside.
    """

    _esm = Path(__file__).with_name("click_grid.js")
    value = traitlets.Tuple(traitlets.Int(), traitlets.Int()).tag(sync=True)
    rows = traitlets.Int().tag(sync=True)
    columns = traitlets.Int().tag(sync=True)
    pixels = traitlets.Int().tag(sync=True)
    description = traitlets.Unicode().tag(sync=True)  # for print, where a line of text stands for the board

    def __init__(self, rows, columns, start=None, pixels=26, description=""):
        row, column = start = start or (rows // 2, columns // 2)
        if not (0 <= row < rows and 0 <= column < columns):
            raise ValueError(f"there is no square {start} on a board of {rows} rows and {columns} columns")
        super().__init__(rows=rows, columns=columns, value=start, pixels=pixels, description=description)


class PlanePoint(anywidget.AnyWidget):
    """A point to be dragged through a plane, with the pointer or the arrow keys; `value` is where it is, (x, y).

    A control for `interactive`.

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

    def _repr_mimebundle_(self, **kwargs):
        """The game, and where none can be played, such as on paper and in the web book, its last picture."""
        data, metadata = super()._repr_mimebundle_(**kwargs)
        picture = io.BytesIO()
        Image.fromarray(self.frames[-1]).save(picture, "png")
        return data | {"image/png": base64.b64encode(picture.getvalue()).decode()}, metadata

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
