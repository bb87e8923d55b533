"""Formulas: taken out of the text before Markdown is read, as Jupyter does, and set as Typst by one run of pandoc.

In between each formula is a number in brackets. TeX that pandoc does not know is refused; what its Typst writer is
known to get wrong is put right before (`prepare`) and after (`repair`) it.
"""

import html
import re

from .macros import expanded
from .pandoc import array, document, pandoc, quote, raw

CODE = r"""^[ ]{0,3}(?P<fence>`{3,}|~{3,}).*?(?:^[ ]{0,3}(?P=fence)[`~]*[ \t]*$|\Z)
         | (?<!`)(?P<ticks>`+)(?!`)(?:(?!\n\s*\n).)*?(?<!`)(?P=ticks)(?!`)
         | <(?P<tag>pre|code|script|style)\b.*?(?:</(?P=tag)>|\Z)"""
MATH = r"""(?<!\\)\$\$(?P<display>.+?)(?<!\\)\$\$
         | (?P<bare>\\begin\{(?P<env>(?:align|equation|gather|multline|eqnarray)\*?)\}
             (?:(?!\\begin\{(?P=env)\}).)*?\\end\{(?P=env)\})
         | \\\\\[(?P<bracket>(?:(?!\\\\\[).)+?)\\\\\] | \\\\\((?P<paren>(?:(?!\\\\\().)+?)\\\\\)
         | (?<![\\$])\$(?!\$)(?P<inline>(?:\\.|(?!\n\s*\n|</[a-zA-Z])[^$\\`])+?)\$(?![\d$])"""
CODE_OR_MATH = re.compile(f"{CODE}|{MATH}", re.S | re.M | re.X)
# Between these a page has text; no formula begins in one piece of it and ends in another.
TAGS = re.compile(r"(<(pre|code|script|style)\b.*?(?:</\2>|\Z)|<!--.*?(?:-->|\Z)|</?[a-z][^<>]*>)", re.S | re.I)
MARK = re.compile("\u2e28\ue002(\\d+)\u2e29")  # brackets, because Markdown must see punctuation where the dollar was
NORM = re.compile(r"(?<!left)(?<!right)(?<!middle)(?<!big)(?<!big[lrm])(?<!bigg)(?<!bigg[lrm])\\\|", re.I)
TEXT = re.compile(r"\\(?:text\w*|mbox|hbox)\s*\{(?:\\[^{}]|[^{}\\])*\}")
ARRAY = re.compile(r"\\begin\{array\}(?:\[\w\])?\{((?:[^{}]|\{[^{}]*\})*)\}")
SIGNS = "%&#_"  # behind which pandoc loses a blank in texts
_HELD = {sign: chr(0xE010 + i) for i, sign in enumerate(SIGNS)}
HELD = re.compile(f"[{''.join(_HELD.values())}]")


class Formulas:
    """The formulas of a document, in the order of their marks: (TeX, as written, display?, place)."""

    def __init__(self):
        self.all = []

    def take_out(self, text, place, unescape=str):
        """The text with a mark for every formula outside code."""

        def keep(found):
            kinds = found.groupdict()
            if kinds["fence"] or kinds["ticks"] or kinds["tag"]:
                return found[0]
            kind = next(k for k in ("display", "bare", "bracket", "paren", "inline") if kinds[k] is not None)
            self.all.append((unescape(kinds[kind]).strip(), found[0], kind not in ("inline", "paren"), place))
            return f"\u2e28\ue002{len(self.all) - 1}\u2e29"

        return CODE_OR_MATH.sub(keep, text)

    def take_out_of_html(self, text, place):
        """The same for HTML, where a formula ends with the text between two tags."""
        pieces, at = [], 0
        for tag in TAGS.finditer(text):
            pieces += [self.take_out(text[at : tag.start()], place, html.unescape), tag[0]]
            at = tag.end()
        return "".join([*pieces, self.take_out(text[at:], place, html.unescape)])

    def as_written(self, text):
        """Undo `take_out`, for code and other literal text."""
        return MARK.sub(lambda found: self.all[int(found[1])][1], text)

    def put_back(self, code, fail):
        """Typst code with formulas for marks; `fail(problem, place)` is called for one that cannot be set."""
        formulas = self.set(fail)
        return MARK.sub(lambda found: formulas[int(found[1])], code)

    def set(self, fail):
        """Every formula as Typst code."""
        if not self.all:
            return []
        formulas = self.expanded(fail)
        blocks = [paragraph(tex, display, prepare) for tex, _, display, _ in formulas]
        divided = [part for block in blocks for part in (block, raw("// formula"))]
        codes = [code.strip() for code in pandoc(document(divided), "json", "typst")[0].split("// formula")[:-1]]
        for i, ((tex, _, _, place), code) in enumerate(zip(formulas, codes, strict=True)):
            if not tex:  # it defines a macro and shows nothing
                codes[i] = ""
                continue
            if code.startswith("\\$"):  # pandoc gives the TeX back where it does not understand it
                fail(refusal(tex, pandoc(document([blocks[i]]), "json", "typst")[1]), place)
            tag, code = split_tag(tex)[1], repair(code, tex)
            codes[i] = f"#tagged({quote(tag)})[{code}]" if tag else code
        return codes

    def expanded(self, fail):
        """`all`, the macros in them replaced by what they stand for."""

        def endless(number):
            tex, _, _, place = self.all[number]
            fail(_cannot(tex, "its macros call each other without end; define them without a circle"), place)

        texts = expanded([tex for tex, *_ in self.all], endless)
        return [(tex, *rest) for tex, (_, *rest) in zip(texts, self.all, strict=True)]

    def blame(self, compiles, fail):
        """After a failed compilation: call `fail` for the first formula that does not compile by itself, if any."""
        for (tex, _, _, place), code in zip(self.all, self.set(fail), strict=True):
            if not compiles(code):
                fail(_cannot(tex, "Typst refuses it; write it with simpler LaTeX commands"), place)


def displayed(latex):
    """What a cell displays as LaTeX, such as an expression of SymPy's, as Markdown: a formula on a line of its own."""
    return re.sub(r"^\$+\s*(?:\\displaystyle)?(.*?)\$+$", r"$$\1$$", latex.strip(), flags=re.S)


def refusal(tex, warning):
    """What is wrong with a formula that pandoc does not understand, by its warning, and the remedy."""
    macro = re.search(r"unexpected control sequence (\\\S+)", warning)
    why = f"the macro {macro[1]} is unknown" if macro else "its LaTeX is incomplete or not supported"
    return _cannot(tex, f"{why}; write it with standard LaTeX commands")


def _cannot(tex, why):
    return f"the formula ${' '.join(tex.split())}$ cannot be printed: {why}"


def paragraph(tex, display, change):
    """A formula, after `change`, as a paragraph of pandoc's tree."""
    kind = {"t": "DisplayMath" if display else "InlineMath"}
    return {"t": "Para", "c": [{"t": "Math", "c": [kind, change(split_tag(tex)[0])]}]}


def split_tag(tex):
    r"""(formula, tag): a single \tag is set at the margin, several stay in their lines."""
    tags = re.findall(r"\\tag\*?\{([^}]*)\}", tex)
    if len(tags) == 1:
        return re.sub(r"\s*\\tag\*?\{[^}]*\}", "", tex), tags[0]
    return re.sub(r"\\tag\*?\{([^}]*)\}", r"\\qquad\\text{(\1)}", tex), None


def simplified(tex):
    """TeX with what pandoc knows for what it does not: no numbers, which nobody reads here, and no colours."""
    tex = ARRAY.sub(_plain_columns, tex)
    tex = re.sub(r"\\require\s*\{[^{}]*\}", "", tex)
    tex = re.sub(r"\\label\{[^}]*\}|\\nonumber\b|\\notag\b", "", tex)
    tex = re.sub(r"\\\\\s*((?:\\hline\s*)+)(?=\\end\{)", r"\1", tex)  # which makes no row below the rule
    tex = re.sub(r"\\cfrac\s*(?:\[\w\])?(?![a-zA-Z])", r"\\dfrac", tex)
    tex = re.sub(r"\\(?:text)?color\s*(?:\[\w+\])?\{[^{}]*\}|\\bbox\s*(?:\[[^\]]*\])?(?=\{)", "", tex)
    tex = re.sub(r"\\(?:colorbox\s*\{[^{}]*\}|fcolorbox\s*\{[^{}]*\}\s*\{[^{}]*\})\s*\{", r"\\text{", tex)
    return TEXT.sub(lambda found: re.sub(r"\\([%&#_])", lambda sign: _HELD[sign[1]], found[0]), tex)


def _plain_columns(found):
    """The head of an array with nothing but l, c, r and single rules."""
    columns = re.sub(r"\*\{(\d\d?)\}\{([^{}]*)\}", lambda times: int(times[1]) * times[2], found[1])
    columns = re.sub(r"[pmb]\{[^{}]*\}", "l", re.sub(r"[@!><]\{[^{}]*\}", "", columns))
    return rf"\begin{{array}}{{{re.sub(r'[|:]+', '|', columns)}}}"


def released(code, change=str):
    """Code with the signs that `simplified` kept from pandoc, which loses blanks behind them, escaped by `change`."""
    return HELD.sub(lambda found: change(SIGNS[ord(found[0]) - 0xE010]), code)


def rules(tex):
    r"""[(environment, rows above its \hlines, columns left of its rules), …] of all that is set in rows, in order."""
    tex = ARRAY.sub(_plain_columns, tex)
    found, inside = [], []
    for part in re.finditer(r"\\begin\{(\w+\*?)\}(?:\{([^{}]*)\})?|\\substack\b|\\end\{|(\\\\)|\\hline\b", tex):
        if part[1] or part[0] == r"\substack":
            columns = re.sub(r"[^lcr|]", "", part[2] or "") if part[1] == "array" else ""
            upright = [len(columns[:i].replace("|", "")) for i, sign in enumerate(columns) if sign == "|"]
            found.append((part[1] or "substack", [], upright))
            inside += [[found[-1][1], 0]] if part[1] else []
        elif inside and part[3]:
            inside[-1][1] += 1
        elif inside and part[0] == r"\hline":
            inside[-1][0].append(inside[-1][1])
        elif inside:
            inside.pop()
    return found


def prepare(tex):
    """TeX without what would come out wrong."""
    tex = simplified(tex).replace("\\!", "")
    tex = re.sub(r"\\;", r"\\:", tex)
    tex = re.sub(r"\\underset\{([^{}]*)\}\{\\operatorname\{([^{}]*)\}\}", r"\\operatorname*{\2}_{\1}", tex)
    tex = re.sub(r"\\operatorname\*\s*\{([^{}]*)\}", r"\\operatorname{QOPLIM\1}", tex)
    tex = re.sub(r"\\operatorname\s*\{(?!QOP)([^{}]*)\}", r"\\operatorname{QOP\1}", tex)
    if "Bmatrix" not in tex:  # an array without brackets is a matrix whose brackets are taken away by `repair`
        tex = re.sub(r"\\begin\{array\}\{[^}]*\}|\\begin\{matrix\}", r"\\begin{Bmatrix}", tex)
        tex = re.sub(r"\\end\{(array|matrix)\}", r"\\end{Bmatrix}", tex)
    tex = re.sub(r"\\left\s*\.", r"\\left\\ulcorner ", re.sub(r"\\right\s*\.", r"\\right\\urcorner ", tex))
    parts = NORM.split(tex)
    text, i = parts[0], 1
    while i < len(parts):  # two signs with balanced brackets between them are a norm, others a relation as in KL(q‖p)
        if i + 1 < len(parts) and _balanced(parts[i]):
            text += rf"\lVert {parts[i]}\rVert {parts[i + 1]}"
            i += 2
        else:
            text += rf"\|{parts[i]}"
            i += 1
    return text


def _balanced(tex):
    depth = 0
    for bracket in re.findall(r"[()\[\]{}]", tex):
        depth += 1 if bracket in "([{" else -1
        if depth < 0:
            return False
    return depth == 0


def _open_matrix(across, upright):
    lines = f"augment: #(hline: {array(across)}, vline: {array(upright)}), " if across or upright else ""
    return f"mat(delim: #none, column-gap: #1em, {lines}"


def repair(code, tex):
    """Typst code with operators, large brackets, cases and determinants as TeX means them."""
    code = re.sub(r'"QOPLIM([^"]*)"', r'op("\1", limits: #true)', code)
    code = re.sub(r'"QOP([^"]*)"', r'op("\1")', code)
    code = code.replace('cases(delim: "{", ', "texcases(")
    if "Bmatrix" not in tex:
        drawn = [lines for kind, *lines in rules(tex) if kind in ("array", "matrix")]
        drawn = iter(drawn if len(drawn) == code.count('mat(delim: "{", ') else [])
        code = re.sub(r'mat\(delim: "\{", ', lambda _: _open_matrix(*next(drawn, ([], []))), code)
    code = code.replace('delim: "||"', 'delim: "‖"' if "{Vmatrix}" in tex else 'delim: "|"')
    code = re.sub(r"⌜([^⌜]*?)\\\|", r"lr(\1 |)", re.sub(r"\{([^{}]*)⌝", r"lr(\{ \1)", code))  # \left. and \right.
    code = re.sub("[⌜⌝]", "", code)
    code = re.sub("∥([^∥]*)∥", r"lr(bar.v.double \1 bar.v.double)", code)  # \left\lVert and \right\rVert
    names = {"parallel": "bar.v.double", "\\|": "bar.v", "{": "\\{", "}": "\\}"}
    classes = iter(re.findall(r"\\[bB]igg?([lrm]?)(?![A-Za-z])", tex))

    def bracket(found):  # \bigl( and its kin
        kind = {"l": "opening", "r": "closing"}.get(next(classes, ""), "fence")
        large = f"lr(size: #{int(found[1]) / 100:g}em, {names.get(found[2], found[2])})"
        return "" if found[2] == "." else f'class("{kind}", {large})'

    return released(re.sub(r"#scale\(x: (\d+)%, y: \d+%\)\[(\\?.|[a-z.]+)\]", bracket, code))
