"""What a parameter's value may be, and how what is typed is read."""

import pytest

from lib.workbook.values import Parameter, parameters_of

CODE = """import os
steps = 3  # epochs
margin = 4  # pixels, or 0
seconds: float = 200  # of CPU time
rate = 1e-3
weights: list[float] = [0, 4]
noise = 0.2
seeds = [0, 1, 2]
lengths = [5, 10]
rates = [1e-3, 3e-3]
names = ["moons", "rings"]  # densities
overrides = []
sizes = {"RNN": 34, "LSTM": 16}
grid = {  # sizes
    "LSTM": [{"hidden": 96}, {"hidden": 256}],
}
changes = {}
own = "2D"  # any text, or the path of a picture
source = "tale"  # the text: "tale", "shakespeare", or the path of a text file
shown = True
retrain = False  # True: the headline models; "all": everything
computed = 2 * steps
a, b = 1, 2
"""
KNOWN = parameters_of(CODE)


def test_what_the_code_sets():
    names = "steps margin seconds rate weights noise seeds lengths rates names overrides sizes grid changes own source"
    assert [*KNOWN] == [*names.split(), "shown", "retrain", "computed"]
    assert KNOWN["steps"] == Parameter("3", 3, "# epochs") and KNOWN["grid"].comment.strip() == "# sizes"
    assert KNOWN["computed"].default is None and type(KNOWN["seconds"].default) is float
    assert KNOWN["seconds"].source == "200", "the value itself stays as it is"
    assert [name for name in KNOWN if KNOWN[name].is_path()] == ["own", "source"]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("rate", "1e-3", 1e-3), ("rate", "2", 2), ("rate", " .5", 0.5), ("noise", "0", 0),
        ("steps", "10_000", 10_000), ("steps", "0x10", 16), ("steps", "1e4", 10_000), ("margin", "0", 0),
        ("seconds", "0.1", 0.1), ("weights", "[0, 4.5]", [0, 4.5]), ("weights", "[4]", [4]),
        ("rates", "[1e-3, 3e-3]", [1e-3, 3e-3]), ("rates", "[1]", [1]),
        ("seeds", "[0, 7]", [0, 7]), ("seeds", "0, 7", [0, 7]), ("seeds", "[1e1]", [10]),
        ("names", "['moons']", ["moons"]), ("names", "[moons, own]", ["moons", "own"]),
        ("overrides", "[training.steps=5000, seed=3]", ["training.steps=5000", "seed=3"]), ("overrides", "[]", []),
        ("sizes", "{'RNN': 3, 'LSTM': 4}", {"RNN": 3, "LSTM": 4}),
        ("own", "no", "no"), ("own", "010", "010"), ("own", "true", "true"), ("own", "'a b'", "a b"), ("own", "3", "3"),
        ("own", "it's", "it's"), ("own", "a: b", "a: b"), ("own", "# a", "# a"), ("own", "", ""),
        ("shown", "false", False), ("retrain", "True", True), ("retrain", "all", "all"), ("computed", "x", "x"),
    ],
)  # fmt: skip
def test_what_is_typed_is_read_as_python_reads_it(name, text, value):
    found = KNOWN[name].read(text)
    assert found == value and type(found) is type(value) and KNOWN[name].takes(found)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("steps", "010"), ("steps", "0"), ("steps", "-3"), ("steps", "2.5"), ("steps", "'3'x"), ("steps", "True"),
        ("steps", "many"), ("margin", "-1"), ("margin", "0.0x"), ("rate", "-1e-3"), ("rate", "1e999"), ("rate", "nan"),
        ("rate", "fast"), ("rate", "1e-3x"), ("rates", "1e-3"), ("rates", "[]"), ("rates", "[x]"), ("seeds", "3"),
        ("seeds", "[]"), ("seeds", "[[1]]"), ("lengths", "[0]"), ("names", "[1, 2]"), ("names", "moons"),
        ("overrides", "seed=3"), ("sizes", "{'RNN': 3}"), ("sizes", "{'RNN': 3, 'LSTM': 0}"), ("sizes", "[3]"),
        ("shown", "no"), ("shown", "1"), ("retrain", "yes"), ("retrain", "1"), ("changes", "x"),
    ],
)  # fmt: skip
def test_what_the_notebook_cannot_use_is_not_taken(name, text):
    assert not KNOWN[name].takes(KNOWN[name].read(text))


@pytest.mark.parametrize(
    ("name", "value", "settled"),
    [("rate", "1e-3", 1e-3), ("rates", ["1e-3", 1], [1e-3, 1]), ("steps", 1e4, 10_000), ("own", "1e-3", "1e-3")],
)
def test_numbers_that_yaml_takes_for_texts(name, value, settled):
    assert KNOWN[name].settled(value) == settled and KNOWN[name].takes(settled)


def test_what_is_wanted_is_said():
    assert KNOWN["steps"].wanted() == "a whole number above 0, such as 3"
    assert KNOWN["sizes"].wanted() == "a mapping, such as {'RNN': 34, 'LSTM': 16}"
    assert KNOWN["computed"].wanted() == "a plain value, such as 2 * steps"
