"""What a notebook shows at rest: widgets, films and progress bars without JavaScript.

Paper, GitHub and a plain web page cannot run widgets. Here every widget view becomes the pictures and texts that it
showed when the notebook was saved. A film becomes its strip of stills (paper only), a finished progress bar disappears.
"""

import base64
import copy
import html
import io
import re

from nbconvert.preprocessors import Preprocessor
from nbformat.v4 import new_output
from traitlets import Bool

from .pandoc import ExportError
from .pictures import DAMAGED, decoded, measured

VIEW = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"
NOTE = "(interactive: run the notebook to use it)"
FILM_NOTE = "(film: run the notebook to play it)"
# Models whose value is the default are stored without it by JupyterLab.
DEFAULTS = {"IntSliderModel": 0, "FloatSliderModel": 0.0, "CheckboxModel": False, "ToggleButtonModel": False}
SILENT = {"PlayModel", "IntProgressModel", "FloatProgressModel", "ValidModel"}
PROGRESS = re.compile(r"\d+%\|.*\||^\s*\d+(\.\d+)?(it|B|kB|MB)? \[\d|\d(it/s|s/it|B/s)\b")
RICH = re.compile(r"<(img|table|svg|pre|ul|ol|h\d)\b")  # HTML that is more than a label
FILM = re.compile(r'<img\b[^>]*\bsrc="data:image/webp;base64,([^"]+)"[^>]*>')  # as `figures.film` displays it
JSHTML_FRAME = re.compile(r'frames\[0\] = "data:image/png;base64,([^"]+)"', re.S)  # matplotlib's to_jshtml


def freeze_widgets(nb):
    """Return a copy of the notebook in which every widget view is replaced by what it showed when saved.

    Pictures, texts and captured outputs stay; sliders, menus and buttons become one line "name value · name value
    (interactive: run the notebook to use it)"; progress bars vanish. `metadata.widgets` is removed, so that GitHub,
    which refuses widget state, displays the result. The given notebook is not changed.
    """
    nb = copy.deepcopy(nb)
    models = nb.metadata.get("widgets", {}).get(STATE, {}).get("state", {})
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs = [new for old in cell.outputs for new in _without_views(old, models)]
    nb.metadata.pop("widgets", None)
    return nb


def _without_views(output, models):
    data = output.get("data", {})
    if VIEW not in data:
        return [output]
    if "image/png" in data or "text/html" in data:  # the bundle itself carries a static form
        data.pop(VIEW)
        return [output]
    model = data[VIEW].get("model_id", "")
    if model not in models:  # saved without its state: nothing is known but that it was there
        return [_markdown(NOTE)]
    controls, shown = [], []
    _collect(model, models, controls, shown)
    line = " · ".join(controls).replace(". · ", ". ")  # a sentence, then the controls
    return ([_markdown(f"{line}  {NOTE}")] if controls else []) + shown


def _collect(key, models, controls, shown):
    """Walk a tree of widgets: texts of controls into `controls`, outputs into `shown`, both in order of appearance."""
    entry = models.get(key.removeprefix("IPY_MODEL_"))
    if entry is None:
        return
    state, name = entry.get("state", {}), entry.get("model_name", "")
    kinds = {models.get(child.removeprefix("IPY_MODEL_"), {}).get("model_name") for child in state.get("children", [])}
    if name in SILENT or kinds == {"HTMLModel", "FloatProgressModel"}:  # tqdm's bar stands between two labels
        return
    if name == "OutputModel":
        for output in state.get("outputs", []):
            shown += _without_views(new_output(**output), models)
    elif name == "ImageModel":
        shown += _image(entry)
    elif name in ("VideoModel", "AudioModel"):
        shown.append(_markdown(FILM_NOTE))
    elif name in ("HTMLModel", "HTMLMathModel") and RICH.search(str(state.get("value"))):
        shown.append(new_output("display_data", {"text/html": state["value"], "text/plain": _plain(state["value"])}))
    elif "children" in state:
        for child in state["children"]:
            _collect(child, models, controls, shown)
    elif line := _control(name, state):
        controls.append(line)


def _image(entry):
    kind = {"jpg": "jpeg"}.get(fmt := entry["state"].get("format", "png"), fmt)
    width = re.match(r"\d+", str(entry["state"].get("width", "")))
    metadata = {f"image/{kind}": {"width": int(width.group())}} if width else {}
    data = {f"image/{kind}": b["data"] for b in entry.get("buffers", []) if b.get("path") == ["value"]}
    return [new_output("display_data", {**data, "text/plain": "picture"}, metadata=metadata)] if data else []


def _control(name, state):
    """One slider, menu, box or label as text: its description and its value."""
    if "_options_labels" in state:  # menus and the like store positions
        labels, index = state["_options_labels"], state.get("index")
        chosen = index if isinstance(index, (list, tuple)) else [index]
        value = ", ".join(str(labels[i]) for i in chosen if isinstance(i, int) and i < len(labels))
    else:
        value = state.get("value", DEFAULTS.get(name, ""))
    if value is None:
        value = ""
    elif isinstance(value, bool):
        value = "on" if value else "off"
    elif isinstance(value, (int, float)):
        try:
            value = format(value, state.get("readout_format", ""))
        except ValueError:  # a format known to JavaScript only
            value = str(value)
    elif isinstance(value, (list, tuple)):
        value = (" to " if "Range" in name else ", ").join(map(str, value))
    return " ".join(filter(None, [_plain(str(state.get("description") or "")), _plain(str(value))]))


def _plain(text):
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", text)).split())


def _markdown(text):
    """A line about controls, as Markdown that shows the characters as they are."""
    escaped = re.sub(r"([\\`*_{}\[\]<>#$|~])", r"\\\1", text)
    data = {"text/markdown": f"*{escaped}*", "text/plain": text}
    return new_output("display_data", data, metadata={"workbook": {"note": text}})


class StaticOutputs(Preprocessor):
    """nbconvert preprocessor: `freeze_widgets`, and the same for films, animations and progress bars.

    With `keep_films = True` films and animated GIFs stay as they are, for formats that can play them.
    """

    enabled = True
    keep_films = Bool(False, help="leave films as they are").tag(config=True)

    def preprocess(self, nb, resources):
        nb = freeze_widgets(nb)
        name = resources.get("metadata", {}).get("name") or "notebook"
        for number, cell in enumerate(nb.cells, 1):

            def fail(problem, place=f"{name}, cell {number}"):
                raise ExportError(f"{place}: {problem}")

            if cell.cell_type == "code":
                outputs = cell.outputs if self.keep_films else [_film_at_rest(output, fail) for output in cell.outputs]
                cell.outputs = tidy_streams(outputs)
        return nb, resources


def tidy_streams(outputs):
    """Join consecutive pieces of one stream, apply carriage returns, drop progress bars from standard error."""
    tidy = []
    for output in outputs:
        if output.output_type == "stream" and tidy and tidy[-1].get("name") == output.name:
            tidy[-1].text += output.text
        else:
            tidy.append(output)
    for output in tidy:
        if output.output_type == "stream":
            lines = [_last_state(line) for line in output.text.replace("\r\n", "\n").split("\n")]
            if output.name == "stderr" and any(PROGRESS.search(line) for line in lines):
                lines = [line for line in lines if line.strip() and not PROGRESS.search(line)] + [""]
            output.text = "\n".join(lines)
    return [output for output in tidy if output.output_type != "stream" or output.text.strip()]


def _last_state(line):
    states = [state for state in line.split("\r") if state.strip()]
    return states[-1] if states else ""


def film_sizes(nb):
    """Bytes of each film that `figures.film` displayed in a notebook, in their order."""
    displayed = (output.get("data", {}) for cell in nb.cells for output in cell.get("outputs", []))
    films = (FILM.fullmatch(data.get("text/html", "")) for data in displayed)
    return [len(base64.b64decode(film[1])) for film in films if film]


def _film_at_rest(output, fail):
    data = output.get("data", {})
    markup, has_stills = data.get("text/html", ""), bool({"image/png", "image/jpeg"} & {*data})
    if "image/gif" in data and not has_stills:
        data["image/png"] = _first_frame(data.pop("image/gif"), fail)
    elif frame := JSHTML_FRAME.search(markup):
        data["image/png"] = frame.group(1).replace("\\\n", "")
        data.pop("text/html")
    elif "<video" in markup or (FILM.fullmatch(markup) and has_stills):
        data.pop("text/html")
        if not has_stills:
            return _markdown(FILM_NOTE)
    else:
        return output
    output.metadata["workbook"] = {**output.metadata.get("workbook", {}), "film": True}
    return output


def _first_frame(gif, fail):
    from PIL import Image

    data, png = decoded(gif, fail), io.BytesIO()
    measured(data, fail)
    try:
        Image.open(io.BytesIO(data)).convert("RGB").save(png, "png")
    except Exception:  # a damaged file makes Pillow raise nearly anything
        fail(DAMAGED)
    return base64.b64encode(png.getvalue()).decode()
