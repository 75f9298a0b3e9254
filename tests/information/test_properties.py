"""Properties that hold for every problem, over random ones: order, invariance, monotonicity, continuity, finiteness."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ntkinfo.core.linear_algebra import NotDefiniteError
from ntkinfo.core.progress import silent
from ntkinfo.core.records import Dataset
from ntkinfo.information.curves import CurveSettings, curves_of
from ntkinfo.information.evaluation_space import ExtraInputs
from ntkinfo.information.function_space import information_labels_function_space
from ntkinfo.information.label_model import LabelModel, information_labels_per_input
from ntkinfo.information.output import information_output
from ntkinfo.information.parameters import function_space, linear_model
from ntkinfo.information.path import path
from ntkinfo.information.training_set import relative_entropy_per_input
from ntkinfo.kernels.architectures import FullyConnected
from ntkinfo.kernels.blocks import kernel_blocks
from ntkinfo.kernels.records import CrossBlocks, KernelBlocks, SquareBlocks
from ntkinfo.training.output_distribution import output_distribution
from ntkinfo.training.procedures import GradientFlow
from tests.kernels import closed_forms

ALL = slice(None)
many = settings(max_examples=25, deadline=None, derandomize=True)
some = settings(max_examples=10, deadline=None, derandomize=True)
few = settings(max_examples=4, deadline=None, derandomize=True)  # every example compiles kernels
seeds = st.integers(0, 2**31)


def blocks_of(x_train, x_test, depth, w_std, b_std):
    """Kernels of an erf network by the plain recursion."""

    def kernel(a, b):
        return closed_forms.fully_connected(closed_forms.arcsine, a, b, depth, w_std, b_std)

    train, whole = kernel(x_train, x_train), kernel(x_test, x_test)
    cross = CrossBlocks(*kernel(x_test, x_train), *(np.diag(k).copy() for k in whole))
    return KernelBlocks(SquareBlocks(*((k + k.T) / 2 for k in train)), cross), SquareBlocks(*whole)


trainings = st.fixed_dictionaries(
    {
        "seed": seeds,
        "sizes": st.tuples(st.integers(2, 10), st.integers(2, 12), st.integers(6, 9), st.integers(1, 3)),
        "depth": st.integers(0, 3),
        "w_std": st.floats(0.5, 2.5),
        "b_std": st.sampled_from([0.0, 0.1, 1.0]),
        "start": st.floats(-3, 0),
        "ridge": st.sampled_from([0.0, 0.3]),
    }
)


def trained(problem):
    """The law of a random problem at a few times, and the kernels of the test inputs among themselves."""
    random = np.random.default_rng(problem["seed"])
    n, m, d, count = problem["sizes"]
    x, labels = random.normal(size=(n + m, d)), random.integers(0, 3, size=n + m)
    labels[:2] = 0, 1
    y = random.normal(size=(n + m, count)) + labels[:, None]
    data = Dataset(x[:n], y[:n], x[n:], y[n:], labels[:n], labels[n:], class_names=("a", "b", "c"))
    blocks, square = blocks_of(data.x_train, data.x_test, problem["depth"], problem["w_std"], problem["b_std"])
    start = 10.0 ** problem["start"] / float(np.trace(blocks.train.ntk))
    times = np.array([0.0, start, 10 * start, 200 * start])
    return output_distribution(blocks, data, GradientFlow(ridge=problem["ridge"]), times), square


@some
@given(trainings)
def test_bounds_are_ordered_and_processing_loses_information(problem):
    """0 <= I(Z;coarse Y) <= I(Z;Y) <= I(Z;X) <= log m, each between its bounds, at every time and on both splits."""
    law, _ = trained(problem)
    for side, labels in ((law.train, law.data.labels_train), (law.test, law.data.labels_test)):
        for index in range(len(law.times)):
            mean, variance = side.separated_at(index)
            inputs, target = information_output(mean, variance, labels)
            coarse = information_output(mean, variance, np.minimum(labels, 1))[1]
            slack = 1e-9
            for result in (inputs, target, coarse):
                slack += 5 * result.value.standard_error
            for result in (inputs, target, coarse):
                assert result.lower - slack <= result.value.value <= result.upper + slack
            values = [0.0, coarse.value.value, target.value.value, inputs.value.value, np.log(len(labels))]
            assert np.all(np.diff(values) >= -slack)


@st.composite
def mixtures(draw):
    random = np.random.default_rng(draw(seeds))
    m, outputs = draw(st.integers(2, 15)), draw(st.integers(1, 3))
    mean = 10 ** draw(st.floats(-2, 1)) * random.normal(size=(m, outputs))
    variance = np.exp(draw(st.floats(0, 3)) * random.normal(size=m))
    return mean, variance, random.integers(0, 3, size=m), random


@many
@given(mixtures(), st.floats(-6, 6))
def test_output_information_is_invariant(mixture, exponent):
    """Moving, scaling and turning the outputs, and renumbering inputs and classes, change neither value nor bounds."""
    mean, variance, labels, random = mixture
    scale, order = 10.0**exponent, random.permutation(len(mean))
    turn = np.linalg.qr(random.normal(size=(mean.shape[1],) * 2))[0]
    others = [
        (mean + random.normal(size=mean.shape[1])[None, :], variance, labels),
        (scale * mean, scale**2 * variance, labels),
        (mean @ turn, variance, labels),
        (mean[order], variance[order], labels[order]),
        (mean, variance, np.array([7, -2, 5])[labels]),
    ]
    first = information_output(mean, variance, labels)
    for other in others:
        for one, two in zip(first, information_output(*other), strict=True):
            # Moments lose digits to the translation; a Chernoff order found by search moves in its last digits.
            assert (one.lower, one.upper) == (pytest.approx(two.lower, abs=1e-6), pytest.approx(two.upper, abs=1e-6))
            error = 5 * (one.value.standard_error + two.value.standard_error)
            assert abs(one.value.value - two.value.value) <= error + 1e-8


def summary(law):
    """Closed-form quantities, those over inputs averaged."""
    walked = path(law)
    found = {
        "linear": linear_model(law).value,
        "distance": walked.distance,
        "energy": walked.energy,
        "length": walked.length.value,
        "speed": walked.speed_squared,
    }
    for name in ("train", "test"):
        side = getattr(law, name)
        entropy = relative_entropy_per_input(side.mean, side.log_variance_at(ALL), side.initial_variance)
        found[f"entropy {name}"] = entropy.mean(axis=1)
        found[f"labels {name}"] = information_labels_per_input(side, LabelModel(0.1)).value.mean(axis=1)
        found[f"variance {name}"] = side.variance.mean(axis=1)
    return found


NETWORK = FullyConnected(depth=2, activation="erf", w_std=1.4, b_std=0.2)


@few
@given(seeds)
def test_rotated_inputs_and_reordered_problems_give_the_same_curves(seed):
    """Fully connected networks see inner products alone; the order of inputs and outputs is a name."""
    random = np.random.default_rng(seed)
    x, y = random.normal(size=(13, 4)), random.normal(size=(13, 2))
    turn = np.linalg.qr(random.normal(size=(4, 4)))[0]
    order, others = random.permutation(8), 8 + random.permutation(5)
    times = np.array([0.0, 0.01, 0.1])

    def curves(inputs, targets, train, test):
        data = Dataset(inputs[train], targets[train], inputs[test], targets[test])
        return summary(output_distribution(kernel_blocks(NETWORK, data), data, GradientFlow(), times))

    first = curves(x, y, np.arange(8), 8 + np.arange(5))
    for second in (curves(x @ turn, y, np.arange(8), 8 + np.arange(5)), curves(x, y[:, ::-1], order, others)):
        for name, values in first.items():
            np.testing.assert_allclose(values, second[name], rtol=1e-7, atol=1e-10, err_msg=name)


@many
@given(trainings)
def test_added_inputs_never_lower_the_function_space_values(problem):
    law, square = trained(problem)
    found = []
    for count in range(min(5, len(law.data.x_test)) + 1):
        some_inputs, cross = slice(0, count), law.blocks.test
        extra = None
        if count:
            extra = ExtraInputs(
                CrossBlocks(*(getattr(cross, name)[some_inputs] for name in vars(cross))),
                SquareBlocks(square.nngp[some_inputs, some_inputs], square.ntk[some_inputs, some_inputs]),
            )
        try:
            pair = function_space(law, extra), information_labels_function_space(law, LabelModel(0.3), extra)
        except NotDefiniteError:
            # More inputs than a linear network has weights: the joint prior is singular, and said to be.
            assert count + len(law.data.x_train) > law.data.x_train.shape[1]
            break
        found.append(pair)
    assert found
    for before, after in pairwise(found):
        for one, two in zip(before, after, strict=True):
            slack = one.standard_error + two.standard_error + 1e-8 * (1 + np.abs(one.value))
            assert np.all(two.value >= one.value - slack)


@many
@given(trainings)
def test_curves_are_continuous_in_time(problem):
    law, _ = trained(problem)
    times = law.times * (1 + 1e-7)
    later = output_distribution(law.blocks, law.data, law.procedure, times)
    second = summary(later)
    for name, values in summary(law).items():
        size = np.max(np.abs(values))
        # Relative slopes in log time are at most the number of decay times passed, 200 here, of a few kinds.
        assert np.all(np.abs(second[name] - values) <= 1e-4 * size + 1e-10), name
    outputs = [information_output(*one.test.separated_at(3), None)[0] for one in (law, later)]
    assert abs(outputs[0].value.value - outputs[1].value.value) < 1e-4 + sum(o.value.standard_error for o in outputs)


@st.composite
def hard_inputs(draw):
    """Inputs that repeat, nearly repeat, vanish, or differ in size: condition numbers of 1e16 and beyond."""
    random = np.random.default_rng(draw(seeds))
    x = random.normal(size=(14, 3))
    gap = 10.0 ** draw(st.floats(-17, -3))
    kind = draw(st.sampled_from(["repeated", "near", "spread", "zero", "parallel", "all near"]))
    if kind == "repeated":
        x[5], x[10], x[11] = x[0], x[1], x[10]
    elif kind == "near":
        x[5], x[10] = x[0] + gap, x[1] - gap
    elif kind == "spread":
        x *= np.logspace(0, np.log10(gap), 14)[random.permutation(14)][:, None]
    elif kind == "zero":
        x[2], x[9] = 0, 0
    elif kind == "parallel":
        x = np.arange(1, 15)[:, None] * x[:1]
    else:
        x = x[:1] + gap * x
    w_std = draw(st.sampled_from([1e-4, 0.3, 1.5, 20.0]))
    scale = draw(st.sampled_from([1e-6, 1.0, 1e4]))
    return x, w_std, draw(st.sampled_from([0.0, 0.1, 3.0])), scale, random


@many
@given(hard_inputs(), st.sampled_from([0.0, 1e-3]), st.integers(1, 2))
def test_no_quantity_is_nan_for_badly_conditioned_kernels(problem, ridge, outputs):
    x, w_std, b_std, scale, random = problem
    labels = np.arange(14) % 2
    y = scale * (random.normal(size=(14, outputs)) + labels[:, None])
    data = Dataset(x[:8], y[:8], x[8:], y[8:], labels[:8], labels[8:])
    blocks, _ = blocks_of(data.x_train, data.x_test, 2, w_std, b_std)
    times = np.array([0.0, 1e-6, 1.0, 1e5, 1e12, np.inf])
    law = output_distribution(blocks, data, GradientFlow(ridge=ridge), times)
    curves = curves_of(law, settings=CurveSettings(samples_per_input=8), progress=silent)
    for name, variable in curves.data_vars.items():
        if name.startswith("information_parameters") and "not computed" in curves.attrs["notes"]:
            continue  # a prior that is singular to rounding, and a note that says so
        assert not np.any(np.isnan(variable)), name
    labelled = information_labels_per_input(law.test, LabelModel(0.1 * scale**2))
    assert not np.any(np.isnan(labelled.value))
    assert not np.any(np.isnan(labelled.standard_error))


def test_the_hard_inputs_are_hard():
    random = np.random.default_rng(0)
    x = random.normal(size=(8, 3))
    x[5] = x[0] + 1e-8
    values = np.linalg.eigvalsh(blocks_of(x, x, 2, 1.5, 0.1)[0].train.nngp)
    assert values[-1] / max(values[0], 1e-300) > 1e12


def test_noise_keeps_the_order_of_function_space_values():
    """Target noise and a ridge: every added input raises both values here too."""
    random = np.random.default_rng(4)
    x, y = random.normal(size=(12, 8)), random.normal(size=(12, 2))
    data = Dataset(x[:6], y[:6], x[6:], y[6:])
    blocks, square = blocks_of(data.x_train, data.x_test, 2, 1.5, 0.1)
    base = GradientFlow(ridge=0.1, target_noise_variance=0.2)
    law = output_distribution(blocks, data, base, np.array([0.01, 0.3, 4.0]))
    quiet = output_distribution(blocks, data, replace(base, target_noise_variance=0.0), law.times)
    for one in (law, quiet):
        values = []
        for count in range(1, 6):
            chosen, cross = slice(0, count), blocks.test
            extra = ExtraInputs(
                CrossBlocks(*(getattr(cross, name)[chosen] for name in vars(cross))),
                SquareBlocks(square.nngp[chosen, chosen], square.ntk[chosen, chosen]),
            )
            values.append(function_space(one, extra).value)
        assert np.all(np.diff(np.array(values), axis=0) >= -1e-9)
