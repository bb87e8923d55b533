"""Text, code and what code has printed, as Typst sets them."""

import re

from nbformat import v4
from pieces import code, display, flat, markdown, pages, pdf, source, stream

from lib.training.checkpoints import sweep
from lib.workbook.export.template import CODE_SIZE, CONTINUATION, LINE_BREAK
from lib.workbook.export.typeset import fold


def test_markdown_as_jupyter_reads_it():
    text = """A list without a blank line:
- one
- two
  1. inner
- [x] done

> a quote

| left | right |
|:--|--:|
| a | 1.5 |

"Quotes" -- and *emphasis*, H<sub>2</sub>O, <kbd>Ctrl</kbd>, ~~gone~~, an em<b>bold</b>ened word.

***

~~~
plain $code$
~~~

1. item

   ```python
   y = "$no formula$"
   ```
"""
    code_ = source(markdown(text))
    assert re.search(r"- one\n- two\n.*\+ inner\n.*- ☒ done", code_, re.S)
    assert "#quote(block: true)" in code_ and "#sub[2]" in code_ and "#strike[gone]" in code_
    assert "“Quotes” -- and #emph[emphasis]" in code_  # Typst sets two hyphens as a dash
    assert '"plain $code$"' in code_ and 'y = \\"$no formula$\\"' in code_
    pdf(markdown(text))


def test_details_are_printed_open():
    code_ = source(markdown("<details>\n<summary>Why?</summary>\n\nBecause $x$ *is*.\n\n</details>"))
    assert re.search(r"#details\[\s+#summary\[\s+Why\?\s+\]\s+Because \$x\$ #emph\[is\]\.\s+\]", code_)


def test_links():
    code_ = source(
        markdown("[a](#The-second-part) [b](#the-second-part) [c](#here) [d](#nowhere) [e](02_memory.ipynb#x)"),
        markdown("## The second part\n\n<a id='here'></a> text [f](https://example.org/x)"),
    )
    label = re.search(r"The second part\n<(place-\d+)>", code_)[1]
    assert code_.count(f"#link(<{label}>)") == 2
    anchor = re.search(r"#metadata\(none\)<(place-\d+)>", code_)[1]
    assert f"#link(<{anchor}>)[c]" in code_
    assert re.search(r"\bd #link", code_), "links that lead nowhere on paper are plain text"
    assert '#link("02_memory.pdf#x")[e]' in code_, "the other notebook's PDF lies beside this one"
    assert '#link("https://example.org/x")[f]' in code_


def test_a_heading_is_never_last_on_a_page():
    cells = [
        markdown(f"## Heading {i}\n\n" + "Some words to fill the line of a page. " * (17 + 3 * i)) for i in range(30)
    ]
    for page in pages(pdf(*cells))[1:]:
        lines = [line for line in page.split("\n") if line.strip()][:-1]  # without the page number
        assert "Heading" not in lines[-1]


def test_texts_of_one_cell_do_not_reach_into_the_next_one():
    """What is not closed in a cell, or defined in it, ends with the cell, although many are read at once."""
    cells = [
        markdown("Before [a]\n\n[a]: https://example.org/one"),
        markdown("[a] again\n\n[a]: https://example.org/two"),
        markdown("```\nnot closed"),
        markdown("# A heading"),
        markdown("<details><summary>s</summary> not closed"),
        markdown("- item"),
        markdown("*last*"),
    ]
    code_ = source(*cells)
    assert '#link("https://example.org/one")[a]' in code_ and '#link("https://example.org/two")[a] again' in code_
    assert '"not closed"' in code_ and "A heading" in code_ and "#emph[last]" in code_
    pdf(*cells[:4], *cells[5:])


def test_all_cells_are_read_by_few_runs_of_pandoc(monkeypatch):
    from lib.workbook.export import pandoc

    runs, run = [], pandoc.subprocess.run
    monkeypatch.setattr(pandoc.subprocess, "run", lambda *a, **kw: runs.append(a) or run(*a, **kw))
    source(*[markdown(f"## Part {i}\n\ntext") for i in range(40)], title="T")
    assert len(runs) < 10


def test_unusual_letters_do_not_stop_the_export():
    assert "naïve Łódź Привет" in flat(
        pdf(markdown("naïve Łódź Привет 中文 🎉"), code("print('🎉 中')", stream("✓ 🎉\n")))
    )


# --- code and its text ------------------------------------------------------------------------------------------------


def test_long_lines_of_code_go_on_below(tmp_path):
    line = "    value = [" + ", ".join(str(i) for i in range(60)) + "]"
    assert len(line) > 200
    parts = fold(line, 95).split(LINE_BREAK)
    assert len(parts) == 3 and all(len(part) <= 95 for part in parts)
    assert all(part.startswith("    " + CONTINUATION) for part in parts[1:]), "continued lines keep the indent"
    assert "".join(parts).replace("    " + CONTINUATION, "") == line
    assert all(len(part) <= 95 for part in fold("#" * 500, 95).split(LINE_BREAK))

    text = pages(pdf(code(f"if True:\n{line}\n\nx = '{'y' * 200}'"), code("", stream("z" * 300))))
    assert "".join(text).count("↪") >= 5 and "58, 59]" in "".join(text)
    assert len(re.findall("y", "".join(text))) >= 200 and len(re.findall("z", "".join(text))) == 300


def test_long_cells_break_across_pages_with_three_lines_on_either():
    """A cell that comes to the foot of a page, a line lower each time, never leaves one or two lines there or over."""
    long = "\n".join(f"line_{i} = {i}" for i in range(20))
    for above in range(44, 64):
        text = pages(pdf(code("\n".join(f"x = {i}" for i in range(above))), code(long)))
        on_first = len(re.findall(r"line_\d+ ", text[0]))
        assert on_first in (0, 20) or 3 <= on_first <= 17, above
    text = pages(pdf(code("\n".join(f"line_{i} = {i}" for i in range(150)))))
    assert "line_0 " in text[0] and "line_149" in text[-1] and len(text) > 1


def test_all_code_has_one_size():
    code_ = source(
        code("x\n" * 40, stream("y" * 119)), code("z" * 300), markdown("```python\nx\n```"), code("a" * 115 + "\n1")
    )
    assert {*re.findall(r"#verbatim\(\"\w+\", ([\d.]+pt)", code_)} == {f"{CODE_SIZE}pt"}


def test_code_is_highlighted_and_output_is_told_apart():
    code_ = source(code("%time f(x)", stream('\x1b[31mred\x1b[0m \\ "quoted"\n')))
    assert re.search(r'#verbatim\("input", [\d.]+pt, "python", "%time f\(x\)"', code_)
    assert re.search(r'#verbatim\("output", [\d.]+pt, none, "red \\\\ \\"quoted\\""', code_)


def test_what_the_run_table_tells_is_not_printed(stores, capsys):
    sweep("01_toy/runs", lambda seed: {"accuracy": seed / 2}, [{"seed": 0}, {"seed": 1}])
    text = capsys.readouterr().out
    assert "01_toy/runs: 2 runs (2 computed)" in text
    text = source(code("x", stream(text + "a result\n01_toy/run: loaded (shipped); 3 CPU-seconds, accuracy 1\n")))
    assert "a result" in text and "accuracy 1" not in text and "computed" not in text


def test_a_paragraph_stays_with_the_code_that_it_leads_to():
    for above in range(40, 60, 2):
        filled = markdown("  \n".join(["Above."] * above) + "\n\nTry this.\n\n```python\nthis()\n```")
        text = pages(pdf(filled))
        assert [("Try this" in page) == ("this()" in page) for page in text] == [True] * len(text), above


def test_parameters_are_printed():
    code_ = source(
        code("epochs = 50", tags=["parameters"]), code("epochs = 20", tags=["injected-parameters"]), code("")
    )
    assert "epochs = 50" in code_ and "epochs = 20" in code_ and code_.count("#verbatim") == 2


def test_progress_bars_are_not_printed():
    bar = "\r  0%|          | 0/20 [00:00<?, ?it/s]\r100%|██████████| 20/20 [00:01<00:00, 15.11it/s]\n"
    code_ = source(
        code(
            "f()",
            stream(bar, "stderr"),
            stream("UserWarning: careful\n" + bar, "stderr"),
            stream("epoch 1\repoch 2\r"),
            stream("epoch 3\n"),
            stream("12it [00:00, 99.9it/s]", "stderr"),
        )
    )
    assert "%|" not in code_ and "it/s" not in code_ and "epoch 1" not in code_ and "epoch 2" not in code_
    assert '"epoch 3"' in code_ and re.search(r'#verbatim\("warning", [\d.]+pt, none, "UserWarning: careful"', code_)


def test_errors_are_printed():
    trace = ["\x1b[31mValueError\x1b[39m  Traceback (most recent call last)", "----> 1 f()", "ValueError: too small"]
    error = v4.new_output("error", ename="ValueError", evalue="too small", traceback=trace)
    assert re.search(r'#verbatim\("error".*"ValueError  Traceback .*ValueError: too small"', source(code("f()", error)))


def test_other_outputs():
    listing = "```python\nclass Cell:\n    pass\n```"
    code_ = source(
        code(
            "x",
            display({"text/markdown": listing, "text/plain": "…"}),
            display({"text/latex": r"$\displaystyle x^2$"}),
            display({"text/html": "<b>bold</b> text", "text/plain": "<IPython.core.display.HTML object>"}),
            display({"text/html": "<script>1</script>", "text/plain": "<IPython.core.display.HTML object>"}),
            v4.new_output("execute_result", {"text/plain": "tensor([1.])"}, execution_count=1),
        )
    )
    assert re.search(r'#verbatim\("listing", [\d.]+pt, "python", "class Cell:\\n    pass"', code_)
    assert "$ x^2 $" in code_ and "#strong[bold] text" in code_ and "IPython" not in code_ and '"tensor([1.])"' in code_
