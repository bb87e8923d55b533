"""Disentanglement scores, on codes whose answers are known."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import mutual_info_score

from lib.metrics.disentanglement import dci, mig, mutual_information, sap

SCORES = {
    "MIG": lambda codes, factors: mig(codes, factors).score,
    "disentanglement": lambda codes, factors: dci(codes, factors).disentanglement,
    "completeness": lambda codes, factors: dci(codes, factors).completeness,
    "informativeness": lambda codes, factors: dci(codes, factors).informativeness,
    "SAP": lambda codes, factors: sap(codes, factors).score,
}
ALL = pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)


def make_factors(count=2000, seed=0):
    """Uniform, normal, two classes, five classes that are unequally frequent, exponential: (count, 5)."""
    rng = np.random.default_rng(seed)
    classes = rng.choice(5, count, p=[0.4, 0.3, 0.1, 0.1, 0.1])
    columns = [rng.uniform(-1, 1, count), rng.normal(size=count), rng.integers(0, 2, count), classes]
    return np.stack([*columns, rng.exponential(size=count)], axis=1)


def make_noise(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape)


def standardise(table):
    return (table - table.mean(0)) / table.std(0)


FACTORS = make_factors()


# --- codes with known answers ---------------------------------------------------------------------------------------


@ALL
def test_the_factors_themselves_are_a_perfect_code(score):
    assert score(FACTORS, FACTORS) == pytest.approx(1, abs=0.04), "1 but for what a finite number of examples costs"


@ALL
def test_order_scale_and_sign_of_the_latents_do_not_matter(score):
    order = [3, 0, 4, 2, 1]
    changed = FACTORS[:, order] * [-1, 100, 1e-3, 7, -0.5] + [5, -3, 0, 0, 1e3]
    assert score(changed, FACTORS) == pytest.approx(score(FACTORS, FACTORS), abs=0.01)


@ALL
def test_unused_latents_do_not_matter(score):
    codes = np.concatenate([FACTORS, make_noise(len(FACTORS), 4)], axis=1)
    assert score(codes, FACTORS) == pytest.approx(1, abs=0.04)


@ALL
def test_noise_is_worth_nothing(score):
    assert score(make_noise(len(FACTORS), 8), FACTORS) < 0.03


@ALL
def test_a_collapsed_code_is_worth_nothing_and_is_no_division_by_zero(score):
    assert score(np.ones((len(FACTORS), 4)), FACTORS) == 0


def test_a_pair_of_factors_turned_by_45_degrees_is_entangled_and_the_others_are_not():
    codes = standardise(FACTORS)
    codes[:, [0, 1]] = codes[:, [0, 1]] @ np.array([[1, 1], [1, -1]]) / math.sqrt(2)
    for name, per_factor in (("MIG", mig(codes, FACTORS).per_factor), ("SAP", sap(codes, FACTORS).per_factor)):
        assert per_factor[:2].max() < 0.05, f"{name} of the turned pair: both latents say equally much"
        assert per_factor[2:].min() > 0.93, f"{name} of the others"
    scores = dci(codes, FACTORS)
    mixed = 1 - math.log(2) / math.log(5)  # two of five share the importance equally
    assert scores.disentanglement_per_latent == pytest.approx([mixed, mixed, 1, 1, 1], abs=0.04)
    assert scores.completeness_per_factor == pytest.approx([mixed, mixed, 1, 1, 1], abs=0.04)
    assert scores.informativeness > 0.95, "entangled, but nothing is lost"


def test_of_two_factors_only_a_turn_by_45_degrees_leaves_nothing():
    pair = standardise(FACTORS[:, :2])
    codes = pair @ np.array([[1, 1], [1, -1]])
    scores = dci(codes, pair)
    values = [mig(codes, pair).score, sap(codes, pair).score, scores.disentanglement, scores.completeness]
    assert max(values) < 0.05, values


def test_a_factor_in_two_latents_has_no_gap_and_is_not_complete():
    codes = np.concatenate([FACTORS, FACTORS[:, :1]], axis=1)
    assert mig(codes, FACTORS).per_factor[0] == 0 and mig(codes, FACTORS).per_factor[1:].min() > 0.93
    assert sap(codes, FACTORS).per_factor[0] == 0 and sap(codes, FACTORS).per_factor[1:].min() > 0.93
    scores = dci(codes, FACTORS)
    assert scores.completeness_per_factor[0] == pytest.approx(1 - math.log(2) / math.log(6), abs=0.06), "log base D"
    assert scores.completeness_per_factor[1:].min() > 0.95
    assert scores.disentanglement > 0.95, "each of the two latents is still about one factor"


def test_two_factors_in_one_latent_are_complete_but_not_disentangled():
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 4, size=(2000, 2))
    mixed = 4 * factors[:, :1] + factors[:, 1:]  # 16 values, from which both factors can be read
    codes = np.concatenate([make_noise(2000, 3), mixed], axis=1)
    scores = dci(codes, factors)
    assert scores.completeness > 0.95 and scores.informativeness > 0.95
    assert scores.disentanglement < 0.05, "the only latent that is used says as much about either factor"
    assert mig(codes, factors).score > 0.9, "MIG does not see that the two factors share a latent"


@pytest.mark.parametrize(("num_latents", "num_factors"), [(7, 2), (3, 4)])
def test_the_logarithms_have_the_base_of_what_they_run_over(num_latents, num_factors):
    """A latent that is the sum of all factors is about all alike: D = 0, whatever the numbers of both."""
    factors = make_noise(2000, num_factors)
    codes = np.concatenate([factors.sum(1, keepdims=True), np.zeros((2000, num_latents - 1))], axis=1)
    scores = dci(codes, factors)
    assert scores.disentanglement == pytest.approx(0, abs=0.01)
    assert scores.completeness_per_factor == pytest.approx(np.ones(num_factors)), "one latent alone is all there is"
    assert scores.importance.shape == (num_latents, num_factors)


def test_a_weak_latent_among_noise_is_found():
    """The forest must not learn the noise by heart and spread the importance over it."""
    factors = make_noise(3000, 2)
    codes = np.concatenate([factors + make_noise(3000, 2, seed=2), make_noise(3000, 6, seed=3)], axis=1)
    scores = dci(codes, factors)
    assert scores.informativeness == pytest.approx(0.5, abs=0.06), "signal and noise are equally strong"
    assert scores.completeness > 0.8 and scores.disentanglement > 0.7, scores[:3]


def test_scores_grow_with_the_separation():
    pair = standardise(FACTORS[:, :2])
    turned = []
    for degrees in (45, 30, 15, 0):
        sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
        codes = pair @ np.array([[cosine, -sine], [sine, cosine]])
        scores = dci(codes, pair)
        turned.append((mig(codes, pair).score, scores.disentanglement, scores.completeness, sap(codes, pair).score))
    assert (np.diff(turned, axis=0) > 0.05).all(), np.round(turned, 2)


# --- mutual information ---------------------------------------------------------------------------------------------


def test_information_of_classes_equals_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 5, size=(500, 3))
    codes = factors[:, [2, 0]] + rng.integers(0, 3, size=(500, 2))
    information, entropies = mutual_information(codes, factors)
    assert information.shape == (2, 3)
    for i in range(2):
        for j in range(3):
            assert information[i, j] == pytest.approx(mutual_info_score(codes[:, i], factors[:, j]), abs=1e-10)
    assert entropies == pytest.approx([mutual_info_score(f, f) for f in factors.T], abs=1e-10)


@pytest.mark.parametrize("bins", [5, 20])
def test_a_continuous_factor_has_the_entropy_of_its_equally_filled_cells(bins):
    information, entropies = mutual_information(FACTORS, FACTORS, bins)
    for j in (0, 1, 4):
        assert entropies[j] == pytest.approx(math.log(bins), abs=1e-3)
    assert np.diag(information) == pytest.approx(entropies, abs=1e-3), "a variable tells all about itself"
    assert (information <= entropies + 1e-9).all() and (information >= 0).all()


def test_bends_that_keep_the_order_change_nothing():
    codes = make_noise(1000, 3) + FACTORS[:1000, :3]
    expected, _ = mutual_information(codes, FACTORS[:1000])
    bent, _ = mutual_information(np.exp(3 * codes), FACTORS[:1000])
    assert bent == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("correlation", [0.5, 0.9])
def test_information_of_correlated_normal_variables(correlation):
    """-½ ln(1 - ρ²); cells lose a little, the bias adds a little."""
    x, noise = make_noise(2, 50_000)
    y = correlation * x + math.sqrt(1 - correlation**2) * noise
    information, _ = mutual_information(x[:, None], y[:, None])
    assert information.item() == pytest.approx(-0.5 * math.log(1 - correlation**2), rel=0.05)


@pytest.mark.parametrize(("count", "bins"), [(1000, 20), (4000, 20), (4000, 10)])
def test_the_bias_is_what_the_docstring_says(count, bins):
    information, _ = mutual_information(make_noise(count, 8), make_noise(count, 8, seed=2), bins)
    bias = (bins - 1) ** 2 / (2 * count)  # Miller (1955)
    assert information.mean() == pytest.approx(bias, rel=0.13), "independent variables have an information of 0"


@pytest.mark.parametrize("count", [1000, 5000])
def test_the_bias_hardly_moves_the_gap_of_noise_and_lowers_that_of_a_perfect_code(count):
    factors = make_factors(count)
    assert mig(make_noise(count, 10), factors).score < 10 / count
    loss = 1 - mig(factors[:, [0, 1, 4]], factors[:, [0, 1, 4]]).per_factor
    assert loss == pytest.approx(19**2 / (2 * count * math.log(20)), rel=0.4), "(K - 1)(L - 1) / 2NH"


def test_a_variable_that_is_often_zero_and_else_continuous_is_divided_sensibly():
    rng = np.random.default_rng(0)
    factor = np.maximum(rng.normal(size=(2000, 1)), 0)  # half of them 0
    information, entropies = mutual_information(factor, factor)
    assert information.item() == pytest.approx(entropies.item(), abs=1e-9)
    assert entropies.item() == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(20), abs=0.1)


# --- kinds of input -------------------------------------------------------------------------------------------------


@ALL
def test_tensors_are_taken_too_and_the_result_can_be_repeated(score):
    codes = torch.tensor(FACTORS[:300] + 0.3 * make_noise(300, 5), dtype=torch.float32, requires_grad=True)
    first = score(codes, torch.tensor(FACTORS[:300]))
    assert type(first) is float and 0 < first <= 1
    assert score(codes.detach().numpy(), FACTORS[:300]) == first


def test_which_factors_are_classes_can_be_said():
    rng = np.random.default_rng(0)
    factors = np.stack([rng.integers(0, 15, 1500), rng.integers(0, 2, 1500)], axis=1)
    codes = factors + 0.3 * make_noise(1500, 2)
    as_classes, as_numbers = (sap(codes, factors, discrete=[kind, True]) for kind in (True, False))
    assert as_numbers.scores[0, 0] == pytest.approx(np.corrcoef(codes[:, 0], factors[:, 0])[0, 1] ** 2)
    assert as_classes.scores[0, 0] != as_numbers.scores[0, 0] and as_classes.scores[0, 1] == as_numbers.scores[0, 1]
    assert sap(codes, factors).per_factor == pytest.approx(as_classes.per_factor), "15 values: classes by themselves"


def test_rare_classes_count_as_much_as_frequent_ones():
    rng = np.random.default_rng(0)
    rare = (rng.random(3000) < 0.05).astype(float)[:, None]
    factors = np.concatenate([rare, make_noise(3000, 1)], axis=1)
    always_the_frequent_one = make_noise(3000, 2, seed=2)
    assert sap(always_the_frequent_one, factors).scores[:, 0].max() < 0.15, "95 % right, but no better than chance"
    assert dci(always_the_frequent_one, factors).informativeness_per_factor[0] < 0.15
    assert sap(factors, factors).scores[0, 0] == 1 and dci(factors, factors).informativeness_per_factor[0] == 1


@pytest.mark.parametrize("function", [mutual_information, mig, dci, sap])
@pytest.mark.parametrize(
    ("codes", "factors", "message"),
    [
        (np.zeros((50, 3)), np.zeros((40, 2)), r"codes \(N, D\) and factors \(N, F\), got \(50, 3\) and \(40, 2\)"),
        (np.zeros(50), FACTORS[:50], r"got \(50,\)"),
        (np.zeros((50, 0)), FACTORS[:50], r"got \(50, 0\)"),
        (FACTORS[:19], FACTORS[:19], "at least 20 examples"),
        (FACTORS[:50], FACTORS[:50] * [1, 1, 1, 0, 1], "factor 3 has one value only"),
        (FACTORS[:50] / [1, 1, np.nan, 1, 1], FACTORS[:50], "the codes have values that are not finite, in column 2"),
        (FACTORS[:50], FACTORS[:50] * [1, np.inf, 1, 1, 1], "the factors have .* in column 1"),
    ],
)
def test_wrong_input_is_named(function, codes, factors, message):
    with pytest.raises(ValueError, match=message):
        function(codes, factors)


def test_wrong_options_are_named():
    for bins in (1, 60):
        with pytest.raises(ValueError, match=f"at least 2 bins and as many examples, got {bins} bins for 50"):
            mig(FACTORS[:50], FACTORS[:50], bins=bins)
    with pytest.raises(ValueError, match="for each of the 5 factors, got 2"):
        sap(FACTORS, FACTORS, discrete=[True, False])
    with pytest.raises(ValueError, match="two latents and two factors, got 1 and 5"):
        dci(FACTORS[:, :1], FACTORS)


def test_few_examples_give_numbers_all_the_same():
    scores = [score(FACTORS[:20], FACTORS[:20]) for score in SCORES.values()]
    assert np.isfinite(scores).all() and min(scores) >= 0 and max(scores) <= 1 + 1e-9
