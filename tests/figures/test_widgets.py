"""Interactive figures: what is moved is drawn."""

import io

import ipywidgets
import numpy as np
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from lib.figures import widgets


def interactive(displayed, **controls):
    """The control widgets, the image widget and the values that were drawn so far."""
    drawn = []

    def draw(**values):
        drawn.append(values)
        fig, ax = plt.subplots(figsize=(2, 1))
        ax.plot([0, values.get("height", 1)])
        ax.set_ylim(0, 10)
        return fig

    found = widgets.interactive(draw, "Move it.", **controls)
    box = displayed[-1][0]
    (image,) = (child for child in box.children if isinstance(child, ipywidgets.Image))
    assert "Move it." in box.children[0].value
    return found, image, drawn


def test_a_change_draws_again(displayed):
    controls, image, drawn = interactive(displayed, height=(0, 10), kind=["a", "b"])
    before = image.value
    assert drawn == [{"height": 5, "kind": "a"}] and Image.open(io.BytesIO(before)).size == (200, 100)
    controls["height"].value = 9
    assert drawn[-1] == {"height": 9, "kind": "a"} and image.value != before
    controls["height"].value = 5
    assert image.value == before
    controls["kind"].value = "b"
    assert drawn[-1] == {"height": 5, "kind": "b"} and len(drawn) == 4
    assert not plt.get_fignums(), "a figure that stays open is shown below the cell and fills the memory"


@pytest.mark.parametrize(
    ("given", "kind", "low", "high", "step", "value"),
    [
        ((0, 10), ipywidgets.IntSlider, 0, 10, 1, 5),
        ((1, 28, 3), ipywidgets.IntSlider, 1, 28, 3, 13),
        ((0.0, 1.0, 0.25), ipywidgets.FloatSlider, 0, 1, 0.25, 0.5),
        ((0.0, 1.0), ipywidgets.FloatSlider, 0, 1, 0.01, 0.5),
    ],
)
def test_a_tuple_is_a_slider_that_starts_in_the_middle(displayed, given, kind, low, high, step, value):
    controls, _, drawn = interactive(displayed, step_size=given)
    slider = controls["step_size"]
    assert type(slider) is kind and (slider.min, slider.max) == (low, high)
    assert slider.step == pytest.approx(step) and slider.value == pytest.approx(value, abs=step)
    steps = (slider.value - low) / step
    assert steps == pytest.approx(round(steps))
    assert slider.description == "step size" and not slider.continuous_update
    assert drawn == [{"step_size": slider.value}]


def test_own_widgets_are_taken_as_they_are(displayed):
    box = ipywidgets.Checkbox(description="on?")
    controls, _, drawn = interactive(displayed, on=box)
    assert controls["on"] is box and box.description == "on?" and drawn == [{"on": False}]


def test_a_click_on_the_board_draws_again(displayed):
    board = widgets.ClickGrid(3, 4, start=(0, 1))
    _, _, drawn = interactive(displayed, place=board)
    assert drawn == [{"place": (0, 1)}] and len(board.children) == 12
    board.children[2 * 4 + 3].click()
    assert drawn[-1] == {"place": (2, 3)}
    marked = [number for number, square in enumerate(board.children) if square.button_style]
    assert marked == [11], "only the square of the last click is marked"
    board.children[11].click()
    assert len(drawn) == 2, "the same square again changes nothing"


def test_a_board_starts_in_the_middle():
    assert widgets.ClickGrid(8, 6).value == (4, 3)


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


def test_a_point_of_a_plane_is_a_control_like_any_other(displayed):
    pad = widgets.PlanePoint(b"picture", -4, 4, (0.5, -0.5))
    _, _, drawn = interactive(displayed, point=pad)
    pad.value = (1.25, 3.0)
    assert drawn == [{"point": (0.5, -0.5)}, {"point": (1.25, 3.0)}]


@pytest.mark.parametrize("low, high, value", [(1, 1, (1, 1)), (-4, 4, (0, 4.1)), (-4, 4, (-5, 0))])
def test_a_point_outside_its_plane_is_refused(low, high, value):
    with pytest.raises(ValueError, match="must lie between low"):
        widgets.PlanePoint(b"", low, high, value)
