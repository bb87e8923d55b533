"""Numbered captions: the number that a figure or table has, and how it is handed to the notebook."""

from IPython.display import display

_numbers = {"figure": {}, "table": {}}  # the numbers of a notebook, by kind and caption


def number_anew():
    """Forget all numbers: the next figure is Figure 1 and the next table Table 1."""
    for numbers in _numbers.values():
        numbers.clear()


def number(kind, caption):
    """Captions are numbered in the order of their first appearance, so that running a cell again keeps its number."""
    return _numbers[kind].setdefault(caption, len(_numbers[kind]) + 1)


def emit(kind, data, caption, metadata=None):
    """Display something with its numbered caption below it.

    Args:
        kind: "figure" or "table". data: dict from MIME type to content. caption: Markdown. metadata: of the output.
    """
    count = number(kind, caption)
    display(data, raw=True, metadata={**(metadata or {}), "workbook": {kind: count, "caption": caption}})
    display(
        {
            "text/markdown": f"**{kind.capitalize()} {count}.** {caption}",
            "text/plain": f"{kind.capitalize()} {count}. {caption}",
        },
        raw=True,
        metadata={"workbook": {"caption_of": count, "kind": kind}},
    )
