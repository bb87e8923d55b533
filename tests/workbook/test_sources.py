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
            raise ValueError("too small")

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


def test_a_method_stands_alone_and_says_whose_it_is():
    place, code = sources.shown(VanillaRNN.forward, brief=True)
    assert place == "`lib.models.vanilla`, of `VanillaRNN`"
    assert code.startswith("def forward(self") and "check_sequence" not in code and '"""' not in code
    assert "states.append(h)" in code


def test_whole_sources_stay_whole():
    place, code = sources.shown(VanillaRNN, brief=False)
    assert place == "`lib.models.vanilla`" and '"""' in code and "check_sequence" in code


@pytest.mark.parametrize("item", exercises.items())
def test_every_exercise_has_its_definitions(item):
    assert set(exercises.items()[item]) == {"title", "definitions"}
    for definition in exercises.definitions(item):
        assert sources.shown(definition, brief=True)[1]


def test_an_exercise_that_does_not_exist():
    with pytest.raises(UsageError, match="no exercise 'P99'; there are P2, P6"):
        exercises.definitions("P99")


def test_a_definition_that_does_not_exist(monkeypatch):
    monkeypatch.setattr(exercises, "items", lambda: {"P2": {"definitions": ["lib.models.NoSuchModel"]}})
    with pytest.raises(UsageError, match="item P2: .*NoSuchModel"):
        exercises.definitions("P2")
