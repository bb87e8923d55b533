"""Macros that formulas define. MathJax remembers them from cell to cell; pandoc reads every formula by itself."""

import re
from typing import NamedTuple

DEFINITION = re.compile(
    r"""\\(?P<kind>(?:new|renew|provide)command|DeclareMathOperator|[gex]?def|let)(?![a-zA-Z])(?P<star>\*?)
        \s*+\{?\s*+(?P<name>\\(?:[a-zA-Z]+|.))\s*+\}?\s*+
        (?:\[(?P<count>\d)\]\s*+(?:\[(?P<first>[^\]]*)\])?|(?P<places>(?:\#\d)+)|=)?\s*+""",
    re.X,
)
OPTIONAL = re.compile(r"\s*\[([^\]]*)\]")
NAME = re.compile(r"(\\(?:[a-zA-Z]+|.))")
MOST = 2000, 50_000  # replacements in a formula, and characters of it


class Macro(NamedTuple):
    """`count` arguments, of which the first may have a value that is taken where [] is missing."""

    count: int
    first: str | None
    body: str


def expanded(formulas, fail):
    """TeX of many formulas, in their order, without definitions and with what was defined in its place.

    A macro that is used before its definition has the first one. `fail(number)` is called for a formula whose macros
    have no end.
    """
    if not any(DEFINITION.search(tex) for tex in formulas):
        return formulas
    known, done = {}, []
    for tex in reversed(formulas):  # what a heading uses before the text defines it
        _without_definitions(tex, known)
    for number, tex in enumerate(formulas):
        tex = _without_definitions(tex, known)
        try:
            done.append(_replaced(tex, known))
        except RecursionError:
            fail(number)
    return done


def _without_definitions(tex, known):
    """The formula without its definitions, which go into `known`; one that nobody understands stays."""
    at = 0
    while found := DEFINITION.search(tex, at):
        kind, name, at = found["kind"], found["name"], found.end()
        if kind.endswith("def") and tex[at : at + 1] != "{":
            continue
        body, end = _group(tex, at)
        if kind == "DeclareMathOperator":
            body = rf"\operatorname{found['star']}{{{body}}}"
        macro = Macro(int(found["count"] or len(found["places"] or "") // 2), found["first"], body)
        if not (kind == "providecommand" and name in known):
            known[name] = known.get(body, macro) if kind == "let" else macro
        tex, at = tex[: found.start()] + tex[end:], found.start()
    return tex.strip()


def _group(tex, at):
    """(what stands in the braces at a place or the single sign there, where it ends)."""
    at += len(tex[at:]) - len(tex[at:].lstrip())
    if tex[at : at + 1] != "{":
        found = NAME.match(tex, at)
        return (found[1], found.end()) if found else (tex[at : at + 1], at + 1)
    depth = 0
    for found in re.compile(r"\\.|[{}]", re.S).finditer(tex, at):
        depth += {"{": 1, "}": -1}.get(found[0], 0)
        if depth == 0:
            return tex[at + 1 : found.start()], found.end()
    return tex[at + 1 :], len(tex)


def _replaced(tex, known):
    at = count = 0
    while found := NAME.search(tex, at):
        macro, end = known.get(found[1]), found.end()
        if macro is None:
            at = end
            continue
        arguments = []
        if macro.first is not None:
            option = OPTIONAL.match(tex, end)
            arguments, end = [option[1] if option else macro.first], option.end() if option else end
        while len(arguments) < macro.count:
            argument, end = _group(tex, end)
            arguments.append(argument)
        body = re.sub(r"#(\d)", lambda n, a=arguments: a[int(n[1]) - 1] if 0 < int(n[1]) <= len(a) else "", macro.body)
        gap = " " if re.search(r"\\[a-zA-Z]+$", body) and tex[end : end + 1].isalpha() else ""
        at, count = found.start(1), count + 1
        tex = tex[:at] + body + gap + tex[end:]
        if count > MOST[0] or len(tex) > MOST[1]:
            raise RecursionError
    return tex
