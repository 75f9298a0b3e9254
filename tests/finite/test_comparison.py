"""Comparison of members with a law: exact nulls by closed form, by simulation, and departures that are known."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

import ntkinfo as ni
from ntkinfo.finite.comparison import Comparator, ComparisonSettings, Family, holm
from ntkinfo.finite.comparison_divergence import chance, divergence_joint, divergence_per_input
from ntkinfo.finite.comparison_members import LawMembers
from ntkinfo.finite.comparison_moments import (
    mean_scores,
    sample_moments,
    variance_scores,
    variance_scores_any_shape,
)
from tests.known_comparison import CHANCES, ScaleMixture
from tests.random_features import RandomFeatures

RNG = np.random.default_rng(0)
FEW = ComparisonSettings(level=0.1, replicates=59, joint_inputs=3, directions=4)


def small_law(procedure=None, times=(0.0, 0.2, 0.6), outputs=2):
    """A little network's law; the kernels among the test inputs are known."""
    random = np.random.default_rng(3)
    data = ni.Dataset(
        random.normal(size=(6, 3)), random.normal(size=(6, outputs)), random.normal(size=(5, 3)), np.zeros((5, outputs))
    )
    network = ni.FullyConnected(depth=1, activation="erf", w_std=1.3, b_std=0.2)
    procedure = procedure or ni.GradientFlow()
    return ni.output_distribution(ni.kernel_blocks(network, data), data, procedure, np.asarray(times))


LAW = small_law()


@pytest.mark.parametrize(
    "procedure",
    [
        ni.GradientFlow(),
        ni.GradientDescent(step_size=0.05, ridge=0.2),
        ni.GradientFlow(target_noise_variance=0.4),
        ni.GradientFlow(prior="ntk"),
        ni.GradientFlow(temperature=0.05),
    ],
)
def test_members_of_the_law_have_its_moments(procedure):
    """Means and covariances of drawn members against the closed forms, train and test."""
    law, members = small_law(procedure), 6000
    drawn = LawMembers(law).draw(7, members)
    for split, one in (("train", law.train), ("test", law.test)):
        scores = (drawn[split].mean(axis=1) - one.mean) / np.sqrt(one.variance / members)[..., None]
        assert np.max(np.abs(scores)) < 4.5
        for index, time in enumerate(law.times):
            covariance = np.asarray(one.covariance(float(time)))
            left = drawn[split][index] - np.asarray(one.mean)[index]
            sample = np.einsum("mpc,mqc->pq", left, left) / (members * law.n_outputs)
            diagonal = np.diag(covariance)
            error = np.sqrt((np.outer(diagonal, diagonal) + covariance**2) / (members * law.n_outputs))
            assert np.max(np.abs(sample - covariance) / error) < 4.5


def test_members_follow_their_own_trajectories():
    """A member with a known start, by dense algebra: f_t = f_0 − Θ(·, X) A_t (f_0(X) − Y), test and train together."""
    features = RandomFeatures()
    law = ni.output_distribution(features.blocks, features.data, ni.GradientFlow(), np.array([0.0, 0.3, 2.0]))
    drawn = LawMembers(law).draw(1, 3)
    start = np.concatenate([drawn["train"][0], drawn["test"][0]], axis=1)
    kernel = features.jacobian @ features.jacobian[: features.n].T
    for index, time in enumerate(law.times):
        values, vectors = np.linalg.eigh(kernel[: features.n])
        gain = (vectors * ((1 - np.exp(-values * time)) / values)) @ vectors.T
        wanted = start - np.einsum("pn,mnc->mpc", kernel @ gain, start[:, : features.n] - features.data.y_train)
        found = np.concatenate([drawn["train"][index], drawn["test"][index]], axis=1)
        np.testing.assert_allclose(found, wanted, atol=1e-8)


def test_chosen_times_only_and_no_source():
    some = LawMembers(LAW, chosen=(2,)).draw(0, 4)
    assert some["train"].shape == (1, 4, 6, 2)
    features = RandomFeatures()
    blocks = replace(features.blocks, source=None)
    law = ni.output_distribution(blocks, features.data, ni.GradientFlow(), np.array([0.1]))
    with pytest.raises(ValueError, match="no source"):
        LawMembers(law).draw(0, 4)


def test_moments_against_plain_formulas():
    outputs, mean = RNG.normal(size=(2, 30, 3, 4)), RNG.normal(size=(2, 3, 4))
    moments = sample_moments(outputs, mean)
    np.testing.assert_allclose(moments.offset, outputs.mean(1) - mean, atol=1e-14)
    np.testing.assert_allclose(moments.variance, outputs.var(1, ddof=1).mean(-1))
    left = np.moveaxis(outputs - outputs.mean(1, keepdims=True), 3, 2).reshape(2, -1, 3)
    np.testing.assert_allclose(moments.skewness, scipy.stats.skew(left, axis=1))
    np.testing.assert_allclose(moments.kurtosis, scipy.stats.kurtosis(left, axis=1))
    with pytest.raises(ValueError, match="at least 2"):
        sample_moments(outputs[:, :1], mean)
    with pytest.raises(ValueError, match="NaN"):
        sample_moments(np.where(outputs > 2, np.nan, outputs), mean)


def test_scores_are_standard_under_the_law():
    """4000 ensembles at once: means 0 and variances 1 of the scores, by both kinds of standard error."""
    outputs = np.sqrt(0.3) * RNG.normal(size=(4000, 50, 1, 3)) + 2
    moments, variance = sample_moments(outputs, np.full((4000, 1, 3), 2.0)), np.full((4000, 1), 0.3)
    for scores in (mean_scores(moments, variance), variance_scores(moments, variance)):
        assert abs(scores.mean()) * np.sqrt(scores.size) < 4
        assert scores.var() == pytest.approx(1, abs=5 * np.sqrt(2.5 / scores.size))
    # The members' own error is as large on average as the Gaussian one.
    ratio = moments.variance_error / (variance * np.sqrt(2 / moments.freedom))
    assert ratio.mean() == pytest.approx(1, abs=0.03)
    assert np.std(variance_scores_any_shape(moments, variance)) == pytest.approx(1, abs=0.1)


def test_error_of_the_variance_allows_for_outputs_that_depend_on_each_other():
    """With a scale shared by the outputs the Gaussian error is too small, the members' own is right."""
    mixture, members = ScaleMixture(0.5), 200
    outputs = np.stack([mixture.draw(RNG, (members, 1, 8)) for _ in range(1500)])
    moments = sample_moments(outputs, np.zeros((1500, 1, 8)))
    real = np.std(moments.variance)
    assert real > 1.5 * np.sqrt(2 / moments.freedom)
    assert np.sqrt(np.mean(moments.variance_error**2)) == pytest.approx(real, rel=0.1)


@pytest.mark.parametrize("known", CHANCES)
def test_divergence_by_chance(known):
    """Closed form for one input, and simulation for one and for three inputs jointly."""
    exact = chance(known.members, known.outputs)
    assert exact.mean == pytest.approx(known.mean, rel=1e-12)
    assert exact.std == pytest.approx(known.std, rel=1e-12)
    repeats = 3000
    outputs = RNG.normal(size=(repeats, known.members, 1, known.outputs))
    found = divergence_per_input(sample_moments(outputs, np.zeros((repeats, 1, known.outputs))), np.ones((repeats, 1)))
    assert abs(found.mean() - exact.mean) < 4 * exact.std / np.sqrt(repeats)
    assert found.std() == pytest.approx(exact.std, rel=0.15)
    root = np.linalg.cholesky(np.cov(RNG.normal(size=(3, 10))))
    outputs = np.einsum("qr,tmrc->tmqc", root, RNG.normal(size=(repeats, known.members, 3, known.outputs)))
    joint = chance(known.members, known.outputs, 3)
    zero, lower = np.zeros((repeats, 3, known.outputs)), np.broadcast_to(root, (repeats, 3, 3))
    found = divergence_joint(outputs, zero, lower)
    assert abs(found.mean() - joint.mean) < 4 * joint.std / np.sqrt(repeats)
    assert found.std() == pytest.approx(joint.std, rel=0.15)


def test_divergence_of_a_shift_and_a_stretch():
    """Members that are exactly N(μ + a, b v): KL = ½ C(b − 1 − log b + a²/v), per input and jointly."""
    base = RNG.normal(size=(1, 400, 2, 3))
    base = base - base.mean(axis=1, keepdims=True)
    flat = np.moveaxis(base[0], 1, 0).reshape(2, -1)
    base = np.einsum("qr,tmrc->tmqc", np.linalg.inv(np.linalg.cholesky(flat @ flat.T / (3 * 399))), base)
    outputs, mean = 0.5 + np.sqrt(1.7) * base, np.zeros((1, 2, 3))
    each = 0.5 * 3 * (0.7 - np.log(1.7) + 0.25)
    np.testing.assert_allclose(divergence_per_input(sample_moments(outputs, mean), np.ones((1, 2))), each)
    np.testing.assert_allclose(divergence_joint(outputs, mean, np.eye(2)[None]), 2 * each)
    with pytest.raises(ValueError, match="degrees of freedom"):
        chance(3, 1, 2)


def test_every_family_keeps_its_level_under_the_law():
    """Ensembles from the law: the share of false alarms at the level, for all families, and p-values that are fair."""
    comparator, source = Comparator(LAW, FEW), LawMembers(LAW)
    results = [comparator.compare(source.draw(1000 + repeat, 40)) for repeat in range(120)]
    for kind in ("agreement", "shape"):
        for name in getattr(results[0], kind):
            p_values = np.array([getattr(result, kind)[name].p_value for result in results])
            # The null law is itself of 59 ensembles: p ≤ 0.2 has probability 0.2, give or take its own error.
            assert abs(np.mean(p_values <= 0.2) - 0.2) < 4 * np.sqrt(0.16 * (1 / 120 + 1 / 60)), name
            assert np.mean(p_values <= 0.05) < 0.16, name


def test_departures_are_found_where_they_are():
    """A shift of the mean and a stretch at the last time: those families reject there and not before."""
    comparator = Comparator(LAW, ComparisonSettings(replicates=99, joint_inputs=3, directions=4))
    outputs = LawMembers(LAW).draw(5, 200)
    stretched = {split: one.copy() for split, one in outputs.items()}
    centre = np.asarray(LAW.test.mean)[2]
    stretched["test"][2] = centre + 1.35 * (stretched["test"][2] - centre)
    result = comparator.compare(stretched)
    p_values = result.agreement["variance"].p_values
    assert p_values[2] == pytest.approx(0.01)
    assert np.all(p_values[:2] > 0.05)
    assert result.agreement["joint divergence"].p_value == pytest.approx(0.01)
    shifted = {split: one.copy() for split, one in outputs.items()}
    shifted["train"][1, :, 0, 0] += 0.5 * np.sqrt(np.asarray(LAW.train.variance)[1, 0])
    result = comparator.compare(shifted)
    assert result.agreement["mean"].p_values[1] == pytest.approx(0.01)
    assert result.agreement["mean"].p_values[2] > 0.05
    assert result.splits["train"].mean_score[1, 0, 0] > result.agreement["mean"].limit


def test_what_rounding_hides_is_left_out_and_said():
    law = small_law(times=(0.1, 60.0))
    outputs = LawMembers(law).draw(2, 40)
    noisy = {split: one + 1e-4 * RNG.normal(size=one.shape) for split, one in outputs.items()}
    result = Comparator(law, replace(FEW, rounding=1e-4)).compare(noisy)
    kept = result.splits["train"].resolved
    assert np.all(kept[0])
    assert not np.all(kept[1])
    assert np.all(np.isnan(result.splits["train"].mean_score[~kept]))
    assert "left out" in result.notes[-1]
    blind = Comparator(law, FEW).compare(noisy)
    assert blind.agreement["variance"].p_value < 0.02
    assert result.agreement["variance"].p_value > 0.02


def test_more_members_than_the_null_law_and_gradient_noise_are_noted():
    law = small_law(ni.GradientFlow(temperature=0.05))
    settings = ComparisonSettings(level=0.2, replicates=39, null_members=30, joint_inputs=2)
    result = Comparator(law, settings).compare(LawMembers(law).draw(0, 50))
    assert any("null law of 30 members used for 50" in note for note in result.notes)
    assert any("independent of each other" in note for note in result.notes)


def test_family_limits_are_quantiles_of_the_largest():
    null = np.stack([np.arange(99.0), np.zeros(99)], axis=1)
    family = Family("", "", np.array([97.5, np.nan]), null, 2, 0.05)
    assert family.limit == 94
    assert family.expected == 49
    assert family.p_values[0] == pytest.approx(2 / 100)
    assert np.isnan(family.p_values[1])
    assert family.p_value == pytest.approx(0.02)


def test_holm():
    """Against the definition: sorted p times what is left, never falling."""
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert found == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})


def test_bad_input():
    with pytest.raises(ValueError, match="at least 99"):
        ComparisonSettings(replicates=10)
    with pytest.raises(ValueError, match="infinity"):
        Comparator(small_law(times=(1.0, np.inf)))
    with pytest.raises(ValueError, match="too few"):
        Comparator(LAW, FEW).compare(LawMembers(LAW).draw(0, 10))
    with pytest.raises(ValueError, match="shape"):
        Comparator(LAW, FEW).compare({split: one[:2] for split, one in LawMembers(LAW).draw(0, 30).items()})


def repeating(rows, near=0.0):
    """A law whose test inputs are these of its five, those from the sixth on moved a little."""
    base = small_law()
    moved = base.data.x_test[rows] * (1 + near * np.maximum(np.arange(len(rows)) - 4, 0))[:, None]
    data = ni.Dataset(base.data.x_train, base.data.y_train, moved, np.zeros((len(rows), 2)))
    network = ni.FullyConnected(depth=1, activation="erf", w_std=1.3, b_std=0.2)
    return ni.output_distribution(ni.kernel_blocks(network, data), data, base.procedure, base.times)


@pytest.mark.parametrize(("rows", "near"), [([0, 0, 0, 1, 2, 3, 3, 4], 0.0), ([0, 1, 2, 3, 4, 0, 1, 2], 1e-9)])
def test_inputs_that_repeat_are_taken_together_once(rows, near):
    """Divergence of the chosen inputs against the law of these alone; the level of every family is kept."""
    law = repeating(rows, near)
    comparator = Comparator(law, replace(FEW, joint_inputs=4))
    drawn = LawMembers(law).draw(5, 40)
    result = comparator.compare(drawn)
    chosen = list(result.joint_inputs)
    assert len({rows[index] for index in chosen}) == len(chosen) == 4
    alone = repeating([rows[index] for index in chosen])
    covariance = [np.asarray(alone.test.covariance(float(time))) for time in alone.times]
    expected = divergence_joint(
        drawn["test"][:, :, chosen], np.asarray(alone.test.mean), np.linalg.cholesky(covariance)
    )
    np.testing.assert_allclose(
        result.joint_divergence, expected - result.joint_chance.mean, rtol=0, atol=1e-6 if near else 1e-10
    )
    assert not any("taken together" in note for note in result.notes)
    assert all(family.p_value > 0.01 for family in {**result.agreement, **result.shape}.values())


def test_too_few_inputs_that_differ_are_said():
    law = repeating([0, 0, 0, 1, 1])
    result = Comparator(law, FEW).compare(LawMembers(law).draw(5, 40))
    assert result.joint_inputs == (0, 3)
    assert "2 test inputs taken together instead of 3" in " ".join(result.notes)
    assert Comparator(LAW, FEW).compare(LawMembers(LAW).draw(5, 40)).joint_inputs == (0, 2, 4)  # none repeats
