from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np
import pytest

from ntkinfo.bottleneck.gaussian import GaussianBottleneck
from ntkinfo.core.arrays import float64
from ntkinfo.data.synthetic import GaussianPair
from ntkinfo.information.population import population_information
from ntkinfo.information.population_quadrature import population_quadrature
from ntkinfo.kernels.architectures import FullyConnected
from ntkinfo.kernels.blocks import kernel_blocks
from ntkinfo.training.output_distribution import output_distribution
from ntkinfo.training.procedures import GradientFlow


@dataclass
class Linear:
    """Z|x ~ N(A_t x, v_t I): maps (T, C, d_x), variances (T,)."""

    maps: np.ndarray
    noise: np.ndarray

    def __call__(self, inputs):
        law = Linear(self.maps, self.noise)
        law.inputs, law.times = inputs, np.arange(len(self.maps), dtype=float)
        return law

    def mean_at(self, chosen):
        return np.einsum("tcd,md->tmc", self.maps[chosen], self.inputs)

    def variance_at(self, chosen):
        return self.noise[chosen][:, None] * np.ones((1, len(self.inputs)))

    def exact(self, pair):
        """Closed forms: log-determinants of the covariances of Z, of Z given X and of Z given Y."""
        answers = []
        for rows, variance in zip(self.maps, self.noise, strict=True):
            floor = variance * np.eye(len(rows))
            seen = rows @ pair.cross_covariance
            logs = [
                np.linalg.slogdet(m)[1] for m in (floor + rows @ rows.T, floor, floor + rows @ rows.T - seen @ seen.T)
            ]
            answers.append((0.5 * (logs[0] - logs[1]), 0.5 * (logs[0] - logs[2])))
        return np.array(answers).T


def problem(outputs=1, seed=0):
    pair = GaussianPair.random((0.8, 0.5)[:outputs], (5, outputs), seed=1)
    rng = np.random.default_rng(seed)
    best = pair.cross_covariance.T
    maps = np.stack([0 * best, best, best + 0.3 * rng.normal(size=best.shape), 4 * best])
    return pair, Linear(maps, np.array([1.0, 1.0, 0.5, 1.0]))


@pytest.mark.parametrize("outputs", [1, 2])
def test_linear_gaussian_law_in_closed_form(outputs):
    pair, law = problem(outputs)
    found = population_information(law, pair, inputs=1024, batches=4, seed=3)
    for estimate, exact in zip((found.information_input, found.information_target), law.exact(pair), strict=True):
        assert np.all(estimate.standard_error < 0.03)
        np.testing.assert_array_less(np.abs(estimate.value - exact), 3.5 * estimate.standard_error + 1e-12)
    assert found.queries == 4096
    assert abs(found.information_input.value[0]) < 1e-12


def repeated(count, **sizes):
    """Many runs: their values (runs, 2, T), and the mean covariance without the bracket's part, (2T, 2T)."""
    pair, law = problem()
    runs = [population_information(law, pair, seed=seed, **sizes) for seed in range(count)]
    values = np.array([[run.information_input.value, run.information_target.value] for run in runs])
    sampling = []
    for run in runs:
        covariance = run.trajectory.joint_covariance
        for row, bracket in enumerate((run.input_bracket, run.target_bracket)):
            half = np.zeros((2, len(run.times)))
            half[row] = 0.5 * np.diff(bracket, axis=0)[0]
            covariance = covariance - np.outer(half, half)
        sampling.append(covariance)
    brackets = np.array([[run.input_bracket, run.target_bracket] for run in runs])
    return np.array(law.exact(pair)), values, np.mean(sampling, axis=0), brackets


@pytest.mark.parametrize("sizes", [{"inputs": 200, "batches": 3}, {"inputs": 400, "queries": 80, "batches": 2}])
def test_errors_are_the_scatter_between_seeds_and_brackets_enclose_on_average(sizes):
    exact, values, sampling, brackets = repeated(120, **sizes)
    scatter, stated = np.std(values, axis=0), np.sqrt(np.diagonal(sampling)).reshape(2, -1)
    # 120 runs know a deviation to 6.5 %; the first time has I(Z;X) = 0, nothing but second-order terms.
    ratio = (scatter / np.maximum(stated, 1e-12))[:, 1:]
    assert np.all((ratio > 0.75) & (ratio < 1.3)), ratio
    # Differences between times and between the two quantities hang together as the covariance says.
    flat = values.reshape(len(values), -1)
    for first, second in ((1, 2), (1, 3), (5, 6), (5, 7), (1, 5), (3, 7)):
        expected = sampling[first, first] + sampling[second, second] - 2 * sampling[first, second]
        assert 0.6 < np.var(flat[:, first] - flat[:, second]) / expected < 1.6
    mean_error = scatter / np.sqrt(120)
    # The middle has no bias that the mean over all runs would show; the ends have one, of the right sign.
    assert np.all(np.abs(np.mean(values, axis=0) - exact) < 4 * mean_error + 1e-12)
    ends = np.mean(brackets, axis=0)
    assert np.all((ends[:, 0] < exact - 3 * mean_error)[:, -1])
    assert np.all((ends[:, 1] > exact + 3 * mean_error)[:, -1])


def test_bracket_narrows_with_the_inputs():
    pair, law = problem()
    wide, narrow = (population_information(law, pair, inputs=m, batches=4, seed=0) for m in (256, 1024))
    ratio = np.diff(wide.input_bracket, axis=0)[0, 1:] / np.diff(narrow.input_bracket, axis=0)[0, 1:]
    assert np.all((ratio > 3) & (ratio < 6)), ratio  # four times the inputs


def test_an_output_that_tells_inputs_apart_is_said_to_be_uncertain():
    """I(Z;X) = 11.5 nats cannot be seen with 64 inputs: the bracket says so, and still encloses it."""
    pair = problem()[0]
    law = Linear(np.ones((1, 1, 5)), np.array([5e-10]))
    found = population_information(law, pair, inputs=64, batches=2)
    exact = law.exact(pair)[0]
    assert exact[0] > 11
    assert found.input_bracket[0, 0] < exact[0] < found.input_bracket[1, 0]
    assert abs(found.information_input.value[0] - exact[0]) < 3 * found.information_input.standard_error[0]
    assert np.all(np.isfinite(found.target_bracket))


def ensemble(pair, activation, times, n_train=6, **network):
    data = pair.dataset(n_train, 2, seed=1)
    network = FullyConnected(depth=2, activation=activation, w_std=1.5, b_std=0.3, **network)
    return output_distribution(kernel_blocks(network, data), data, GradientFlow(), times)


@pytest.mark.parametrize("activation", ["erf", "relu"])
def test_networks_agree_with_quadrature_over_one_dimensional_inputs(activation):
    pair = GaussianPair.random((0.8,), (1, 1), seed=0)
    law = ensemble(pair, activation, np.array([0.0, 0.1, 1.0])).at
    sampled = population_information(law, pair, inputs=1024, batches=4, seed=2)
    exact = population_quadrature(law, pair, nodes=401)
    limits = GaussianBottleneck.of(pair)
    for estimate, value in zip((sampled.information_input, sampled.information_target), exact, strict=True):
        assert np.all(value.standard_error < 4e-3)
        assert np.all(estimate.standard_error < 0.03)
        error = np.hypot(3.5 * estimate.standard_error, value.standard_error)
        np.testing.assert_array_less(np.abs(estimate.value - value.value), error)
    slack = limits.frontier(exact[0].value) - exact[1].value
    assert np.all(slack > 1e-3)


def test_quadrature_in_closed_form_and_its_error():
    pair = GaussianPair.random((0.8,), (1, 1), seed=0)
    law = Linear(np.array([[[0.5]], [[2.0]], [[40.0]]]), np.array([1.0, 1.0, 1.0]))
    fine = population_quadrature(law, pair, nodes=801)
    coarse = population_quadrature(law, pair, nodes=101)
    for index, exact in enumerate(law.exact(pair)):
        np.testing.assert_allclose(fine[index].value[:2], exact[:2], atol=1e-8)
        for found in (fine[index], coarse[index]):
            np.testing.assert_array_less(np.abs(found.value - exact), found.standard_error + 1e-9)
    # At slope 40 a hundred nodes are far too few for components of width 1.
    assert coarse[0].standard_error[2] > 1e-2


@pytest.mark.parametrize("slope", [100.0, 400.0, 1e5])
def test_quadrature_owns_up_to_a_density_in_pieces(slope):
    """Halving the nodes takes log 2 from I(Z;X) however far apart the pieces are: that alone is no error."""
    pair = GaussianPair.random((0.8,), (1, 1), seed=0)
    law = Linear(np.array([[[slope]]]), np.array([1.0]))
    found = population_quadrature(law, pair, nodes=101)
    for estimate, exact in zip(found, law.exact(pair), strict=True):
        np.testing.assert_array_less(np.abs(estimate.value - exact), estimate.standard_error)


@dataclass
class OnDevice(Linear):
    """The same law in jax arrays."""

    def __call__(self, inputs):
        law = OnDevice(self.maps, self.noise)
        law.inputs, law.times = inputs, np.arange(len(self.maps), dtype=float)
        return law

    def mean_at(self, chosen):
        with float64():
            return jax.numpy.asarray(super().mean_at(chosen))

    def variance_at(self, chosen):
        with float64():
            return jax.numpy.asarray(super().variance_at(chosen))


def test_jax_arrays_give_the_same_numbers():
    pair, law = problem(2)
    device = OnDevice(law.maps, law.noise)
    with jax.numpy_rank_promotion("raise"):
        found = population_information(device, pair, inputs=64, batches=2)
    expected = population_information(law, pair, inputs=64, batches=2)
    np.testing.assert_allclose(found.input_bracket, expected.input_bracket, atol=1e-12)
    np.testing.assert_allclose(found.covariance, expected.covariance, atol=1e-12)


def test_same_seed_same_numbers_and_bad_input():
    pair, law = problem()
    first, second = (population_information(law, pair, inputs=64, batches=2, seed=5) for _ in range(2))
    np.testing.assert_array_equal(first.information_target.value, second.information_target.value)
    with pytest.raises(ValueError, match="even"):
        population_information(law, pair, draws=3)
    with pytest.raises(ValueError, match="at least 2"):
        population_information(law, pair, batches=1)
    with pytest.raises(ValueError, match="at some of the inputs"):
        population_information(law, pair, inputs=10, queries=11)
    with pytest.raises(ValueError, match="no variance"):
        population_information(Linear(law.maps, np.zeros(4)), pair, inputs=16)
    with pytest.raises(ValueError, match="one input and one target"):
        population_quadrature(law, pair)
    with pytest.raises(ValueError, match="odd"):
        population_quadrature(law, GaussianPair.random((0.8,), (1, 1)), nodes=100)
