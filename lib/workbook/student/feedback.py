"""The page that a student gets back: points of every item and, for what failed, what was expected and what came out."""

import html

from lib.workbook import exercises

STYLE = """body { font: 16px/1.5 sans-serif; max-width: 50em; margin: 2em auto; padding: 0 1em; color: #222 }
h2 { margin: 1.6em 0 0.2em; font-size: 1.1em } pre { background: #f4f4f4; padding: 0.8em; white-space: pre-wrap }"""


def lines(code, result):
    """What is told about the code of an item, without a heading."""
    if not result["failed"]:
        return [f"all {result['most']:g} points: every check passed" if result["most"] else "passed"]
    told = [f"{result['points']:g} of {result['most']:g} points" if result["most"] else "not passed"]
    for title, points, reasons in result["failed"]:
        told += [f"✗ {title}" + f" ({points:g} points)" * bool(points), *(f"    {reason}" for reason in reasons)]
    return told


def page(name, result, marks):
    """A student's page.

    Args:
        result: of the hand-in, as `lib.workbook.student.grading` stores it. marks: {cell: points, or None while no
            person has marked it}.
    """
    parts = [f"<h1>{html.escape(name)}</h1>"]
    if result["problem"]:
        parts.append(f"<p>{html.escape(result['problem'])}</p>")
    for code, row in exercises.items().items():
        if code in result["items"]:
            text = html.escape("\n".join(lines(code, result["items"][code])))
            parts.append(f"<h2>{code} {html.escape(row['title'])}</h2>\n<pre>{text}</pre>")
        for number, answer in enumerate(row.get("answers", []), 1):
            cell = f"{code}-answer-{number}"
            if cell in marks:
                mark = "not marked yet" if marks[cell] is None else f"{marks[cell]:g} of {answer['points']:g} points"
                parts.append(f"<h2>{code}, in words: {mark}</h2>\n<p>{html.escape(answer['question'])}</p>")
    if result["style"]:
        parts.append(f"<h2>Style</h2>\n<pre>{html.escape(chr(10).join(result['style'][:20]))}</pre>")
    body = "\n".join(parts)
    title = html.escape(f"Feedback for {name}")
    return f"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style></head>
<body>
{body}
</body>
</html>
"""
