"""Every estimator on every problem of tests/known_answers.py that it applies to, within its own stated error."""

from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkinfo.core.arrays import float64
from ntkinfo.core.progress import silent
from ntkinfo.core.records import Dataset
from ntkinfo.finite.networks import finite_network
from ntkinfo.information.curves import CurveSettings, curves_of
from ntkinfo.information.function_space import information_labels_function_space
from ntkinfo.information.label_model import LabelModel, information_labels_per_input
from ntkinfo.information.linear_decoder import information_target_gaussian
from ntkinfo.information.mixtures import mixture_entropy
from ntkinfo.information.output import information_output
from ntkinfo.information.parameters import function_space, linear_model
from ntkinfo.information.path import path
from ntkinfo.information.pointwise_output import pointwise_output
from ntkinfo.information.training_set import relative_entropy_per_input
from ntkinfo.kernels.architectures import FullyConnected
from ntkinfo.kernels.blocks import NetworkKernels, kernel_blocks
from ntkinfo.training.discrete import GradientDescent
from ntkinfo.training.output_distribution import output_distribution
from tests.known_answers import PROBLEMS, KnownEntropy, KnownMixture, KnownPair
from tests.known_laws import KnownKernel, KnownLaw

NUMERICAL = ("quadrature", "exact", "lower bound")


def of(kind):
    return [pytest.param(problem, id=problem.name) for problem in PROBLEMS if isinstance(problem, kind)]


def meet(estimate, exact, tolerance, numerical=2e-9, sampled=0.02):
    """The value lies within its stated error, five times that where it is drawn; and the error is small."""
    few, largest = (1, numerical) if estimate.meaning in NUMERICAL else (5, sampled)
    assert abs(estimate.value - exact) <= few * estimate.standard_error + tolerance
    assert estimate.standard_error <= largest * max(1.0, abs(exact))


def test_the_table_is_long_and_varied():
    kinds = Counter(type(problem) for problem in PROBLEMS)
    assert len(PROBLEMS) >= 35
    assert len({problem.name for problem in PROBLEMS}) == len(PROBLEMS)
    assert set(kinds) == {KnownMixture, KnownEntropy, KnownPair, KnownLaw, KnownKernel}
    assert all(problem.source for problem in PROBLEMS)


@pytest.mark.parametrize("problem", of(KnownMixture))
@pytest.mark.parametrize("tolerance", [1e-9, None], ids=["best", "monte carlo"])
def test_informations(problem, tolerance):
    given = problem.mean, problem.variance, problem.labels
    result, target = information_output(*given, tolerance=tolerance)
    parted = pointwise_output(*given, tolerance=tolerance)
    exact, digits = problem.information_input, problem.tolerance
    for estimate in (result.value, parted.input_total):
        meet(estimate, exact, digits)
    assert np.mean(parted.input.value) == pytest.approx(parted.input_total.value, abs=1e-10)
    assert result.lower - 1e-10 <= exact + digits
    assert result.upper + 1e-10 >= exact - digits
    lower, upper = result.multisample_lower, result.multisample_upper
    assert abs(lower.value - exact) <= 5 * lower.standard_error + digits
    assert upper.value + 5 * upper.standard_error + digits >= exact
    if problem.information_target is not None:
        for estimate in (target.value, parted.target_total):
            meet(estimate, problem.information_target, digits)
        assert target.lower - 1e-10 <= problem.information_target + digits
        assert target.upper + 1e-10 >= problem.information_target - digits


@pytest.mark.parametrize("problem", [p for p in of(KnownMixture) if np.all(p.values[0].variance > 0)])
@pytest.mark.parametrize("method", ["auto", "monte carlo"])
def test_entropies_of_output_laws(problem, method):
    result = mixture_entropy(problem.mean, problem.variance, method=method)
    outputs = problem.mean.shape[1]
    noise = float(np.mean(0.5 * outputs * np.log(2 * np.pi * np.e * problem.variance)))
    exact = problem.information_input + noise
    meet(result.value, exact, problem.tolerance + 1e-14 * abs(noise))
    assert result.lower - 1e-10 <= exact + problem.tolerance
    assert result.upper + 1e-10 >= exact - problem.tolerance


@pytest.mark.parametrize("problem", of(KnownEntropy))
@pytest.mark.parametrize("method", ["auto", "quadrature", "monte carlo"])
def test_entropies_with_weights(problem, method):
    result = mixture_entropy(problem.mean, problem.variance, problem.weights, method=method)
    meet(result.value, problem.entropy, problem.tolerance)
    assert result.lower - 1e-10 <= problem.entropy <= result.upper + 1e-10


@pytest.mark.parametrize("problem", of(KnownPair))
def test_gaussian_pairs(problem):
    result = information_target_gaussian(problem.mean, problem.variance, problem.targets)
    meet(result.value, problem.information_target, problem.tolerance)


def law_estimates(problem):
    """Every quantity of a law by the function that computes it: name, values, stated errors."""
    law, answers = problem.distribution, problem.answers
    for name in ("train", "test"):
        side = getattr(law, name)
        yield f"mean {name}", side.mean, 0.0
        yield f"variance {name}", side.variance, side.variance_error
        entropy = relative_entropy_per_input(side.mean, side.log_variance_at(slice(None)), side.initial_variance)
        yield f"relative entropy per input {name}", entropy, 0.0
        if f"labels per input {name}" in answers:
            labels = information_labels_per_input(side, LabelModel(noise_variance=problem.label_noise))
            yield f"labels per input {name}", labels.value, labels.standard_error
    functions = {"function space": lambda: function_space(law), "linear model": lambda: linear_model(law)}
    functions["function space with extra inputs"] = lambda: function_space(law, problem.extra_inputs)
    model = LabelModel(noise_variance=problem.label_noise)
    functions["labels with extra inputs"] = lambda: information_labels_function_space(law, model, problem.extra_inputs)
    for name, compute in functions.items():
        if name in answers:
            estimate = compute()
            yield name, estimate.value, estimate.standard_error
    if law.summed.target_noise_variance == 0:
        walked = path(law)
        yield "distance", walked.distance, 0.0
        yield "speed squared", walked.speed_squared, 0.0
        yield "energy", walked.energy, 0.0
        yield "length", walked.length.value, walked.length.standard_error
    yield "Fisher trace", path(law).fisher_trace, 0.0
    for index in range(len(law.times)):
        mean, variance = law.train.separated_at(index)
        if "information input train" in answers:
            result = information_output(mean, variance, None, resolution=1e-11)[0]
            yield "information input train", np.array([result.value.value]), 5 * result.value.standard_error


@pytest.mark.parametrize("problem", of(KnownLaw))
def test_training_laws(problem):
    met = set()
    for name, values, error in law_estimates(problem):
        if name in problem.answers:
            exact = problem.answers[name]
            scale = max(1.0, float(np.abs(exact).max()))
            assert np.shape(values) == exact.shape
            assert np.all(np.abs(values - exact) <= error + problem.tolerance * scale), name
            assert np.all(error <= 1e-6 * scale), name
            met.add(name)
    assert met == set(problem.answers)


@pytest.mark.parametrize("problem", [p for p in of(KnownLaw) if "mean test" in p.values[0].answers])
def test_training_laws_through_the_curves(problem):
    """The same numbers, averaged over the inputs, as the whole job gives them."""
    answers = problem.answers
    chosen = ["bias_squared", "variance", "information_training_set"]
    if "function space" in answers:
        chosen.append("information_parameters")
    curves = curves_of(problem.distribution, quantities=chosen, settings=CurveSettings(), progress=silent)
    outputs = problem.data.n_outputs
    for split, targets in (("train", problem.data.y_train), ("test", problem.data.y_test)):
        got = curves.sel(split=split)
        bias = np.mean(np.sum((answers[f"mean {split}"] - targets) ** 2, axis=2), axis=1)
        np.testing.assert_allclose(got.bias_squared, bias, rtol=1e-8, atol=1e-9)
        variance = outputs * np.mean(answers[f"variance {split}"], axis=1)
        np.testing.assert_allclose(got.variance, variance, rtol=1e-8, atol=1e-9)
        if f"relative entropy per input {split}" in answers:
            entropy = np.mean(answers[f"relative entropy per input {split}"], axis=1)
            np.testing.assert_allclose(got.information_training_set, entropy, rtol=1e-8, atol=1e-9)
    if "function space" in answers:
        np.testing.assert_allclose(curves.information_parameters, answers["function space"], rtol=1e-7)


@pytest.mark.parametrize("problem", of(KnownKernel))
def test_kernels_of_infinite_width(problem):
    blocks = NetworkKernels(problem.network, problem.inputs).train()
    for got, exact in ((blocks.nngp, problem.nngp), (blocks.ntk, problem.ntk)):
        np.testing.assert_allclose(got, exact, rtol=problem.tolerance)


WIDTH, MEMBERS = 64, 1000


@pytest.mark.parametrize("problem", of(KnownKernel))
def test_kernels_of_finite_networks(problem):
    """Averages of f fᵀ and J Jᵀ over random networks: the limit within five standard errors and O(1/width)."""
    network = finite_network(problem.network, problem.inputs, 1, WIDTH)

    def products(member):
        start = network.draw(0, member)
        outputs, pull = jax.vjp(lambda p: network.apply(p, network.inputs)[:, 0], start)
        jacobian = jax.vmap(lambda row: pull(row)[0])(jnp.eye(len(outputs)))
        return jnp.outer(outputs, outputs), jacobian @ jacobian.T

    with float64():
        samples = jax.jit(lambda members: jax.lax.map(products, members, batch_size=50))(np.arange(MEMBERS))
    for drawn, exact in zip(samples, (problem.nngp, problem.ntk), strict=True):
        host = np.asarray(drawn)
        error = host.std(axis=0) / np.sqrt(MEMBERS)
        scale = np.sqrt(np.outer(np.diag(exact), np.diag(exact)))
        assert np.all(np.abs(host.mean(axis=0) - exact) <= 5 * error + problem.finite_width / WIDTH * scale)
        assert np.all(error < 0.07 * scale)


@pytest.mark.parametrize("activation", ["erf", "relu"])
def test_trained_outputs_of_finite_networks(activation):
    """Mean and variance after 40 steps of gradient descent: the limit within five standard errors and O(1/width)."""
    random = np.random.default_rng(6)
    x, y = random.normal(size=(7, 3)), random.normal(size=(7, 1))
    data, description = Dataset(x[:4], y[:4], x[4:], y[4:]), FullyConnected(1, activation, w_std=1.4, b_std=0.3)
    width, members, step, count = 256, 500, 0.02, 40
    blocks, procedure = kernel_blocks(description, data), GradientDescent(step_size=step)
    law = output_distribution(blocks, data, procedure, np.array([count * step]))
    network = finite_network(description, x, 1, width)

    def trained(member):
        def loss(p):
            return 0.5 * jnp.sum((network.apply(p, x[:4]) - y[:4]) ** 2)

        def descend(p, _):
            return p - step * jax.grad(loss)(p), None

        return network.apply(jax.lax.scan(descend, network.draw(1, member), length=count)[0], x)[:, 0]

    with float64():
        outputs = np.asarray(jax.jit(lambda k: jax.lax.map(trained, k, batch_size=50))(np.arange(members)))
    mean = np.concatenate([law.train.mean[0, :, 0], law.test.mean[0, :, 0]])
    variance = np.concatenate([law.train.variance[0], law.test.variance[0]])
    squares = (outputs - mean[None, :]) ** 2
    for drawn, exact in ((outputs, mean), (squares, variance)):
        error = drawn.std(axis=0) / np.sqrt(members)
        assert np.all(np.abs(drawn.mean(axis=0) - exact) <= 5 * error + 8 / width)
        assert np.all(error < 0.2)
    # The start has other moments: the test sees that training happened.
    assert np.any(np.abs(blocks.test.nngp_diagonal - squares.mean(axis=0)[4:]) > 0.5)
