"""Source code as a notebook shows it."""

import pytest

from lib.models import VanillaRNN
from lib.workbook import exercises, sources
from lib.workbook.notebooks import UsageError

LONG = '''class Cell(Base):
    """A cell.

    With a long text.
    """

    def __init__(self, size: int):
        """Make it."""
        # no sense otherwise
        if size < 1:
            found = f"a size of {size}"
            raise ValueError(found)

        super().__init__()  # a comment of its own

        check_size(size)
        if size > 9:
            self.large = True
        else:
            raise ValueError

    def only_text(self):
        """What a subclass does."""

    def forward(self, x):
        assert x.dim() == 3
        # (B, T, I) -> (B, T, H)
        return self.layer(x)
'''
SHORT = '''class Cell(Base):
    def __init__(self, size: int):
        super().__init__()  # a comment of its own

        if size > 9:
            self.large = True
        else:
            raise ValueError

    def only_text(self):
        """What a subclass does."""

    def forward(self, x):
        # (B, T, I) -> (B, T, H)
        return self.layer(x)'''


def test_without_docstrings_and_checks():
    assert sources.without_checks(LONG) == SHORT


def test_without_the_methods_that_are_given():
    code = sources.without_methods(SHORT, ["only_text", "forward"])
    assert code.startswith("class Cell(Base):\n    def __init__") and code.endswith("        raise ValueError")
    assert sources.without_methods(SHORT, []) == SHORT


def test_a_method_stands_alone_and_says_whose_it_is():
    place, code = sources.shown(VanillaRNN.forward)
    code = sources.without_checks(code)
    assert place == "`lib.models.vanilla`, of `VanillaRNN`"
    assert code.startswith("def forward(self") and "check_sequence" not in code and '"""' not in code
    assert "states.append(h)" in code


def test_whole_sources_stay_whole():
    place, code = sources.shown(VanillaRNN)
    assert place == "`lib.models.vanilla`" and '"""' in code and "check_sequence" in code


@pytest.mark.parametrize("item", exercises.items())
def test_every_exercise_has_its_definitions(item):
    assert {"title", "notebook"} <= set(exercises.item(item))
    definitions, given = exercises.answer(item)
    whole = "".join(sources.shown(definition)[1] for definition in definitions)
    assert whole or exercises.item(item)["answers"]
    assert all(f"def {name.rpartition('.')[2]}(" in whole for name in given)


def test_an_exercise_that_does_not_exist():
    with pytest.raises(UsageError, match="no exercise 'P99'; there are P2, P3"):
        exercises.answer("P99")


def test_a_definition_that_does_not_exist(monkeypatch):
    monkeypatch.setattr(exercises, "items", lambda: {"P2": {"definitions": ["lib.models.NoSuchModel"]}})
    with pytest.raises(UsageError, match="item P2: .*NoSuchModel"):
        exercises.answer("P2")
