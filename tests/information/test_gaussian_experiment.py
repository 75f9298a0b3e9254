"""Shwartz-Ziv & Alemi 2019 on jointly Gaussian data: no ensemble beats the Gaussian information bottleneck."""

from __future__ import annotations

import numpy as np
import pytest

from ntkinfo.bottleneck.gaussian import GaussianBottleneck
from ntkinfo.data.synthetic import GaussianPair
from ntkinfo.information.phases import phases
from ntkinfo.information.plane import closest_approach, frontier_distance
from ntkinfo.information.population import population_information
from ntkinfo.kernels.architectures import FullyConnected
from ntkinfo.kernels.blocks import kernel_blocks
from ntkinfo.training.output_distribution import output_distribution
from ntkinfo.training.procedures import GradientFlow

PAIR = GaussianPair.random((0.9,), (30, 1), seed=0)
FRONTIER = GaussianBottleneck.of(PAIR).frontier
COARSE = np.concatenate([[0.0], np.geomspace(1e-2, 1e2, 9), [np.inf]])
FINE = np.concatenate([[0.0], np.geomspace(1e-3, 1e3, 25), [np.inf]])


def trajectory(activation, w_std, times, **sizes):
    data = PAIR.dataset(256, 2, seed=0)
    blocks = kernel_blocks(FullyConnected(depth=3, activation=activation, w_std=w_std, b_std=0.0), data)
    law = output_distribution(blocks, data, GradientFlow(), times)
    return population_information(law.at, PAIR, batches=2, seed=1, **sizes).trajectory


def check(found, largest_error, told_apart):
    distance = frontier_distance(found, FRONTIER)
    assert np.all(found.standard_errors < largest_error)
    # Near the start both lie at zero: there nothing but the errors keeps the two apart.
    assert np.all(distance.vertical > -2 * distance.vertical_error)
    learned = found.information_target > 0.5 * found.information_target.max()
    assert np.all(distance.vertical[learned] > 0)
    # The error is small enough to tell the trajectory from the frontier by so many errors somewhere.
    assert np.max(distance.vertical / distance.vertical_error) > told_apart
    assert np.all(found.information_target <= PAIR.mutual_information)
    return distance


@pytest.mark.parametrize(("activation", "w_std"), [("erf", 0.8), ("relu", 1.2)])
def test_below_the_frontier(activation, w_std):
    found = trajectory(activation, w_std, COARSE, inputs=4096, queries=512)
    check(found, 0.02, 4)
    first = phases(found.times, found.information_input, found.covariance[0, :, 0])[0]
    assert first.kind == "fitting"
    assert first.probability > 0.99
    near = closest_approach(found, FRONTIER)
    assert near.distance > 3 * near.distance_error


def test_values_of_a_finite_set_of_inputs_would_not_do():
    """The information about 64 inputs, taken for that about X, stays below log 64 where the truth lies beyond."""
    found = trajectory("erf", 0.5, np.array([np.inf]), inputs=2048, queries=512)
    assert found.information_input[0] > np.log(64)


@pytest.mark.slow
@pytest.mark.parametrize("w_std", [0.6, 0.8, 1.2, 2.0])
@pytest.mark.parametrize("activation", ["erf", "relu"])
def test_below_the_frontier_at_every_time_for_all_networks(activation, w_std):
    found = trajectory(activation, w_std, FINE, inputs=8192, queries=1024)
    # Widely spread initial weights leave little to learn: at 2.0 the largest distance is 0.014 nats, three errors.
    check(found, 0.035, 2.5)
