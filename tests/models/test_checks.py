"""The message for an input of the wrong kind names what is wrong and what to do."""

import pytest
import torch

from lib.models.checks import check_sequence


@pytest.mark.parametrize("x", [torch.zeros(2, 5, 3), torch.zeros(1, 1, 3, dtype=torch.float64), torch.zeros(0, 5, 3)])
def test_sequences_of_the_right_kind_pass(x):
    check_sequence(x, 3)
    check_sequence(x.transpose(1, 2), 3, "(B, C, T)")


@pytest.mark.parametrize(
    ("x", "layout", "message"),
    [
        (torch.zeros(5, 3), "(B, T, I)", r"three axes \(B, T, I\), but its shape is \(5, 3\): use x.unsqueeze\(0\)"),
        (torch.zeros(2, 5, 4), "(B, T, I)", r"4 features on axis 2 of \(B, T, I\), but the model was built for 3"),
        (torch.zeros(2, 5, 3), "(B, C, T)", r"5 features on axis 1 of \(B, C, T\), but the model was built for 3"),
        (torch.zeros(2, 0, 3), "(B, T, I)", "no time steps: give at least one"),
    ],
)
def test_other_shapes_are_refused(x, layout, message):
    with pytest.raises(ValueError, match=message):
        check_sequence(x, 3, layout)


def test_whole_numbers_are_refused():
    with pytest.raises(TypeError, match="but is torch.int64: encode symbols one-hot"):
        check_sequence(torch.zeros(2, 5, 3, dtype=torch.long), 3)
