"""The parallel scan against the loop it replaces."""

import pytest
import torch

from lib.models import MinGRU, linear_scan


@pytest.mark.parametrize("T", [1, 2, 3, 7, 8, 9, 100])
def test_scan_equals_the_loop(T):
    a = torch.rand(2, T, 3, dtype=torch.float64, requires_grad=True)
    b = torch.randn(2, T, 3, dtype=torch.float64, requires_grad=True)
    h, states = torch.zeros(2, 3, dtype=torch.float64), []
    for t in range(T):
        h = a[:, t] * h + b[:, t]
        states.append(h)
    loop, scan = torch.stack(states, 1), linear_scan(a, b)
    torch.testing.assert_close(scan, loop, rtol=1e-10, atol=1e-13)
    weights = torch.randn_like(loop)
    left, right = (
        torch.autograd.grad((h * weights).sum(), [a, b], materialize_grads=True)  # for T = 1 no decay is used
        for h in (scan, loop)
    )
    for name, ours, theirs in zip("ab", left, right, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-13, msg=f"the gradient of {name} differs")


@pytest.mark.parametrize("T", [1, 2, 19, 100])
@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("forget_bias", [0.0, 4.0])
def test_mingru_equals_its_sequential_form(T, num_layers, forget_bias):
    model = MinGRU(5, 8, 3, num_layers, forget_bias=forget_bias).double()
    x = torch.randn(2, T, 5, dtype=torch.float64, requires_grad=True)
    scan, loop = model(x), model.sequential(x)
    assert scan.shape == (2, 3)
    torch.testing.assert_close(scan, loop, rtol=1e-10, atol=1e-13)
    variables = [x, *model.parameters()]
    left, right = (torch.autograd.grad(y.square().sum(), variables) for y in (scan, loop))
    for ours, theirs in zip(left, right, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("forget_bias", [-40.0, 0.0, 6.9, 40.0])
def test_mingru_stays_finite_over_a_thousand_steps(forget_bias):
    torch.manual_seed(0)
    model = MinGRU(5, 8, 3, forget_bias=forget_bias)
    x = torch.randn(2, 1000, 5, requires_grad=True)
    output = model(x)
    gradient = torch.autograd.grad(output.sum(), x)[0]
    assert output.isfinite().all() and gradient.isfinite().all()
    exact = model.double()(x.double())
    torch.testing.assert_close(output.double(), exact, rtol=1e-3, atol=1e-4)


def test_forget_bias_sets_the_length_of_memory():
    torch.manual_seed(0)
    reach = []
    for forget_bias in (0.0, 6.0):
        model = MinGRU(5, 32, 3, forget_bias=forget_bias)
        x = torch.randn(1, 200, 5, requires_grad=True)
        reach.append(torch.autograd.grad(model(x).sum(), x)[0][0, 0].norm())
    assert reach[0] < 1e-6 < reach[1], "with gates half open the first of 200 steps is lost, with bias 6 it is not"


def test_chrono_spreads_the_time_scales():
    model = MinGRU(5, 2000, 3, forget_bias="chrono", max_length=100)
    lengths = torch.exp(-model.layers[0].linear.bias[:2000])
    assert lengths.min() >= 1 - 1e-4 and lengths.max() <= 99 + 1e-3 and 45 < lengths.mean() < 55


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="max_length >= 3"):
        MinGRU(5, 8, 3, forget_bias="chrono")
    with pytest.raises(ValueError, match="number or 'chrono'"):
        MinGRU(5, 8, 3, forget_bias="long")
    for run in (MinGRU(5, 8, 3), MinGRU(5, 8, 3).sequential):
        with pytest.raises(ValueError, match="built for 5"):
            run(torch.zeros(2, 5, 30))
