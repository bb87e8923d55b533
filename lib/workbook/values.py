"""Values of a notebook's parameters: which ones a parameter takes, and how what was typed is read."""

import ast
import io
import math
import re
import tokenize
from dataclasses import dataclass

WORDS = {"true": True, "false": False, "null": None}


@dataclass(frozen=True)
class Parameter:
    """A variable of the cell tagged `parameters`.

    Attributes:
        source: its value as it stands there.
        default: the value; None where that is no literal. With the annotation `float` or `list[float]` it may have
            fractions.
        comment: what stands behind it. It may allow more values than are like the default: texts that it names in
            double quotes, and 0 where it speaks of it. One that speaks of a path, file or folder makes a text one;
            "any text" allows others.
    """

    source: str
    default: object
    comment: str

    def read(self, text):
        """The value that was typed as a text, as Python reads it; of a text the quotation marks may be left out."""
        value = _literal(text)
        if isinstance(self.default, str):
            return value if isinstance(value, str) else text.strip()
        if value == text.strip() and re.fullmatch(r"\[[^][{}'\"]*]", value):  # nor do plain words in a list need any
            value = [_literal(part) for part in value[1:-1].split(",") if part.strip()]
        return self.settled(value)

    def settled(self, value):
        """The value as the notebook gets it: 1e4 is 10000 where a whole number is wanted, and so is a text "1e4", as
        which YAML reads this.
        """
        return _settled(value, self.default)

    def takes(self, value):
        """Whether the notebook can use a value: it is like the default, or the comment names it."""
        zero = value == 0 and type(value) is type(self.default) and bool(re.search(r"\b0\b", self.comment))
        return zero or self.names(value) or _fits(value, self.default)

    def names(self, value):
        """Whether a text is the default or one that the comment names."""
        return isinstance(value, str) and (value == self.default or f'"{value}"' in self.comment)

    def is_path(self):
        """Whether it takes the path of a file or folder."""
        return isinstance(self.default, str) and bool(re.search(r"\b(path|file|folder)\b", self.comment))

    def wanted(self):
        """What a value has to be, in words."""
        kinds = {bool: "True or False", int: "a whole number", float: "a number", str: "a text", list: "a list"}
        kind = (kinds | {dict: "a mapping"}).get(type(self.default), "a plain value")
        positive = " above 0" if kind == "a whole number" and self.default > 0 else ""
        return f"{kind}{positive}, such as {self.source[:100]}"


def parameters_of(source):
    """The parameters that a piece of code sets: {name: Parameter}. Raises SyntaxError, with the line."""
    comments = {}
    nodes = ast.parse(source).body
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            comments[token.start[0]] = token.string
    found = {}
    for node in nodes:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            comment = " ".join(comments.get(line, "") for line in range(node.lineno, node.end_lineno + 1))
            default = _literal(ast.unparse(node.value), None)
            annotation = ast.unparse(node.annotation) if isinstance(node, ast.AnnAssign) else ""
            if annotation == "float" and type(default) is int:
                default = float(default)
            if annotation == "list[float]" and isinstance(default, list):
                default = [float(item) for item in default]
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name):
                    found[target.id] = Parameter(ast.unparse(node.value), default, comment)
    return found


def _literal(text, *otherwise):
    """What a text means in Python, with YAML's true, false and null; if nothing, `otherwise`, by default the text."""
    text = text.strip()
    try:
        value = ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return otherwise[0] if otherwise else WORDS.get(text.lower(), text)
    return [*value] if isinstance(value, tuple) else value


def _settled(value, default):
    if isinstance(value, str) and default is not None and not isinstance(default, str):
        value = _literal(value)
    if type(default) is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list) and isinstance(default, list) and default:
        return [_settled(item, default[0]) for item in value]
    return value


def _fits(value, default):
    """Whether a value is of the default's kind, and as far from empty or negative."""
    if default is None:
        return True
    if isinstance(default, (bool, str)) or isinstance(value, bool):
        return type(value) is type(default)
    if isinstance(default, int):
        return isinstance(value, int) and (value > 0 or default <= 0)
    if isinstance(default, float):
        finite = isinstance(value, int) or isinstance(value, float) and math.isfinite(value)
        return finite and (value >= 0 or default < 0)
    if isinstance(default, list) and isinstance(value, list):
        return not default or bool(value) and all(any(_fits(item, known) for known in default) for item in value)
    if isinstance(default, dict) and isinstance(value, dict):
        return all(key in value and _fits(value[key], default[key]) for key in default)
    return False
