import numpy as np
import pytest

from ntkinfo.finite.sample_propagation import (
    PropagationSettings,
    first_layer_information,
    monte_carlo_bound,
    sample_propagation,
)
from ntkinfo.information.output import information_target
from tests.known_answers import MIXTURES

NOISY = [p for p in MIXTURES if np.ptp(p.variance) == 0 and p.variance[0] > 0]
INPUTS, NOISE, WEIGHTS = np.array([-3.0, -1, 1, 3]), 0.3, (0.7, 2.5)
LABELS = np.array([0, 0, 0, 1])


def named(problems):
    return [pytest.param(problem, id=problem.name) for problem in problems]


def two_neurons(seed, passes, draws=1):
    """Activations of the second of two tanh neurons in a row: centres (4, passes, 1), fresh (4, draws, 1)."""
    random = np.random.default_rng(seed)
    first = np.tanh(WEIGHTS[0] * INPUTS)[:, None, None]
    every = np.tanh(WEIGHTS[1] * (first + NOISE * random.standard_normal((4, passes + draws, 1))))
    return every[:, :passes], every[:, passes:]


def two_neurons_exactly():
    """I(X;T) and I(T;Y) of the second neuron: Gauss-Hermite over the first noise, a fine grid for T."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    centres = np.tanh(WEIGHTS[1] * (np.tanh(WEIGHTS[0] * INPUTS)[:, None] + NOISE * nodes))
    grid = np.linspace(-4, 4, 8001)
    kernels = np.exp(-0.5 * ((grid - centres[:, :, None]) / NOISE) ** 2) / (NOISE * np.sqrt(2 * np.pi))
    given = np.einsum("k,ikt->it", weights / weights.sum(), kernels)

    def entropy(density):
        return -np.sum(density * np.log(np.where(density > 0, density, 1.0))) * (grid[1] - grid[0])

    whole, by_class = entropy(given.mean(axis=0)), [entropy(given[c == LABELS].mean(axis=0)) for c in (0, 1)]
    return whole - np.mean([entropy(row) for row in given]), whole - 0.75 * by_class[0] - 0.25 * by_class[1]


@pytest.mark.parametrize("problem", named(NOISY))
def test_first_layer_on_known_problems(problem):
    """Among them X = ±1 at β = 0.5, 1, 2: 0.91282, 0.48594, 0.16075 bits; one neuron: 1.1508 to 0.8113 bits."""
    result = first_layer_information(problem.mean, float(np.sqrt(problem.variance[0])), problem.labels)
    few = 1 if result.information_input.meaning == "quadrature" else 5
    error = few * result.information_input.standard_error + problem.tolerance
    assert abs(result.information_input.value - problem.information_input) <= error
    if problem.information_target is not None:
        error = few * result.information_target.standard_error + problem.tolerance
        assert abs(result.information_target.value - problem.information_target) <= error
    assert result.ceiling == pytest.approx(np.log(len(problem.mean)))


@pytest.mark.parametrize("problem", named(NOISY))
def test_propagation_without_noise_before_the_layer(problem):
    """All passes of an input agree: nothing is lost to their number, and only the draws scatter."""
    n = len(problem.mean)
    settings = PropagationSettings(passes=4, shared_passes=2, draws=max(2, 4000 // n))
    centres, fresh = (np.repeat(problem.mean[:, None], count, axis=1) for count in (4, settings.draws))
    result = sample_propagation(centres, fresh, float(np.sqrt(problem.variance[0])), problem.labels, settings)
    assert abs(result.information_input.value - problem.information_input) <= (
        4.5 * result.information_input.standard_error + problem.tolerance + 1e-9
    )
    assert np.ptp(result.input_bracket) < 1e-7
    assert result.published.value == pytest.approx(result.information_input.value, abs=1e-7)
    assert result.information_input.standard_error < 0.03
    if problem.information_target is not None:
        error = 4.5 * result.information_target.standard_error + problem.tolerance + 1e-9
        assert abs(result.information_target.value - problem.information_target) <= error


@pytest.mark.parametrize(("passes", "shared"), [(2, 2), (8, 8), (32, 32), (32, 8)])
def test_two_neurons_against_quadrature(passes, shared):
    """The bracket holds the truth on average, whatever the number of passes; the error covers the middle."""
    exact = two_neurons_exactly()
    found = []
    for seed in range(40):
        settings = PropagationSettings(passes=passes, shared_passes=shared, draws=100, seed=seed)
        centres, fresh = two_neurons(seed, passes, 100)
        one = sample_propagation(centres, fresh, NOISE, LABELS, settings)
        both = (one.information_input, one.input_bracket), (one.information_target, one.target_bracket)
        rows = [(value.value, value.standard_error, *bracket) for value, bracket in both]
        found.append(rows)
    found = np.array(found)
    mean, error = found.mean(axis=0), found.std(axis=0) / np.sqrt(len(found))
    for kind in range(2):
        assert mean[kind, 2] - 3 * error[kind, 2] < exact[kind] < mean[kind, 3] + 3 * error[kind, 3]
        scores = (found[:, kind, 0] - exact[kind]) / found[:, kind, 1]
        # With four inputs the error rests on a few dozen passes and is itself uncertain.
        assert np.sqrt(np.mean(scores**2)) < 1.5
        assert np.max(np.abs(scores)) < 6
    # The published estimator is too large by about one over the number of passes, and the bracket closes at that rate.
    assert mean[0, 3] - exact[0] > 4 * error[0, 3] or passes == 32
    assert mean[0, 3] - mean[0, 2] < 1.0 / passes


@pytest.mark.parametrize("units", [1, 2, 5])
def test_linear_layers_are_one_gaussian_channel(units):
    """T₂ = w Q (S₁ + βZ) + βZ' with Q orthogonal: the first layer's problem at noise β √(1 + w²)."""
    random = np.random.default_rng(units)
    mixing, scale, noise = np.linalg.qr(random.normal(size=(units, units)))[0], 1.3, 0.4
    start, labels = random.normal(size=(60, units)), random.integers(3, size=60)
    settings = PropagationSettings(passes=400, shared_passes=40, draws=20)
    first = start[:, None] + noise * random.standard_normal((60, 420, units))
    second = scale * first @ mixing
    result = sample_propagation(second[:, :400], second[:, 400:], noise, labels, settings)
    truth = first_layer_information(scale * start @ mixing, noise * np.sqrt(1 + scale**2), labels)
    for mine, other in (
        (result.information_input, truth.information_input),
        (result.information_target, truth.information_target),
    ):
        error = np.hypot(mine.standard_error, other.standard_error)
        assert abs(mine.value - other.value) < 4 * error
        assert mine.standard_error < 0.08


def test_published_estimator_by_the_package_mixtures():
    """The same empirical channel, each input a mixture of its passes, by quadrature: equal on average over passes."""
    ours, theirs = [], []
    for seed in range(40):
        settings = PropagationSettings(passes=6, shared_passes=6, draws=60, seed=seed)
        centres, fresh = two_neurons(seed, 6, 60)
        ours.append(sample_propagation(centres, fresh, NOISE, None, settings).published.value)
        flat = centres.reshape(-1, 1)
        exact = information_target(flat, np.full(24, NOISE**2), np.repeat(np.arange(4), 6), samples=0)
        assert exact.value.meaning == "quadrature"
        theirs.append(exact.value.value)
    difference = np.array(ours) - np.array(theirs)
    assert abs(difference.mean()) < 3.5 * difference.std() / np.sqrt(40)
    assert difference.std() / np.sqrt(40) < 0.01


@pytest.mark.parametrize(("noise", "units"), [(0.1, 6), (0.4, 6), (0.4, 1), (3.0, 1)])
def test_a_priori_bound_holds(noise, units):
    """Root mean square error over 60 sets of noises, of the entropy by plain averages and of the information."""
    random = np.random.default_rng(1)
    centres = np.tanh(2 * random.normal(size=(40, units)))
    bound = monte_carlo_bound(units, noise, 40)
    plain, informations = [], []
    for seed in range(60):
        draws = centres + noise * np.random.default_rng(seed).standard_normal(centres.shape)
        squared = np.sum((draws[:, None] - centres[None]) ** 2, axis=2)
        plain.append(-np.mean(np.log(np.mean(np.exp(-0.5 * squared / noise**2), axis=1))))
        repeated = np.repeat(centres[:, None], 2, axis=1)
        settings = PropagationSettings(passes=2, shared_passes=2, draws=1, seed=seed)
        one = sample_propagation(repeated, repeated[:, :1], noise, None, settings)
        informations.append(one.published.value)
        assert one.a_priori_error == bound.any_support
    assert np.std(plain, ddof=1) < bound.any_support
    assert np.std(informations, ddof=1) < bound.any_support
    assert bound.any_support == pytest.approx(np.sqrt(units / 40))
    assert bound.bounded**2 == pytest.approx(2 * units * (2 + noise**2) / (noise**2 * 40))
    assert bound.bounded >= bound.any_support
    # It is no more than a few times too large where the components overlap in all directions.
    if noise == 0.4:
        assert np.std(plain, ddof=1) > 0.2 * bound.any_support


def test_limits():
    """Identical inputs carry nothing, far ones everything, and never more than log n."""
    random = np.random.default_rng(0)
    settings = PropagationSettings(passes=64, shared_passes=4, draws=16)
    same = 0.2 * random.standard_normal((50, 80, 3))
    nothing = sample_propagation(same[:, :64], same[:, 64:], 0.5, None, settings)
    assert abs(nothing.information_input.value) < 4 * nothing.information_input.standard_error
    apart = same + 20.0 * np.arange(50)[:, None, None]
    everything = sample_propagation(apart[:, :64], apart[:, 64:], 0.5, None, settings)
    assert everything.information_input.value == pytest.approx(np.log(50), abs=1e-6)
    assert everything.published.value <= everything.ceiling + 1e-9


def test_inputs_drawn_and_blocks(monkeypatch):
    centres, fresh = two_neurons(3, 16, 1)
    spread = np.linspace(-1, 1, 50)[:, None, None]
    centres, fresh = np.concatenate([centres[:1] + spread]), np.concatenate([fresh[:1] + spread])
    labels, full = np.arange(50) % 3, PropagationSettings(passes=16, shared_passes=4)
    whole = sample_propagation(centres, fresh, 0.2, labels, full)
    some = sample_propagation(centres, fresh, 0.2, labels, PropagationSettings(16, 4, 1, inputs_drawn=20))
    assert (whole.draws, some.draws) == (50, 20)
    error = np.hypot(whole.information_input.standard_error, some.information_input.standard_error)
    assert abs(whole.information_input.value - some.information_input.value) < 4 * error
    monkeypatch.setattr("ntkinfo.finite.sample_propagation._NUMBERS_AT_ONCE", 500)
    parted = sample_propagation(centres, fresh, 0.2, labels, full)
    assert parted.information_input.value == pytest.approx(whole.information_input.value, abs=1e-12)
    assert parted.information_target.value == pytest.approx(whole.information_target.value, abs=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"noise_std": 0.0}, "greater than 0"),
        ({"centres": np.zeros((4, 3, 1))}, "passes of the settings"),
        ({"fresh": np.zeros((4, 2, 1))}, "draws of the settings"),
        ({"centres": np.full((4, 2, 1), np.nan)}, "NaN or infinite"),
        ({"centres": np.zeros((1, 2, 1)), "fresh": np.zeros((1, 1, 1))}, "two inputs"),
        ({"noise_std": 1e-7}, "larger noise"),
    ],
)
def test_bad_input(change, message):
    random = np.random.default_rng(0)
    given = {"centres": random.normal(size=(4, 2, 1)), "fresh": random.normal(size=(4, 1, 1)), "noise_std": 0.1}
    given |= change
    with pytest.raises(ValueError, match=message):
        sample_propagation(**given, settings=PropagationSettings(passes=2, shared_passes=2))


def test_bad_settings():
    with pytest.raises(ValueError, match="to take them from"):
        PropagationSettings(passes=2, shared_passes=4)
    with pytest.raises(ValueError, match="at least 2"):
        PropagationSettings(passes=1)
