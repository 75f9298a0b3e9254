"""Drift and diffusion in closed form against recursions of dense moments in parameter space."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ntkinfo.core.records import Dataset
from ntkinfo.finite.langevin import information_course, langevin_phases
from ntkinfo.information.output import information_input
from ntkinfo.kernels.records import CrossBlocks, KernelBlocks, SquareBlocks
from ntkinfo.training.discrete import GradientDescent, HeavyBall
from ntkinfo.training.output_distribution import output_distribution
from ntkinfo.training.procedures import Converged, GradientFlow

RANDOM = np.random.default_rng(5)
N, P, C = 4, 9, 2
JACOBIAN = RANDOM.normal(size=(N + 1, P)) / 3
FEATURES = RANDOM.normal(size=(N + 1, 7)) / 3
TANGENT, PRIOR = JACOBIAN @ JACOBIAN.T, FEATURES @ FEATURES.T
TARGETS = 3 * RANDOM.normal(size=(N, C))
DATA = Dataset(RANDOM.normal(size=(N, 2)), TARGETS, RANDOM.normal(size=(1, 2)), np.zeros((1, C)))
BLOCKS = KernelBlocks(
    SquareBlocks(PRIOR[:N, :N], TANGENT[:N, :N]),
    CrossBlocks(PRIOR[N:, :N], TANGENT[N:, :N], PRIOR[[N], [N]], TANGENT[[N], [N]]),
)
STEP, TAU = 0.2, 0.03


def recursion(steps, ridge, noise, tau=TAU, step=STEP):
    """|E D|², tr Cov D over all outputs after each step, from moments of (δ, f_0 − Y) of every output."""
    jacobian = JACOBIAN[:N]
    squeeze = np.eye(P) - step * (jacobian.T @ jacobian + ridge * np.eye(P))
    move = np.block([[squeeze, -step * jacobian.T], [np.zeros((N, P)), np.eye(N)]])
    kick = np.zeros((P + N, P + N))
    kick[:P, :P] = 2 * tau * step * np.eye(P)
    look = np.hstack([jacobian @ (jacobian.T @ jacobian + ridge * np.eye(P)), jacobian @ jacobian.T])
    mean = np.vstack([np.zeros((P, C)), -TARGETS])
    spread = np.zeros((P + N, P + N))
    spread[P:, P:] = PRIOR[:N, :N] + noise * np.eye(N)
    for _ in range(steps):
        mean, spread = move @ mean, move @ spread @ move.T + kick
    return np.sum((look @ mean) ** 2), C * np.trace(look @ spread @ look.T)


@pytest.mark.parametrize(("ridge", "noise"), [(0.0, 0.0), (0.3, 0.0), (0.3, 0.5)])
def test_moments_are_those_of_the_recursion_in_parameter_space(ridge, noise):
    steps = np.array([0, 1, 2, 5, 20, 100])
    procedure = GradientDescent(step_size=STEP, temperature=TAU, ridge=ridge, target_noise_variance=noise)
    found = langevin_phases(output_distribution(BLOCKS, DATA, procedure, STEP * steps * (1 + 1e-12)))
    expected = np.array([recursion(int(k), ridge, noise) for k in steps])
    np.testing.assert_allclose(found.signal**2, expected[:, 0], rtol=1e-9)
    np.testing.assert_allclose(found.spread**2, expected[:, 1], rtol=1e-9)
    assert found.diffusion**2 == pytest.approx(2 * TAU * C * np.trace(TANGENT[:N, :N]) / STEP)
    total = expected.sum(axis=1)
    np.testing.assert_allclose(found.ratio_member**2, total / found.diffusion**2, rtol=1e-9)
    np.testing.assert_allclose(
        found.ratio_ensemble**2, expected[:, 0] / (expected[:, 1] + found.diffusion**2), rtol=1e-9
    )
    np.testing.assert_allclose(found.drift**2, total, rtol=1e-9)


def test_mean_loss_is_the_same_course_in_another_time():
    times = np.geomspace(0.1, 30, 9)
    summed = output_distribution(BLOCKS, DATA, GradientFlow(temperature=TAU), times)
    mean = output_distribution(BLOCKS, DATA, GradientFlow(temperature=TAU / (N * C), loss="mean"), N * C * times)
    first, second = langevin_phases(summed, 0.1), langevin_phases(mean, 0.1 * N * C)
    np.testing.assert_allclose(first.ratio_member, second.ratio_member, rtol=1e-12)
    assert second.transition_member.time == pytest.approx(N * C * first.transition_member.time)


def test_flow_is_the_limit_of_small_steps():
    times = np.array([0.4, 2.0, 8.0])
    flow = langevin_phases(output_distribution(BLOCKS, DATA, GradientFlow(temperature=TAU, ridge=0.2), times), 0.1)
    steps = [recursion(round(t / 4e-3), 0.2, 0.0, step=4e-3) for t in times]
    np.testing.assert_allclose(flow.signal**2 + flow.spread**2, np.sum(steps, axis=1), rtol=2e-2)


def test_the_crossing_is_where_signal_and_noise_are_equal():
    law = output_distribution(BLOCKS, DATA, GradientFlow(temperature=TAU), np.geomspace(0.01, 100, 25))
    coarse = langevin_phases(law, 0.05)
    for name in ("member", "ensemble"):
        time = getattr(coarse, f"transition_{name}").time
        at = langevin_phases(replace(law, times=np.array([time]), internal_times=np.array([time])), 0.05)
        assert getattr(at, f"ratio_{name}")[0] == pytest.approx(1, abs=1e-9)
    stepped = GradientDescent(step_size=STEP, temperature=TAU)
    found = langevin_phases(output_distribution(BLOCKS, DATA, stepped, STEP * np.array([1, 4, 16, 64, 256, 1024])))
    first = round(found.transition_member.time / STEP)
    assert found.transition_member.time == pytest.approx(first * STEP, rel=1e-9)
    before, after = (np.sum(recursion(k, 0.0, 0.0)) / found.diffusion**2 for k in (first - 1, first))
    assert before > 1 > after


def test_heat_melts_the_transition_away():
    hot = output_distribution(BLOCKS, DATA, GradientFlow(temperature=300.0), np.geomspace(0.01, 100, 9))
    assert langevin_phases(hot, 0.05).transition_ensemble.state == "below from the start"


def test_growth_of_the_parameters_is_two_tau_t():
    times = np.array([0.0, 1.0, 10.0])
    found = langevin_phases(output_distribution(BLOCKS, DATA, GradientFlow(temperature=TAU), times), 0.1)
    np.testing.assert_allclose(found.parameter_growth, 2 * TAU * times)


def test_information_over_time_is_that_of_each_time():
    law = output_distribution(BLOCKS, DATA, GradientFlow(temperature=TAU), np.array([0.5, 5.0])).train
    found = information_course(law, samples=256)
    again = information_input(law.mean[1], law.variance[1], samples=256).value
    assert found.value[1] == float(again.value)
    assert np.all(found.standard_error >= 0)


@pytest.mark.parametrize(
    ("procedure", "resolution", "message"),
    [
        (HeavyBall(step_size=0.1, momentum=0.5, temperature=0.0), None, "GradientFlow or GradientDescent"),
        (Converged(temperature=0.1, ridge=0.1), 0.1, "GradientFlow or GradientDescent"),
        (GradientFlow(), 0.1, "temperature is 0"),
        (GradientFlow(temperature=0.1), None, "resolution is missing"),
        (GradientFlow(temperature=0.1), -1.0, "greater than 0"),
    ],
)
def test_what_has_no_phases_is_refused(procedure, resolution, message):
    law = output_distribution(BLOCKS, DATA, procedure, np.array([1.0, 2.0]))
    with pytest.raises(ValueError, match=message):
        langevin_phases(law, resolution)
