"""How well single latents stand for single known factors: mutual information, MIG, DCI and SAP.

Codes are the latents (N, D) of N examples, factors what the examples were made from (N, F); both are tensors or arrays.
All scores are about 0 for codes without order and 1 for codes that are the factors themselves, in any order and scale.

For an encoder that gives a mean and a variance, draw the codes from that normal distribution. The bare mean of a latent
that the prior has switched off still varies a little with the image, and no measure here sees how little.
"""

import math
from typing import NamedTuple

import numpy as np
import torch

MAX_CLASSES = 20  # a factor with more distinct values is continuous
MIN_EXAMPLES = 20  # for a number at all; for one that means something, thousands


class MIG(NamedTuple):
    """Mutual information gap: the mean, and per factor (F,)."""

    score: float
    per_factor: np.ndarray


class DCI(NamedTuple):
    """The three scores, what they are means of, and the importance of every latent for every factor (D, F)."""

    disentanglement: float
    completeness: float
    informativeness: float
    disentanglement_per_latent: np.ndarray  # (D,), 0 for a latent that is never used
    completeness_per_factor: np.ndarray  # (F,)
    informativeness_per_factor: np.ndarray  # (F,)
    importance: np.ndarray  # (D, F), every column adds up to 1, or is 0 if all latents are constant


class SAP(NamedTuple):
    """Separated attribute predictability: the mean, per factor (F,), and the scores of all latents (D, F)."""

    score: float
    per_factor: np.ndarray
    scores: np.ndarray


# --- mutual information and its gap ---------------------------------------------------------------------------------


def mutual_information(codes, factors, bins=20):
    """Mutual information of every latent with every factor, I(z; f) = Σ p(z, f) ln(p(z, f) / (p(z) p(f))), from
    histograms, and the entropy of every factor in the same histogram.

    A variable with at most `bins` distinct values has a cell for each; others are divided at their quantiles into
    `bins` cells of equal frequency, so that scale, outliers and monotone bends do not matter.

    The estimate is too large: independent variables with K and L cells give about (K - 1)(L - 1) / 2N nats in the mean
    (Miller, 1955), for 20 cells each 0.2 with 1,000 examples and 0.018 with 10,000, while their entropies are 3.0.

    Returns:
        Two float64 arrays in nats: information (D, F) and entropies (F,). I(z; f) is at most the entropy of f.

    Raises:
        ValueError: shapes do not fit, values are not finite, a factor is constant, or there are fewer than `bins`
            examples or than 2 bins.
    """
    codes, factors = _arrays(codes, factors)
    if not 2 <= bins <= len(codes):
        raise ValueError(f"need at least 2 bins and as many examples, got {bins} bins for {len(codes)} examples")
    latent_cells, factor_cells = ([_cells(column, bins) for column in table.T] for table in (codes, factors))
    information = [[_information(z, f) for f in factor_cells] for z in latent_cells]
    return np.array(information), np.array([_entropy(np.bincount(f)) for f in factor_cells])


def mig(codes, factors, bins=20):
    """Mutual information gap: how much more the best latent tells about a factor than the second best, as a share of
    the factor's entropy; 1 if one latent alone tells all. A factor spread over two latents equally gets 0.

    Source: Chen, Li, Grosse and Duvenaud (2018), "Isolating sources of disentanglement in variational autoencoders",
    section 4; there the information comes from the encoder's density, here from `mutual_information`, whose bias makes
    a perfect code lose about (K - 1)(L - 1) / 2NH, 6 % with 20 cells and 1,000 examples; a code of noise gains less
    than 1 %, since the bias of all latents is alike.

    Returns:
        `MIG`

    Raises:
        ValueError: see `mutual_information`.
    """
    information, entropies = mutual_information(codes, factors, bins)
    gaps = _gap(information) / entropies
    return MIG(gaps.mean().item(), gaps)


def _gap(scores):
    """The largest less the second largest value of every column, 0 standing in for a second row: (D, F) -> (F,)."""
    ranked = np.sort(np.concatenate([scores, np.zeros((1, scores.shape[1]))]), axis=0)
    return ranked[-1] - ranked[-2]


def _cells(column, bins):
    """The cell of the histogram that every value falls into: (N,) -> int (N,), from 0."""
    values, cells = np.unique(column, return_inverse=True)
    if len(values) <= bins:
        return cells
    borders = np.quantile(column, np.arange(1, bins) / bins)
    return np.searchsorted(np.unique(borders), column)  # a border belongs to the cell below: many zeros stay alone


def _information(left, right):
    """Mutual information of two columns of cells in nats."""
    counts = np.zeros((left.max() + 1, right.max() + 1))
    np.add.at(counts, (left, right), 1)
    return max(0.0, _entropy(counts.sum(1)) + _entropy(counts.sum(0)) - _entropy(counts.ravel()))


def _entropy(weights):
    """Entropy in nats of the distribution that is proportional to the weights."""
    shares = weights[weights > 0] / weights.sum()
    return -(shares * np.log(shares)).sum().item()


# --- prediction by all latents --------------------------------------------------------------------------------------


def dci(codes, factors, *, discrete=None, trees=20, seed=0):
    """Disentanglement, completeness and informativeness.

    For every factor a forest of scikit-learn's extremely randomised trees learns to predict it from all latents, on
    three quarters of the examples. R (D, F) holds the importance of latent i for factor j: by how much the splits at
    this latent lessen the impurity, as a share of what all latents do. Deep trees also learn noise by heart, which
    spreads the importance of what is hard to predict over all latents; a leaf therefore keeps 1 % of the examples.

    - disentanglement: D_i = 1 - H(R_i1, …, R_iF) / ln F is 1 for a latent that matters to one factor only, 0 for one
      that matters to all alike. The mean is weighted with the latents' share of all importance, so that unused latents
      do not count.
    - completeness: C_j = 1 - H(R_1j, …, R_Dj) / ln D is 1 for a factor that one latent captures.
    - informativeness: what the forest explains of the quarter it has not seen: R² for continuous factors; the balanced
      accuracy, stretched so that chance is 0, for discrete ones. At least 0. (In the paper it is an error.)

    Source: Eastwood and Williams (2018), "A framework for the quantitative evaluation of disentangled representations".

    Args:
        discrete: bool (F,), which factors are classes; None: those with at most 20 distinct values.
        trees: number of trees per forest. seed: of the division and the forests.

    Returns:
        `DCI`

    Raises:
        ValueError: see `mutual_information`; fewer than two latents or factors, for which nothing can be mixed up.
    """
    from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor  # slow to import
    from sklearn.metrics import r2_score

    codes, factors = _arrays(codes, factors)
    if codes.shape[1] < 2 or factors.shape[1] < 2:
        raise ValueError(f"need at least two latents and two factors, got {codes.shape[1]} and {factors.shape[1]}")
    train, test = _parts(len(codes), 0.75, seed)
    options = {
        "n_estimators": trees,
        "min_samples_leaf": max(5, len(train) // 100),
        "max_features": None,
        "random_state": seed,
    }
    importance, informativeness = [], []
    for target, is_class in zip(factors.T, _which_are_discrete(factors, discrete), strict=True):
        if is_class:
            forest = ExtraTreesClassifier(class_weight="balanced", **options)
            target = np.unique(target, return_inverse=True)[1]
        else:
            forest = ExtraTreesRegressor(**options)
        forest.fit(codes[train], target[train])
        predicted = forest.predict(codes[test])
        score = _above_chance(target[test], predicted) if is_class else r2_score(target[test], predicted)
        importance.append(forest.feature_importances_)
        informativeness.append(max(0.0, score))
    importance, informativeness = np.stack(importance, axis=1), np.array(informativeness)  # (D, F), (F,)
    per_latent, per_factor = _concentration(importance), _concentration(importance.T)
    weights = importance.sum(1) / max(importance.sum(), 1e-12)  # (D,)
    means = (weights @ per_latent, per_factor.mean(), informativeness.mean())
    return DCI(*(mean.item() for mean in means), per_latent, per_factor, informativeness, importance)


def _concentration(rows):
    """1 - H(row) / ln n for every row of n weights, in 0 … 1; 0 where all weights are 0: (m, n) -> (m,)."""
    return np.array([1 - _entropy(row) / math.log(len(row)) if row.any() else 0.0 for row in rows])


# --- prediction by single latents -----------------------------------------------------------------------------------


def sap(codes, factors, *, discrete=None, seed=0):
    """Separated attribute predictability: how much better the best latent alone predicts a factor than the second best.

    The score of one latent is R² of a straight line for continuous factors, and for a factor of K classes the balanced
    accuracy of the K intervals into which K - 1 thresholds divide the latent, learnt on one half of the examples and
    measured on the other, stretched so that chance is 0 and perfection 1. (The paper takes the accuracy as it is, with
    which a perfect code of two classes gets no more than 0.5.)

    Source: Kumar, Sattigeri and Balakrishnan (2018), "Variational inference of disentangled latent concepts from
    unlabeled observations", section 3.

    Args:
        discrete, seed: as in `dci`.

    Returns:
        `SAP`

    Raises:
        ValueError: see `mutual_information`.
    """
    from sklearn.tree import DecisionTreeClassifier

    codes, factors = _arrays(codes, factors)
    train, test = _parts(len(codes), 0.5, seed)
    smallest = max(1, len(train) // 100)  # no interval for a single outlier
    scores = np.zeros((codes.shape[1], factors.shape[1]))
    for j, is_class in enumerate(_which_are_discrete(factors, discrete)):
        if not is_class:
            scores[:, j] = _squared_correlations(codes, factors[:, j])
            continue
        classes = np.unique(factors[:, j], return_inverse=True)[1]
        for i in range(codes.shape[1]):
            tree = DecisionTreeClassifier(
                max_leaf_nodes=classes.max() + 1, min_samples_leaf=smallest, class_weight="balanced", random_state=seed
            )
            predicted = tree.fit(codes[train, i : i + 1], classes[train]).predict(codes[test, i : i + 1])
            scores[i, j] = max(0.0, _above_chance(classes[test], predicted))
    gaps = _gap(scores)
    return SAP(gaps.mean().item(), gaps, scores)


def _squared_correlations(codes, target):
    """R² of a straight line through each latent; 0 for a latent that is constant: (N, D), (N,) -> (D,)."""
    codes, target = codes - codes.mean(0), target - target.mean()
    spread = codes.std(0) * target.std()
    covariance = (codes * target[:, None]).mean(0)
    return np.divide(covariance, spread, out=np.zeros_like(spread), where=spread > 0) ** 2


# --- common ---------------------------------------------------------------------------------------------------------


def _arrays(codes, factors):
    """Both as float64 arrays (N, D) and (N, F), checked."""
    codes, factors = (torch.as_tensor(table).detach().cpu().double().numpy() for table in (codes, factors))
    if codes.ndim != 2 or factors.ndim != 2 or len(codes) != len(factors) or not codes.size or not factors.size:
        raise ValueError(f"need codes (N, D) and factors (N, F), got {codes.shape} and {factors.shape}")
    if len(codes) < MIN_EXAMPLES:
        raise ValueError(f"need at least {MIN_EXAMPLES} examples, better some thousand; got {len(codes)}")
    for name, table in (("codes", codes), ("factors", factors)):
        if not np.isfinite(table).all():
            raise ValueError(
                f"the {name} have values that are not finite, in column {(~np.isfinite(table)).any(0).argmax()}"
            )
    constant = np.flatnonzero((factors == factors[0]).all(0))
    if len(constant):
        raise ValueError(f"factor {constant[0]} has one value only, of which no latent can tell anything: leave it out")
    return codes, factors


def _which_are_discrete(factors, discrete):
    if discrete is None:
        return [len(np.unique(column)) <= MAX_CLASSES for column in factors.T]
    if len(discrete) != factors.shape[1]:
        raise ValueError(f"discrete must have a value for each of the {factors.shape[1]} factors, got {len(discrete)}")
    return [bool(value) for value in discrete]


def _parts(count, share, seed):
    """Numbers 0 … count - 1 in two random parts, the first one with this share."""
    order = np.random.default_rng(seed).permutation(count)
    return np.split(order, [round(share * count)])


def _above_chance(classes, predicted):
    """Balanced accuracy, stretched so that chance is 0 and perfection 1."""
    found = [np.mean(predicted[classes == value] == value) for value in np.unique(classes)]
    chance = 1 / len(found)
    return (np.mean(found) - chance) / (1 - chance) if len(found) > 1 else 0.0
