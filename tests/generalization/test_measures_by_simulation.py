"""Bounds hold and predictions meet the truth on data drawn at random; the simulations use dense algebra alone."""

import numpy as np
import pytest
import scipy.stats
import xarray as xr

import ntkinfo as ni
from ntkinfo.core.linear_algebra import spectrum
from ntkinfo.core.progress import silent
from ntkinfo.core.records import Dataset
from ntkinfo.generalization import MeasureSettings, measure_all
from ntkinfo.generalization.complexity import local_rademacher
from ntkinfo.generalization.evidence import bernoulli_entropy, invert_bernoulli_entropy, pac_bayes_bound
from ntkinfo.generalization.risk import eigenlearning, threshold
from ntkinfo.kernels.records import CrossBlocks, KernelBlocks, SquareBlocks
from tests.known_laws import relative_entropy

POOL, N, SETS, DELTA = 300, 40, 80, 0.2


@pytest.fixture(scope="module")
def teacher():
    """A finite population: features of 300 inputs, and noisy signs of a function drawn from their Gaussian process."""
    random = np.random.default_rng(7)
    features = random.normal(size=(POOL, 25)) / 5
    values = features @ random.normal(size=25)
    flipped = random.random(POOL) < 0.1
    return features, np.where((values > 0) ^ flipped, 1.0, -1.0)


def drawn(teacher, seed):
    """Training set of independent draws, and blocks with the whole population as test inputs (P = Θ)."""
    features, labels = teacher
    chosen = np.random.default_rng(seed).integers(0, POOL, N)
    x, y = features[chosen], labels[chosen][:, None]
    gram, cross, diagonal = x @ x.T, features @ x.T, np.sum(features**2, axis=1)
    blocks = KernelBlocks(SquareBlocks(gram, gram), CrossBlocks(cross, cross, diagonal, diagonal))
    return Dataset(x, y, features, labels[:, None]), blocks


def violation_limit(trials: int) -> int:
    """Violations that a bound of failure probability DELTA stays within, with probability 0.999."""
    return int(scipy.stats.binom(trials, DELTA).ppf(0.999))


def test_pac_bayes_bounds_hold_over_training_sets(teacher):
    features, labels = teacher
    names = ("pac_bayes_posterior", "pac_bayes_trained", "risk_bound_linear")
    settings = MeasureSettings(ridges=(0.5,), failure_probability=DELTA)
    procedure, times = ni.GradientFlow(prior="ntk"), np.array([0.05, 0.5])
    broken, optimistic, seen, gaps, squares = 0, 0, [], [], []
    for seed in range(SETS):
        data, blocks = drawn(teacher, seed)
        law = ni.output_distribution(blocks, data, procedure, times)
        entropy = ("time", np.asarray(ni.linear_model(law).value))
        curves = xr.Dataset({"information_parameters_linear": entropy}, {"time": times})
        found = measure_all(law, curves=curves, settings=settings, names=names, progress=silent)
        truth = [member_risk(law.mean[k, :, 0], law.variance[k], labels) for k in range(2)]
        inverse = np.linalg.inv(blocks.train.ntk + 0.5 * np.eye(N))
        cross = blocks.test.ntk
        variance = np.sum(features**2, 1) - np.sum((cross @ inverse) * cross, 1)
        truth.append(member_risk((cross @ inverse @ data.y_train)[:, 0], variance, labels))
        bounds = [*found["pac_bayes_trained"].values, float(found["pac_bayes_posterior"][1, 0])]
        broken += int(np.any(np.array(truth) > bounds))
        train, y = law.train, data.y_train[:, 0]
        gaps.append([truth[k] - member_risk(train.mean[k, :, 0], train.variance[k], y) for k in range(2)])
        squares.append(found["risk_bound_linear"].values ** 2)
        optimistic += gaps[-1][1] > 0
        seen.append(np.array(bounds) - truth)
    assert broken <= violation_limit(SETS)
    # The simulation can tell: errors on the training set are no bound.
    assert optimistic > violation_limit(SETS)
    # And the bounds say something.
    assert np.all(np.mean(seen, axis=0) < 0.4)
    # The mean gap stays below its bound by the mean relative entropy (Xu & Raginsky).
    assert np.all(np.mean(gaps, axis=0) < np.sqrt(np.mean(squares, axis=0)))
    assert np.all(np.mean(gaps, axis=0) > 0.1 * np.sqrt(np.mean(squares, axis=0)))


def member_risk(mean, variance, labels):
    return float(np.mean(scipy.stats.norm.cdf(-labels * mean / np.sqrt(variance))))


def test_the_bounds_constant_covers_the_binomial_moment():
    """E e^{n kl(R̂‖R)} ≤ 2 √n for every n and R, the step on which the bound rests, also below n = 8."""
    for n in (*range(1, 30), 100, 500):
        k = np.arange(n + 1)
        for risk in np.linspace(0.01, 0.99, 23):
            exponent = n * np.array([bernoulli_entropy(float(j) / n, float(risk)) for j in k])
            moment = np.exp(scipy.stats.binom(n, risk).logpmf(k) + exponent).sum()
            assert moment <= 2 * np.sqrt(n) * (1 + 1e-12)


def test_inverse_of_the_bernoulli_entropy():
    for error in (0.0, 0.01, 0.3, 0.9, 1.0):
        for limit in (0.0, 1e-6, 0.1, 2.0):
            right = invert_bernoulli_entropy(error, limit)
            # Pinsker; rounding of kl near 0 is that of a squared difference.
            assert error <= right <= min(1.0, error + np.sqrt(limit / 2) + 1e-7)
            if error < 1:
                assert bernoulli_entropy(error, right) == pytest.approx(limit, abs=1e-6)
    assert invert_bernoulli_entropy(0.0, 0.1) == pytest.approx(-np.expm1(-0.1), rel=1e-14)
    assert pac_bayes_bound(0.1, np.inf, 100, 0.05) == 1.0
    assert pac_bayes_bound(0.1, 3.0, 100, 0.05) > pac_bayes_bound(0.1, 3.0, 1000, 0.05) > 0.1
    with pytest.raises(ValueError, match="error is"):
        pac_bayes_bound(1.2, 3.0, 100, 0.05)


def test_relative_entropy_of_the_posterior_is_that_of_the_whole_function():
    random = np.random.default_rng(1)
    features = random.normal(size=(9, 12))
    whole, y, s = features @ features.T, random.normal(size=(5, 2)), 0.3
    cross, gram = whole[:, :5], whole[:5, :5]
    inverse = np.linalg.inv(gram + s * np.eye(5))
    mean, covariance = cross @ inverse @ y, whole - cross @ inverse @ cross.T
    data = Dataset(features[:5], y, features[5:], y[:4])
    kernels = CrossBlocks(whole[5:, :5], whole[5:, :5], np.diag(whole)[5:].copy(), np.diag(whole)[5:].copy())
    found = measure_all(
        ni.output_distribution(
            KernelBlocks(SquareBlocks(gram, gram), kernels), data, ni.GradientFlow(), np.array([1.0])
        ),
        settings=MeasureSettings(ridges=(s,)),
        names=["posterior_relative_entropy"],
    )["posterior_relative_entropy"]
    np.testing.assert_allclose(found, relative_entropy(mean, covariance, whole), rtol=1e-9)


# Synthetic spectra: independent Gaussian eigenfunctions.

MODES = 400


def power_law(decay: float, target_decay: float) -> tuple[np.ndarray, np.ndarray]:
    ranks = np.arange(1, MODES + 1.0)
    squared = ranks**-target_decay
    return ranks**-decay, squared / squared.sum()


def simulate(eigenvalues, coefficients, n, ridge, noise, seed):
    """Test error, training error and the kernel measures of one random training set."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(n, MODES))
    y = (features @ coefficients + noise**0.5 * random.normal(size=n))[:, None]
    kernel = (features * eigenvalues) @ features.T
    fit = np.linalg.solve(kernel + ridge * np.eye(n), y)
    # The test error over the law of the inputs, exactly: eigenfunctions are orthonormal.
    test = np.sum((coefficients - eigenvalues * (features.T @ fit)[:, 0]) ** 2) + noise
    train = np.mean((y - kernel @ fit) ** 2)
    zero, one = np.zeros((1, n)), np.ones(1)
    names = ("kare", "capture_threshold", "eigenlearning_error", "learnability", "loo_squared_error")
    data = Dataset(features[:, :1], y, features[:1, :1], y[:1])
    blocks = KernelBlocks(SquareBlocks(kernel, kernel), CrossBlocks(zero, zero, one, one))
    found = measure_all(
        ni.output_distribution(blocks, data, ni.GradientFlow(), np.array([1.0])),
        settings=MeasureSettings(ridges=(ridge,)),
        names=names,
        progress=silent,
    )
    return [test, train, *(float(found[name][1, 0]) for name in names)]


@pytest.mark.parametrize(
    ("decay", "target_decay", "ridge", "noise"),
    [(1.5, 1.5, 0.0, 0.0), (1.5, 1.5, 0.1, 0.2), (1.2, 2.0, 0.5, 0.0), (2.0, 1.3, 0.05, 0.1)],
)
def test_predictions_meet_the_test_error_on_synthetic_spectra(decay, target_decay, ridge, noise):
    n, sets = 60, 60
    eigenvalues, squared = power_law(decay, target_decay)
    signs = np.random.default_rng(0).choice([-1.0, 1.0], MODES)
    runs = np.array([simulate(eigenvalues, signs * squared**0.5, n, ridge, noise, seed) for seed in range(sets)])
    mean, error = runs.mean(axis=0), runs.std(axis=0, ddof=1) / sets**0.5
    test, train, kare, kappa, _, _, loo = mean
    predicted = eigenlearning(eigenvalues, squared, n, ridge, noise)
    # Four standard errors, and the 3% that a finite n leaves of the limit of many inputs.
    assert abs(test - predicted.test_error) < 4 * error[0] + 0.03 * predicted.test_error
    assert abs(train - predicted.train_error) < 4 * error[1] + 0.03 * predicted.train_error + 1e-20
    assert abs(kappa - predicted.threshold) < 4 * error[3] + 0.03 * predicted.threshold
    for estimate, column in ((kare, 2), (loo, 6)):
        difference = runs[:, column] - runs[:, 0]
        assert abs(estimate - test) < 4 * difference.std(ddof=1) / sets**0.5 + 0.03 * test
    # The test can fail: with twice the inputs or without the overfitting factor the prediction is another.
    wrong = (eigenlearning(eigenvalues, squared, 2 * n, ridge, noise).test_error, test / predicted.overfitting)
    for value in wrong:
        assert abs(value - predicted.test_error) > 4 * error[0] + 0.03 * predicted.test_error


def test_bias_of_the_prediction_from_the_training_spectrum():
    """Learnability from the training set is above, the error below what the operator's spectrum says."""
    eigenvalues, squared = power_law(1.5, 1.5)
    runs = np.array([simulate(eigenvalues, squared**0.5, 60, 0.1, 0.0, seed) for seed in range(30)]).mean(axis=0)
    predicted = eigenlearning(eigenvalues, squared, 60, 0.1)
    assert 0.2 * predicted.test_error < runs[4] < 0.8 * predicted.test_error
    assert predicted.learnability < runs[5] < 1


@pytest.mark.parametrize(("n", "modes"), [(3, 12), (20, 50), (49, 50)])
def test_identity_kernel_on_points(n, modes):
    """Nothing is learned of points that were not seen: the error is that share of the function, exactly."""
    squared = np.random.default_rng(0).normal(size=modes) ** 2
    # On M equally likely points the orthonormal eigenfunctions are √M indicator functions, the eigenvalues 1/M.
    found = eigenlearning(np.full(modes, 1 / modes), squared, n, 0.0)
    np.testing.assert_allclose(found.learnabilities, n / modes, rtol=1e-12)
    assert found.test_error == pytest.approx((1 - n / modes) * squared.sum(), rel=1e-9)
    assert found.learnability == pytest.approx(n / modes, rel=1e-12)
    assert found.train_error == 0
    unseen = np.array([np.random.default_rng(k).permutation(modes)[n:] for k in range(4000)])
    errors = squared[unseen].sum(axis=1)
    assert abs(errors.mean() - found.test_error) <= 4 * errors.std() / 4000**0.5 + 1e-12


@pytest.mark.parametrize("n", [1, 10, 399])
def test_learnabilities_sum_to_the_number_of_inputs(n):
    eigenvalues, squared = power_law(1.3, 1.0)
    assert eigenlearning(eigenvalues, squared, n, 0.0).learnabilities.sum() == pytest.approx(n, rel=1e-12)
    ridged = eigenlearning(eigenvalues, squared, n, 0.2)
    assert ridged.learnabilities.sum() + 0.2 / ridged.threshold == pytest.approx(n, rel=1e-12)


def test_threshold_at_its_ends():
    values = np.array([3.0, 1.0, 0.0])
    assert threshold(values, 2, 0.0) == 0
    assert threshold(values, 5, 0.0) == 0
    full = eigenlearning(values, np.array([1.0, 1.0, 0.5]), 5, 0.0, 0.1)
    assert full.test_error == pytest.approx(5 / 3 * 0.6)  # two directions learned, three inputs to spare
    assert full.train_error == pytest.approx((3 / 5) ** 2 * full.test_error)
    assert eigenlearning(values, np.array([1.0, 1.0, 0.0]), 2, 0.0).test_error == 0
    assert np.isinf(eigenlearning(values, np.array([1.0, 1.0, 0.0]), 2, 0.0, 0.1).test_error)
    # κ from λ/(λ + κ) + δ/κ = 1: κ² = δ (λ + κ)… with one mode and one input.
    kappa = threshold(np.array([2.0]), 1, 0.5)
    assert 2 / (2 + kappa) + 0.5 / kappa == pytest.approx(1, rel=1e-12)
    assert threshold(np.array([1e-12]), 3, 1e6) == pytest.approx(1e6 / 3, rel=1e-9)
    with pytest.raises(ValueError, match="not all 0"):
        threshold(np.zeros(3), 2, 0.1)
    with pytest.raises(ValueError, match="ridge"):
        threshold(values, 2, -0.1)


def test_local_rademacher_complexity_by_drawing_signs():
    """Supremum of correlations with random signs over the ball's functions of mean square at most r, by duality."""
    random = np.random.default_rng(2)
    features = random.normal(size=(30, 30)) * np.arange(1, 31.0) ** -0.8
    found = spectrum(features @ features.T)
    n, shares = 30, np.linspace(0, 1, 400)[:, None]
    for radius in (0.003, 0.05, 1.0):
        suprema = []
        for _ in range(200):
            signs = found.eigenvectors.T @ random.choice([-1.0, 1.0], n)
            coefficients = signs**2 * found.eigenvalues / n**2
            # max bᵀw over |w| ≤ 1 and Σ λ_i w_i²/n ≤ r: for some θ the constraint θ|w|² + (1 − θ) Σ λ_i w_i²/(nr) ≤ 1.
            weights = shares + (1 - shares) * found.eigenvalues[None, :] / (n * radius)
            suprema.append(np.sqrt(np.min(np.sum(coefficients / weights, axis=1))))
        bound, mean = local_rademacher(found.eigenvalues, radius), float(np.mean(suprema))
        error = float(np.std(suprema)) / 200**0.5
        assert bound / 2.5 < mean - 4 * error
        assert mean + 4 * error < bound
