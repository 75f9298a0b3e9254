"""Outputs that are exactly equal, or exactly 0: they count by halves (1 − 1/k), whatever rounding makes of them."""

import numpy as np
import pytest

import ntkinfo as ni
from ntkinfo.core.progress import silent
from ntkinfo.generalization.evaluation import measure_all
from ntkinfo.information.losses import closed_form, wrong_class
from ntkinfo.information.member_error import error_member

LABELS = np.array([0, 1, 0, 1, 1, 0, 1, 0])
ERRORS = ["error_mean", "error_member"]


def curves_of(x, y, labels, network, x_test=None, labels_test=None, times=(1.0, np.inf)):
    x_test = x[:2] if x_test is None else x_test
    labels_test = labels[: len(x_test)] if labels_test is None else labels_test
    targets = 2.0 * labels_test[:, None] - 1 if y.shape[1] == 1 else np.eye(y.shape[1])[labels_test]
    data = ni.Dataset(x, y, x_test, targets, labels_train=labels, labels_test=labels_test)
    law = ni.output_distribution(ni.kernel_blocks(network, data), data, ni.GradientFlow(), np.array(times))
    return ni.curves_of(law, quantities=ERRORS, progress=silent)


@pytest.mark.parametrize(("activation", "outputs"), [("relu", 1), ("erf", 1), ("erf", 3)])
def test_a_blank_input_of_a_network_without_biases_is_undecided(activation, outputs):
    """All else is learned with certainty at infinity; 0 against 0 is one half, three equal outputs two thirds."""
    network = ni.FullyConnected(depth=2, activation=activation, w_std=1.3, b_std=0.0)
    for seed in range(2):
        x = np.random.default_rng(seed).standard_normal((8, 3))
        x[2] = 0
        labels = LABELS if outputs == 1 else np.arange(8) % 3
        y = np.where(LABELS == 1, 1.0, -1.0)[:, None] if outputs == 1 else np.eye(3)[labels]
        found = curves_of(x, y, labels, network, x_test=x[2:4] * [[1.0], [0.0]], labels_test=labels[2:4])
        right = 0.5 if outputs == 1 else 2 / 3
        for name in ERRORS:
            assert found[name].sel(split="train")[-1] == pytest.approx(right / 8, abs=1e-9)
            np.testing.assert_allclose(found[name].sel(split="test"), right, atol=1e-9)
        # Outputs that nothing moves are known exactly.
        np.testing.assert_allclose(found["error_mean_standard_error"].sel(split="test"), 0.0, atol=1e-12)


@pytest.mark.parametrize("outputs", [1, 2])
def test_opposite_inputs_of_one_class_are_undecided_in_an_odd_network(outputs):
    """Odd networks have f(x) + f(−x) = 0: in the end both are 0 (two outputs: equal), and both count one half."""
    network = ni.FullyConnected(depth=2, activation="erf", w_std=1.3, b_std=0.0)
    for seed in range(2):
        x = np.random.default_rng(seed).standard_normal((8, 3))
        x[2], labels = -x[0], LABELS
        y = np.where(labels == 1, 1.0, -1.0)[:, None] if outputs == 1 else np.eye(2)[labels]
        found = curves_of(x, y, labels, network, x_test=x[[0, 2]], labels_test=labels[[0, 2]])
        for name in ERRORS:
            values, errors = (found[key].sel(split="train")[-1].item() for key in (name, f"{name}_standard_error"))
            assert values == pytest.approx(1 / 8, abs=1e-9)
            # Rounding could decide either of them: the stated error covers that.
            assert errors >= 1 / 8
            assert found[name].sel(split="test")[-1] == pytest.approx(0.5, abs=1e-9)


def test_classes_without_examples_tie_with_each_other():
    x = np.random.default_rng(1).standard_normal((8, 3))
    y = np.eye(4)[LABELS]
    found = curves_of(x, y, LABELS, ni.FullyConnected(depth=1), x[:2], np.array([2, 3]), times=(0.0, np.inf))
    # Nothing is learned at 0: four equal outputs; in the end the right ones beat the two that stay at 0.
    np.testing.assert_allclose(found["error_mean"].sel(split="test"), [0.75, 1.0])
    np.testing.assert_allclose(found["error_mean"].sel(split="train"), [0.75, 0.0])


def test_outputs_are_equal_within_what_rounding_leaves_and_not_beyond():
    mean = np.array([[[1.0, 1.0 + 1e-15, 0.2], [1.0, 1.0 + 1e-6, 0.2], [0.3, 0.3, 0.3 - 1e-16]]])
    labels, ties = np.array([0, 0, 1]), np.full((1, 3), 1e-12)
    np.testing.assert_allclose(wrong_class(mean, labels, ties)[0], [0.5, 1.0, 2 / 3])
    np.testing.assert_allclose(wrong_class(mean, labels)[0], [1.0, 1.0, 0.5])
    single = np.array([[[1e-16], [-1e-16], [1e-9], [-1e-9]]])
    ones = np.ones(4, dtype=int)
    np.testing.assert_allclose(wrong_class(single, ones, np.full((1, 4), 1e-12))[0], [0.5, 0.5, 0.0, 1.0])
    for variance in (0.0, 1e-30):
        law = mean, np.full((1, 3), variance)
        assert error_member(*law, labels, ties=ties).value == pytest.approx((0.5 + 1 + 2 / 3) / 3)
        losses = closed_form(*law, mean[0], labels, ties=ties)
        assert losses["error_mean"] == pytest.approx((0.5 + 1 + 2 / 3) / 3)


def test_early_outputs_are_no_ties_though_they_are_small():
    """After a time of 1e-14 outputs are of that size, and their signs are those of the first step."""
    x = np.random.default_rng(2).standard_normal((8, 3))
    y = np.where(LABELS == 1, 1.0, -1.0)[:, None]
    early, first = (curves_of(x, y, LABELS, ni.FullyConnected(depth=1), times=(time,)) for time in (1e-14, 1e-6))
    np.testing.assert_allclose(early["error_mean"], first["error_mean"])


def test_leave_one_out_and_margins_count_ties_by_halves():
    """Without the blank input its output is 0; of opposite inputs of one class each says the contrary of the other."""
    x = np.random.default_rng(3).standard_normal((8, 3))
    x[2] = 0
    y = np.where(LABELS == 1, 1.0, -1.0)[:, None]
    data = ni.Dataset(x, y, x[:2] + 1, y[:2], labels_train=LABELS, labels_test=LABELS[:2])
    network = ni.FullyConnected(depth=2, activation="erf", w_std=1.3, b_std=0.0)
    blocks = ni.kernel_blocks(network, data)
    kernel, rest = blocks.train.ntk, np.delete(np.arange(8), 2)
    ridge = 0.1
    wrong = 0.5
    for i in rest:
        others = np.delete(np.arange(8), i)
        alpha = np.linalg.solve(kernel[np.ix_(others, others)] + ridge * np.eye(7), y[others, 0])
        wrong += float(np.sign(kernel[i, others] @ alpha) != y[i, 0])
    law = ni.output_distribution(blocks, data, ni.GradientFlow(ridge=ridge), np.array([1.0, np.inf]))
    found = measure_all(law, names=["loo_error"], progress=silent)["loo_error"]
    assert float(found.sel(kernel="ntk").squeeze()) == pytest.approx(wrong / 8)
