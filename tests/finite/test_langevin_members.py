"""Networks of finite width with injected noise: their law, their drift and diffusion, and when diffusion wins."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
import pytest

from ntkinfo.core.arrays import float64
from ntkinfo.core.progress import silent
from ntkinfo.core.records import Dataset
from ntkinfo.finite.gradient_phases import SignalToNoise
from ntkinfo.finite.langevin import langevin_phases
from ntkinfo.finite.langevin_comparison import Against, compare_langevin
from ntkinfo.finite.langevin_members import LangevinMembers, LangevinSettings, _Member, train_langevin
from ntkinfo.finite.networks import finite_network
from ntkinfo.kernels.architectures import FullyConnected
from ntkinfo.kernels.blocks import kernel_blocks
from ntkinfo.training.discrete import GradientDescent
from ntkinfo.training.output_distribution import output_distribution
from ntkinfo.training.procedures import GradientFlow

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(7, 4))
DATA = Dataset(X[:6], np.sin(2 * X[:6, :1]) + 0.3 * X[:6, 1:2], X[6:], np.zeros((1, 1)))
NETWORK = FullyConnected(depth=1, activation="erf", w_std=1.5, b_std=0.1)
STEP, TAU = 0.05, 2e-4
TIMES = STEP * np.array([0, 1, 4, 16, 60, 120, 180, 240]) * (1 + 1e-12)


@pytest.fixture(scope="module")
def law():
    procedure = GradientDescent(step_size=STEP, temperature=TAU)
    return output_distribution(kernel_blocks(NETWORK, DATA), DATA, procedure, TIMES)


@pytest.fixture(scope="module")
def members(law):
    return train_langevin(NETWORK, law, LangevinSettings(width=256, members=48, steps=8), silent)


def test_members_follow_the_law_and_pass_from_drift_to_diffusion_when_it_says(law, members):
    found = compare_langevin(members, law, replicas=8)
    for name in ("drift", "sampled_drift", "variance", "information", "ratio"):
        assert np.all(np.abs(getattr(found, name).deviations) < 4.5), name
    assert np.all(np.abs(found.mean_deviations) < 4.5)
    for name in ("diffusion", "sampled_diffusion"):
        assert np.all(np.abs(getattr(found, name).relative) < 0.1), name
    exact = langevin_phases(law).transition_member
    assert exact.state == found.transition.state == "crossed"
    # Between records the members' ratio is interpolated; the law's crossing is exact.
    assert found.transition.earliest * 0.85 < exact.time < found.transition.latest * 1.15


def test_noisy_steps_measure_what_differentiation_says(members):
    for sampled, exact in (
        (members.sampled.signal_squared, members.drift_squared),
        (members.sampled.noise_squared, members.diffusion_squared),
    ):
        differences = np.asarray(sampled) / exact.mean(axis=1, keepdims=True) - exact / exact.mean(
            axis=1, keepdims=True
        )
        errors = differences.std(axis=1, ddof=1) / np.sqrt(differences.shape[1])
        assert np.all(np.abs(differences.mean(axis=1)) < 4.5 * errors)


def test_the_comparison_notices_another_temperature(law, members):
    hotter = replace(law.procedure, temperature=4 * TAU)
    other = output_distribution(law.blocks, DATA, hotter, TIMES)
    found = compare_langevin(members, other, replicas=8)
    assert np.all(np.abs(found.diffusion.relative) > 0.2)
    assert np.abs(found.drift.deviations[-1]) > 4


@pytest.fixture(scope="module")
def finite():
    return finite_network(NETWORK, DATA.x_train, 1, 64)


def test_drift_and_diffusion_of_one_member_by_dense_jacobians(finite):
    member = _Member(finite, DATA.y_train, STEP, TAU, LangevinSettings(width=64, members=3, steps=4))
    with float64():
        start = member.initialise(jax.random.key(3))
        seen = {name: np.asarray(value) for name, value in jax.jit(member.observe)(start, jax.random.key(4)).items()}
        dense = jax.jit(jax.jacobian(lambda at: finite.apply(at, finite.inputs)[:, 0]))
        jacobian = np.asarray(dense(start))
        outputs = np.asarray(finite.apply(start, finite.inputs))
    drift = jacobian @ jacobian.T @ (outputs - DATA.y_train)
    assert seen["drift"] == pytest.approx(np.sum(drift**2))
    assert seen["diffusion"] == pytest.approx(2 * TAU * np.sum(jacobian**2) / STEP)
    np.testing.assert_allclose(seen["outputs"], outputs)


def test_kicks_have_the_variance_of_the_step(finite):
    member = _Member(finite, DATA.y_train, STEP, TAU, LangevinSettings())
    with float64():
        kick = np.asarray(member.kicked(np.zeros(200_000), jax.random.key(0)))
    assert kick.var() == pytest.approx(2 * TAU * STEP, rel=0.02)


def test_an_against_counts_in_standard_errors():
    found = Against(np.array([3.0]), np.array([0.5]), np.array([2.0]))
    assert (found.deviations[0], found.relative[0]) == (2.0, 0.5)


@pytest.mark.parametrize(
    ("procedure", "times", "message"),
    [
        (GradientFlow(temperature=TAU), TIMES, "GradientDescent"),
        (GradientDescent(step_size=STEP, temperature=TAU, ridge=0.1), TIMES, "no ridge"),
        (GradientDescent(step_size=STEP), TIMES, "temperature is 0"),
        (GradientDescent(step_size=STEP, temperature=TAU), STEP * np.array([1.0, 1.2]), "same step"),
    ],
)
def test_laws_that_members_cannot_follow_are_refused(law, procedure, times, message):
    other = output_distribution(law.blocks, DATA, procedure, times)
    with pytest.raises(ValueError, match=message):
        train_langevin(NETWORK, other, LangevinSettings(width=64, members=3))


def test_other_times_than_the_law_has_are_refused(law):
    nothing = SignalToNoise(*(np.zeros((1, 3)) for _ in range(4)))
    few = LangevinMembers(
        TIMES[:1], np.zeros((1, 3, 6, 1)), np.zeros((1, 3)), np.zeros((1, 3)), nothing, LangevinSettings()
    )
    with pytest.raises(ValueError, match="other times"):
        compare_langevin(few, law)
