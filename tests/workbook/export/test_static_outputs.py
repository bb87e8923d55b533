"""What widgets, films and animations show at rest, on paper and on a web page."""

import base64
import io
import re

import nbformat
import pytest
from pieces import VIEW, code, display, figure, markdown, notebook, png, source, stream
from PIL import Image

from lib.workbook.export import StaticOutputs, export_html, freeze_widgets


def view(model, **data):
    return display(
        {VIEW: {"model_id": model, "version_major": 2, "version_minor": 0}, "text/plain": "VBox(...)", **data}
    )


def models(**specs):
    """Widget state as notebooks keep it: name=(model name, state)."""
    return {
        key: {
            "model_name": name,
            "model_module": "@jupyter-widgets/controls",
            "model_module_version": "2.0.0",
            "state": {k: v for k, v in state.items() if k != "png"},
            **(
                {"buffers": [{"data": state["png"], "encoding": "base64", "path": ["value"]}]} if "png" in state else {}
            ),
        }
        for key, (name, state) in specs.items()
    }


WIDGETS = models(
    box=("VBoxModel", {"children": ["IPY_MODEL_row", "IPY_MODEL_img", "IPY_MODEL_out", "IPY_MODEL_play"]}),
    row=(
        "HBoxModel",
        {
            "children": [
                "IPY_MODEL_t",
                "IPY_MODEL_menu",
                "IPY_MODEL_check",
                "IPY_MODEL_zero",
                "IPY_MODEL_range",
                "IPY_MODEL_label",
            ]
        },
    ),
    t=("FloatSliderModel", {"description": "temp_1", "value": 0.8, "readout_format": ".2f"}),
    menu=("DropdownModel", {"description": "model", "index": 1, "_options_labels": ["RNN", "LSTM"]}),
    check=("CheckboxModel", {"description": "residual", "value": True}),
    zero=("IntSliderModel", {"description": "layer"}),
    range=("IntRangeSliderModel", {"description": "steps", "value": [1, 5]}),
    label=("HTMLModel", {"value": "<b>seed</b> 3"}),
    img=("ImageModel", {"format": "png", "width": "400", "png": png(800, 200)}),
    out=("OutputModel", {"outputs": [{"output_type": "stream", "name": "stdout", "text": "sampled\n"}]}),
    play=("PlayModel", {"value": 3}),
    bar=("HBoxModel", {"children": ["IPY_MODEL_b1", "IPY_MODEL_b2", "IPY_MODEL_b3"]}),
    b1=("HTMLModel", {"value": "100%"}),
    b2=("FloatProgressModel", {"value": 20.0}),
    b3=("HTMLModel", {"value": " 20/20"}),
)
CONTROLS = (
    "temp_1 0.80 · model LSTM · residual on · layer 0 · steps 1 to 5 · seed 3"
    "  (interactive: run the notebook to use it)"
)


def test_widgets_freeze_into_what_they_show():
    nb = notebook(code("explore()", view("box"), view("bar"), stream("after\n")), widgets=WIDGETS)
    before = nbformat.writes(nb)
    frozen = freeze_widgets(nb)
    assert nbformat.writes(nb) == before, "the given notebook is left alone"
    assert "widgets" not in frozen.metadata
    nbformat.validate(frozen)
    controls, picture, sampled, after = frozen.cells[0].outputs
    assert controls.data["text/plain"] == CONTROLS and controls.data["text/markdown"].startswith(r"*temp\_1 0.80")
    assert picture.data["image/png"] == png(800, 200) and picture.metadata["image/png"]["width"] == 400
    assert sampled.text == "sampled\n" and after.text == "after\n"


def test_widgets_are_printed():
    code_ = source(code("explore()", view("box"), view("bar")), widgets=WIDGETS)
    assert (
        f'#note("{CONTROLS}")' in code_ and "width: 300.00pt" in code_ and '"sampled"' in code_ and "100%" not in code_
    )


def test_widgets_without_state():
    unknown, pictured = (
        freeze_widgets(notebook(code("x", view("gone"), view("gone", **{"image/png": png()})))).cells[0].outputs
    )
    assert unknown.data["text/plain"] == "(interactive: run the notebook to use it)"
    assert "image/png" in pictured.data and VIEW not in pictured.data


@pytest.mark.parametrize("drop_defaults", [True, False])
def test_state_written_by_ipywidgets_itself(drop_defaults):
    import ipywidgets as widgets
    from ipywidgets.embed import embed_data

    sliders = widgets.FloatSlider(description="beta", value=0.25), widgets.IntSlider(description="layer")
    menu = widgets.Dropdown(description="kind", options=["a", "b"], value="b")
    picture = widgets.Image(value=base64.b64decode(png()), format="png")
    bar = widgets.HBox([widgets.HTML("50%"), widgets.FloatProgress(), widgets.HTML("1/2")])
    box = widgets.VBox([widgets.HTML("<b>Move it.</b>"), widgets.HBox([*sliders, menu]), picture, bar])
    data = embed_data(views=[box], drop_defaults=drop_defaults)
    cell = code("x", view(data["view_specs"][0]["model_id"]))
    controls, shown = freeze_widgets(notebook(cell, widgets=data["manager_state"]["state"])).cells[0].outputs
    assert controls.data["text/plain"].startswith("Move it. beta 0.25 · layer 0 · kind b  (interactive")
    assert shown.data["image/png"].replace("\n", "") == png()


# --- films ------------------------------------------------------------------------------------------------------------

FILM = '<img width="480" alt="A wave." src="data:image/webp;base64,UklG">'
VIDEO = "<video controls src='data:video/mp4;base64,AA'></video>"


@pytest.mark.parametrize("markup", [FILM, VIDEO])
def test_a_film_is_printed_as_its_strip(markup):
    code_ = source(code("film", *figure(5, "A wave.", data={"text/html": markup})))
    assert "#picture(" in code_ and "A wave. #emph[\\(The film plays in the notebook.)]" in code_
    assert "video" not in code_ and "webp" not in code_


def test_a_strip_may_be_a_photograph():
    strip = io.BytesIO()
    Image.new("RGB", (40, 20)).save(strip, "jpeg")
    data = {"text/html": FILM, "image/jpeg": base64.b64encode(strip.getvalue()).decode(), "text/plain": "film"}
    code_ = source(code("film", display(data)))
    assert '.jpeg"' in code_ and "The film plays in the notebook." in code_ and "webp" not in code_


def test_a_video_without_stills_leaves_a_note():
    assert "run the notebook to play it" in source(
        code("x", display({"text/html": "<video></video>", "text/plain": "v"}))
    )


def test_animations_show_their_first_frame():
    frames = [Image.new("RGB", (40, 40), color) for color in ("red", "blue")]
    file = io.BytesIO()
    frames[0].save(file, "gif", save_all=True, append_images=frames[1:])
    gif = display({"image/gif": base64.b64encode(file.getvalue()).decode(), "text/plain": "g"})
    jshtml = display({"text/html": f'<script>frames[0] = "data:image/png;base64,{png()}"</script>', "text/plain": "a"})
    assert source(code("x", gif)).count("#picture(") == 1 and source(code("x", jshtml)).count("#picture(") == 1
    nb, _ = StaticOutputs().preprocess(notebook(code("x", gif)), {})
    with Image.open(io.BytesIO(base64.b64decode(nb.cells[0].outputs[0].data["image/png"]))) as frame:
        assert frame.getpixel((20, 20)) == (255, 0, 0)


def test_html_keeps_films_and_freezes_widgets(tmp_path):
    (tmp_path / "a.png").write_bytes(base64.b64decode(png()))
    film = figure(5, "A wave.", data={"text/html": FILM})
    bar = stream("\r100%|██████████| 20/20 [00:01<00:00, 15.11it/s]\n", "stderr")
    shown = [*film, display({"text/html": VIDEO}), view("box"), bar]
    nb = notebook(markdown("# T\n\n![p](a.png)"), code("x", *shown), widgets=WIDGETS)
    nbformat.write(nb, tmp_path / "n.ipynb")
    page = export_html(tmp_path / "n.ipynb", tmp_path / "out" / "n.html").read_text("utf-8")
    assert "image/webp;base64,UklG" in page and "<video controls" in page
    assert "data:image/png;base64" in page and 'src="a.png"' not in page
    assert (
        "run the notebook to use it" in page
        and VIEW not in page
        and "unpkg.com" not in page
        and "15.11it/s" not in page
    )
    assert not re.findall(r'(?:src|href)="(https?:[^"]+)"', page)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["n.html"]
