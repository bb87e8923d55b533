"""The cells of a notebook as blocks of Typst: text, code in sight, and what code displays."""

import re

from nbconvert.filters import strip_ansi

from lib.workbook.notebooks import cell_tags
from lib.workbook.reading import CONTENTS, about, in_sight

from .formulas import displayed
from .pandoc import quote, raw
from .pictures import decoded
from .typeset import verbatim

PICTURES = {"image/png": "png", "image/jpeg": "jpeg", "image/svg+xml": "svg"}
FILM = "The film plays in the notebook."
LONG = 8  # lines; longer code may go on the next page while what it displays stays with its end


def texts(cell):
    """Every text of a cell that pandoc is to read: [("markdown" or "html", text), …]."""
    if cell.cell_type == "markdown":
        return [] if CONTENTS in cell_tags(cell) else [("markdown", cell.source)]
    found = []
    for output in cell.get("outputs", []):
        if "caption" in about(output):
            found.append(("markdown", _caption(about(output))))
        if "data" in output and "note" not in about(output):
            found += [(kind, text) for kind, text in [_best(output.data)] if kind in ("markdown", "html")]
    return found


def blocks(setter, cell):
    """What is printed of a cell; code out of sight is left to the appendix, the contents to the title page."""
    if cell.cell_type == "markdown":
        setter.attachments = cell.get("attachments", {})
        return _with_their_code([block for _, text in texts(cell) for block in setter.markdown(text)])
    if cell.cell_type != "code":
        return []
    shown = [(output, about(output)) for output in results(cell)]
    answer = "predict" in cell_tags(cell)
    done = []
    if in_sight(cell):
        followed = bool(shown) and not {"figure", "table"} & {*shown[0][1]}
        done.append(verbatim("input", cell.source, "python", sticky=followed and cell.source.count("\n") < LONG))
    while shown:
        output, a = shown.pop(0)
        if "figure" in a or "table" in a:
            done += _numbered(setter, output, a, answer)
        else:
            body = [*_answer(answer), *_output(setter, output, a)]
            if "note" in a and shown and _is_picture(*shown[0]):  # the controls of a widget, then what they gave
                output, a = shown.pop(0)
                body += _output(setter, output, a)
            done += [raw("#floating["), *body, raw("]")] if _is_picture(output, a) else body
        answer = False
    return done


def _with_their_code(done):
    """The blocks of a text; a paragraph that leads to code stays on the page on which the code begins."""
    kept = []
    for block, after in zip(done, [*done[1:], None], strict=False):
        leads = block["t"] == "Para" and after and after["t"] == "RawBlock" and after["c"][1].startswith("#verbatim")
        kept += [raw("#leading["), block, raw("]")] if leads else [block]
    return kept


def results(cell):
    """The outputs of a cell without the captions, which stand at their figures and tables."""
    noted = [about(output) for output in cell.outputs]
    numbered = {(kind, a[kind]) for a in noted for kind in ("figure", "table") if kind in a}
    pairs = zip(cell.outputs, noted, strict=True)
    return [output for output, a in pairs if (a.get("kind", "figure"), a.get("caption_of")) not in numbered]


def _answer(wanted):
    return [raw("#answer-label")] * wanted


def _is_picture(output, noted):
    return "data" in output and not {"note", "figure", "table"} & {*noted} and _best(output.data)[0] in PICTURES


def _best(data):
    """(kind, content) of the best printable form of what a cell displays; the kind is a MIME type for a picture."""
    if "text/markdown" in data:
        return "markdown", data["text/markdown"]
    if "text/latex" in data:
        return "markdown", displayed(data["text/latex"])
    for mime in PICTURES:
        if mime in data:
            return mime, data[mime]
    if "text/html" in data:
        return "html", data["text/html"]
    return "text", data.get("text/plain", "")


def _caption(noted):
    return noted.get("caption", "") + (f" *({FILM})*" if noted.get("film") else "")


def _numbered(setter, output, noted, answer):
    kind = "figure" if "figure" in noted else "table"
    label, flag = quote(f"{kind.title()} {noted[kind]}."), ", answer: true" if answer else ""
    caption = setter.markdown(_caption(noted))
    return [raw(f"#numbered-{kind}({label}, ["), *_data(setter, output), raw("], ["), *caption, raw(f"]{flag})")]


def _output(setter, output, noted):
    if output.output_type == "stream":
        return [verbatim("warning" if output.name == "stderr" else "output", strip_ansi(output.text))]
    if output.output_type == "error":
        return [verbatim("error", strip_ansi("\n".join(output.traceback) or f"{output.ename}: {output.evalue}"))]
    if "note" in noted:
        return [raw(f"#note({quote(noted['note'])})")]
    body = _data(setter, output)
    if "source" in noted and len(body) > 1:  # where the listing stands in the library, then the listing
        *title, listing = body
        return [raw("#listing-title["), *title, raw("]"), listing]
    return body + ([raw(f"#note({quote(f'({FILM})')})")] if noted.get("film") else [])


def _data(setter, output):
    kind, content = _best(output.data)
    if kind == "markdown":
        return setter.markdown(content)
    if kind in PICTURES:
        width = setter.pixels(output.metadata.get(kind, {}).get("width"))
        data = content.encode() if PICTURES[kind] == "svg" else decoded(content, setter.fail)
        return [raw("#" + setter.picture(data, PICTURES[kind], width).replace("image(", "picture(", 1))]
    if kind == "html" and (found := setter.html(content)):
        return found
    plain = re.sub(r"<IPython\.core\.display\.\w+ object>", "", output.data.get("text/plain", ""))
    return [verbatim("output", plain)] if plain else []
