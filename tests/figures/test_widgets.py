"""Interactive figures: what is moved is drawn."""

import base64
import io

import ipywidgets
import numpy as np
import pytest
from matplotlib import pyplot as plt
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

from lib import figures
from lib.figures import widgets
from lib.workbook.export import freeze_widgets

pytestmark = pytest.mark.usefixtures("style")


@pytest.fixture
def pictures(monkeypatch):
    """The pictures that were shown one after the other in the same place, uint8 (H, W, 3), and their metadata."""
    calls = []

    class Handle:
        def display(self, data, metadata, raw):
            assert raw and set(data) == {"image/png", "text/plain"}
            picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB")
            calls.append((np.asarray(picture), metadata["image/png"]))

        update = display

    monkeypatch.setattr(widgets, "DisplayHandle", Handle)
    return calls


def bars(**controls):
    """The control widgets of a figure with two bars and a title, and the values that were drawn so far."""
    drawn = []

    def make():
        fig, ax = plt.subplots(figsize=(3, 2))
        found = ax.bar([0, 1], [1, 1])
        ax.set(ylim=(0, 10), title="a")

        def update(**values):
            drawn.append(values)
            found[0].set_height(values.get("height", 1))
            ax.set_title(values.get("kind", "a"))
            return [*found, ax.title]

        return fig, update

    return widgets.interactive(make, "Move it.", **controls), drawn


def drawn_anew(height, kind):
    """The same figure drawn once, with nothing left out."""
    fig, ax = plt.subplots(figsize=(3, 2))
    ax.bar([0, 1], [height, 1])
    ax.set(ylim=(0, 10), title=kind)
    data = figures.png(fig)
    plt.close(fig)
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_a_change_is_shown_as_if_the_figure_were_drawn_anew(displayed, pictures):
    controls, drawn = bars(height=(0, 10), kind=["a", "b"])
    (box, _) = displayed[0]
    assert "Move it." in box.children[0].value and [*box.children[1].children] == [*controls.values()]
    for name, value in (("height", 9), ("kind", "b"), ("height", 5)):
        controls[name].value = value
    values = [(5, "a"), (9, "a"), (9, "b"), (5, "b")]
    assert [(each["height"], each["kind"]) for each in drawn] == values
    assert not np.array_equal(pictures[0][0], pictures[1][0])
    for (picture, about), (height, kind) in zip(pictures, values, strict=True):
        assert about == {"width": 288, "height": 192}, "at its size in inches, before and after"
        differs = np.abs(picture.astype(int) - drawn_anew(height, kind)).max(2) > 16  # the reference has fewer colours
        assert differs.mean() < 0.003, (height, kind)  # at most an edge that is rounded to the next row
    assert not plt.get_fignums(), "a figure that stays open is shown below the cell and fills the memory"


def test_only_what_changes_is_drawn(displayed, pictures, monkeypatch):
    controls, _ = bars(height=(0, 10))
    monkeypatch.setattr("matplotlib.axis.Axis.draw", lambda *_: pytest.fail("tick labels take most of the time"))
    monkeypatch.setattr("matplotlib.figure.Figure.draw", lambda *_: pytest.fail("all of it"))
    controls["height"].value = 9
    assert len(pictures) == 2


def test_layout_and_place_stay_when_a_title_grows(displayed, pictures):
    controls, _ = bars(kind=["a", "a\nb\nc"])
    for kind in ("a\nb\nc", "a"):
        controls["kind"].value = kind
    _, (grown, _), (after, _) = pictures
    assert np.array_equal(grown[-100:], after[-100:]), "the axes"


@pytest.mark.parametrize(
    ("changed", "kind"), [(lambda ax: [ax.xaxis], "an axis"), (lambda ax: (ax,), "all that is in an ax")]
)
def test_axes_may_change_too(displayed, pictures, changed, kind):
    fig, ax = plt.subplots(figsize=(3, 2))

    def update(ticks):
        ax.set_xticks(np.linspace(0, 1, ticks), ["M"] * ticks)
        return changed(ax)

    controls = widgets.interactive(lambda: (fig, update), "Count.", ticks=(2, 10))
    controls["ticks"].value = 2
    ink = [(picture[-60:] < 128).sum() for picture, _ in pictures]
    assert ink[1] < ink[0], kind


@pytest.mark.parametrize("returned", [None, plt.Rectangle((0, 0), 1, 1), ["image"]])
def test_update_has_to_say_what_it_changes(displayed, returned):
    with pytest.raises(TypeError, match="`update` must return a list of the artists"):
        widgets.interactive(lambda: (plt.figure(), lambda: returned), "Nothing to move.")


@pytest.mark.parametrize(
    ("given", "kind", "low", "high", "step", "value"),
    [
        ((0, 10), ipywidgets.IntSlider, 0, 10, 1, 5),
        ((1, 28, 3), ipywidgets.IntSlider, 1, 28, 3, 13),
        ((0.0, 1.0, 0.25), ipywidgets.FloatSlider, 0, 1, 0.25, 0.5),
        ((0.0, 1.0), ipywidgets.FloatSlider, 0, 1, 0.01, 0.5),
    ],
)
def test_a_tuple_is_a_slider_that_starts_in_the_middle(displayed, pictures, given, kind, low, high, step, value):
    controls, drawn = bars(step_size=given)
    slider = controls["step_size"]
    assert type(slider) is kind and (slider.min, slider.max) == (low, high)
    assert slider.step == pytest.approx(step) and slider.value == pytest.approx(value, abs=step)
    steps = (slider.value - low) / step
    assert steps == pytest.approx(round(steps))
    assert slider.description == "step size" and slider.continuous_update, "it answers while it is dragged"
    assert drawn == [{"step_size": slider.value}]


def test_own_widgets_are_taken_as_they_are(displayed, pictures):
    box = ipywidgets.Checkbox(description="on?")
    controls, drawn = bars(on=box)
    assert controls["on"] is box and box.description == "on?" and drawn == [{"on": False}]


def test_a_click_on_the_board_draws_again(displayed, pictures):
    board = widgets.ClickGrid(3, 4, start=(0, 1))
    _, drawn = bars(place=board)
    assert drawn == [{"place": (0, 1)}] and board.description == "place"
    board.set_state({"value": [2, 3]})  # as the browser sends it
    assert drawn[-1] == {"place": (2, 3)}
    board.set_state({"value": [2, 3]})
    assert len(drawn) == 2, "the same square again changes nothing"


def test_a_board_starts_in_the_middle():
    assert widgets.ClickGrid(8, 6).value == (4, 3)


@pytest.mark.parametrize("start", [(3, 0), (0, 4), (-1, 0)])
def test_a_board_starts_on_a_square(start):
    with pytest.raises(ValueError, match="there is no square .* on a board of 3 rows and 4 columns"):
        widgets.ClickGrid(3, 4, start)


class Counter:
    """A game whose screen is as bright as its steps and actions add up to."""

    brightness = 0

    def step(self, action):
        self.brightness += 1 + action
        return np.full((4, 6), self.brightness, np.uint8)


def test_a_game_is_played_by_messages_of_the_browser_and_recorded():
    player = widgets.GamePlayer(Counter(), {"ArrowUp": 2}, idle=0, limit=4)
    assert (player.height, player.width, player.count) == (4, 6, 1), "the first frame is there before anybody plays"
    for action in (2, 0, 2, 2):
        player._handle_custom_msg({"action": action}, [])
    frames, actions = player.recording()
    assert frames[:, 0, 0].tolist() == [1, 4, 5, 8], "the fourth message comes after the limit of four frames"
    assert actions.tolist() == [0, 2, 0, 2] and player.count == 4
    assert player.picture == bytes([8] * 24), "the browser has the last frame"


def test_where_no_game_can_be_played_its_picture_stands():
    data, _ = widgets.GamePlayer(Counter(), {"ArrowUp": 2})._repr_mimebundle_()
    with Image.open(io.BytesIO(base64.b64decode(data["image/png"]))) as picture:
        assert picture.size == (6, 4) and picture.getpixel((0, 0)) == 1
    nb = new_notebook(cells=[new_code_cell("player", outputs=[new_output("display_data", data)])])
    (output,) = freeze_widgets(nb).cells[0].outputs
    assert "image/png" in output.data and "application/vnd.jupyter.widget-view+json" not in output.data


def test_a_point_of_a_plane_is_a_control_like_any_other(displayed, pictures):
    pad = widgets.PlanePoint(b"picture", -4, 4, (0.5, -0.5))
    _, drawn = bars(point=pad)
    pad.set_state({"value": [1.25, 3.0]})  # as the browser sends it
    assert drawn == [{"point": (0.5, -0.5)}, {"point": (1.25, 3.0)}]


@pytest.mark.parametrize("low, high, value", [(1, 1, (1, 1)), (-4, 4, (0, 4.1)), (-4, 4, (-5, 0))])
def test_a_point_outside_its_plane_is_refused(low, high, value):
    with pytest.raises(ValueError, match="must lie between low"):
        widgets.PlanePoint(b"", low, high, value)
