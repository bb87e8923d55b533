"""The linear recurrent unit: its scan against the loop, and where its eigenvalues lie."""

import math

import pytest
import torch

from lib.models import LRU, LRULayer, linear_scan
from lib.models.lru import constant_scan


def assert_same(ours, theirs, what):
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12, msg=lambda text: f"{what} differs: {text}")


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("T", [1, 2, 3, 7, 8, 9, 100])
def test_scan_with_constant_decay_equals_the_loop_and_the_general_scan(T, dtype):
    decay = torch.polar(torch.rand(3, dtype=torch.float64), torch.randn(3, dtype=torch.float64))
    decay = (decay if dtype.is_complex else decay.real).detach().requires_grad_()
    b = torch.randn(2, T, 3, dtype=dtype, requires_grad=True)
    h, states = torch.zeros(2, 3, dtype=dtype), []
    for t in range(T):
        h = decay * h + b[:, t]
        states.append(h)
    loop, scan, general = torch.stack(states, 1), constant_scan(decay, b), linear_scan(decay.expand(2, T, 3), b)
    weights = torch.randn_like(loop)
    expected = torch.autograd.grad((loop * weights).abs().sum(), [decay, b], materialize_grads=True)
    for form, result in {"the scan": scan, "the general scan": general}.items():
        assert_same(result, loop, form)
        got = torch.autograd.grad((result * weights).abs().sum(), [decay, b], materialize_grads=True)
        for name, ours, theirs in zip(["λ", "b"], got, expected, strict=True):
            assert_same(ours, theirs, f"{form}'s gradient of {name}")


@pytest.mark.parametrize("T", [1, 2, 19, 100])
@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("radii", [(0.0, 0.99), (0.9, 0.999)])
def test_equals_its_sequential_form(T, num_layers, radii):
    torch.manual_seed(0)
    model = LRU(5, 8, 3, num_layers, *radii).double()
    x = torch.randn(2, T, 5, dtype=torch.float64, requires_grad=True)
    scan, loop = model(x), model.sequential(x)
    assert scan.shape == (2, 3)
    assert_same(scan, loop, "the output")
    names, parameters = zip(*model.named_parameters(), strict=True)
    left, right = (
        torch.autograd.grad(y.square().sum(), [x, *parameters], materialize_grads=True)  # for T = 1 λ turns nothing
        for y in (scan, loop)
    )
    for name, ours, theirs in zip(["x", *names], left, right, strict=True):
        assert_same(ours, theirs, f"the gradient of {name}")


def test_the_layer_follows_the_equations():
    """With complex matrices written out, and the state carried from step to step."""
    torch.manual_seed(0)
    layer = LRULayer(3, 4).double()
    x = torch.randn(2, 6, 3, dtype=torch.float64)
    decay = torch.exp(torch.complex(-torch.exp(layer.nu), torch.exp(layer.theta)))
    W, C = torch.complex(*layer.W.chunk(2, dim=0)), torch.complex(layer.C[:, :4], -layer.C[:, 4:])
    gamma = torch.sqrt(1 - decay.abs() ** 2)
    h, outputs = torch.zeros(2, 4, dtype=torch.complex128), []
    for x_t in x.unbind(1):
        h = decay * h + gamma * (x_t.to(W.dtype) @ W.T)
        outputs.append((h @ C.T).real + layer.d * x_t)
    assert_same(layer(x), torch.stack(outputs, 1), "the output")


def test_gradients_agree_with_finite_differences():
    torch.manual_seed(0)
    layer = LRULayer(2, 3).double()
    names, values = zip(*layer.named_parameters(), strict=True)
    x = torch.randn(2, 5, 2, dtype=torch.float64, requires_grad=True)

    def run(x, *values):
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), x)

    assert torch.autograd.gradcheck(run, (x, *values))


@pytest.mark.parametrize(("r_min", "r_max", "max_phase"), [(0, 0.99, 2 * math.pi), (0.9, 0.999, 0.3), (0.5, 0.6, 3)])
def test_eigenvalues_start_on_the_ring(r_min, r_max, max_phase):
    torch.manual_seed(0)
    decay = LRULayer(1, 5000, r_min, r_max, max_phase).double().decay().detach()
    radius, angle = decay.abs(), decay.angle().remainder(2 * math.pi)
    assert radius.min() >= r_min - 1e-6 and radius.max() <= r_max + 1e-6
    assert angle.max() <= max_phase + 1e-5
    # Evenly spread over the area: the squared radius and the angle are uniform and independent of each other.
    squares = (radius**2 - r_min**2) / (r_max**2 - r_min**2)
    for uniform in (squares, angle / max_phase):
        quantiles = torch.quantile(uniform, torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64))
        assert (quantiles - torch.tensor([0.25, 0.5, 0.75])).abs().max() < 0.03
    assert torch.corrcoef(torch.stack([squares, angle]))[0, 1].abs() < 0.05


def test_initial_values_are_finite_at_the_ends_of_the_range(monkeypatch):
    for drawn in (torch.zeros, torch.ones):
        with monkeypatch.context() as patch:
            patch.setattr(torch, "rand", drawn)
            for radii in ((0.0, 0.99), (0.9, 1 - 1e-12)):
                layer = LRULayer(3, 4, *radii)
                assert layer.nu.isfinite().all() and layer.theta.isfinite().all() and (layer.decay().abs() < 1).all()


def test_no_parameter_makes_the_state_explode():
    layer = LRULayer(3, 4)
    with torch.no_grad():
        layer.nu.copy_(torch.tensor([-5.0, -1.0, 0.0, 5.0]))
        layer.theta.copy_(torch.tensor([-5.0, 0.0, 5.0, 50.0]))
    assert (layer.decay().abs() < 1).all()
    assert layer(torch.ones(1, 3000, 3)).isfinite().all()


def test_the_state_keeps_its_size_whatever_the_decay():
    """For independent inputs of variance 1, Σ_j |W_ij|² is 1 on average, and so is the variance of the state."""
    torch.manual_seed(0)
    for r in (0.1, 0.9, 0.98):
        layer = LRULayer(64, 256, r, r + 0.001)
        x = torch.randn(16, 500, 64)
        h = constant_scan(layer.decay(), layer.input(x))[:, -1].detach()
        assert 0.85 < h.abs().square().mean() < 1.15


def test_stays_finite_over_a_thousand_steps():
    torch.manual_seed(0)
    model = LRU(5, 8, 3, r_min=0.9, r_max=0.999)
    x = torch.randn(2, 1000, 5, requires_grad=True)
    output = model(x)
    gradients = torch.autograd.grad(output.sum(), [x, *model.parameters()])
    assert output.isfinite().all() and all(gradient.isfinite().all() for gradient in gradients)
    torch.testing.assert_close(output.double(), model.double()(x.double()), rtol=1e-3, atol=1e-3)


def test_bad_input_is_named():
    for radii in ((-0.1, 0.9), (0.9, 0.9), (0.5, 1.0)):
        with pytest.raises(ValueError, match="r_min < r_max < 1"):
            LRULayer(3, 4, *radii)
    for phase in (0.0, 7.0):
        with pytest.raises(ValueError, match="max_phase"):
            LRULayer(3, 4, max_phase=phase)
    with pytest.raises(ValueError, match="num_layers"):
        LRU(5, 8, 3, num_layers=0)
    for run in (LRU(5, 8, 3), LRU(5, 8, 3).sequential):
        with pytest.raises(ValueError, match="built for 5"):
            run(torch.zeros(2, 5, 30))
        with pytest.raises(TypeError, match="floating point"):
            run(torch.zeros(2, 30, 5, dtype=torch.long))
