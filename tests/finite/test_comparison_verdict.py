"""Verdicts in words: until when, what, by how much and why; information and studies of one width."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ntkinfo.core.records import Estimate
from ntkinfo.finite.comparison import Comparator, ComparisonSettings
from ntkinfo.finite.comparison_information import InformationSettings, information_of_members
from ntkinfo.finite.comparison_members import LawMembers
from ntkinfo.finite.comparison_study import scaling_of, study_width
from ntkinfo.finite.ensembles import EnsembleOutputs
from ntkinfo.finite.verdict import drift_notes, scaling_sentences, verdict
from ntkinfo.information.output import information_input
from tests.finite.test_comparison import LAW

SETTINGS = ComparisonSettings(replicates=99, joint_inputs=3, directions=4)
COMPARATOR = Comparator(LAW, SETTINGS)
DRIFT = Estimate(np.array([0.0, 0.04, 0.123]), np.array([0.0, 0.001, 0.0046]), "Monte Carlo")


def members(seed=5, count=100, stretch=(1.0, 1.0, 1.0)):
    """Members of the law, their spread on the test inputs stretched at each time."""
    drawn = LawMembers(LAW).draw(seed, count)
    centre = np.asarray(LAW.test.mean)[:, None]
    factor = np.asarray(stretch)[:, None, None, None]
    return {"train": drawn["train"], "test": centre + factor * (drawn["test"] - centre)}


def outputs(width, count=100, seed=0, twins=True):
    """An ensemble's record: members that depart as 1/width, their twins and kernels likewise."""
    trained = members(seed, count, (1.0, 1 + 4 / width, 1 + 8 / width))
    random = np.random.default_rng(seed)
    linear = members(seed, count)
    apart = random.normal(size=trained["test"].shape) / width
    return EnsembleOutputs(
        times=LAW.times,
        steps=np.array([0, 20, 60]),
        train=trained["train"],
        test=trained["test"],
        linearised_train=linear["train"] if twins else None,
        linearised_test=trained["test"] + apart if twins else None,
        kernel_drift=np.abs(random.normal(1, 0.1, size=(3, count))) * np.array([0, 1, 2])[:, None] / width,
        kernel_start_error=random.normal(1, 0.1, size=count) / np.sqrt(width),
        members=count,
        width=width,
        n_parameters=10 * width,
        notes=("trained in a test",),
    )


def test_agreement_says_what_would_have_been_seen():
    found = verdict(COMPARATOR.compare(members()), drift=DRIFT)
    assert found.agrees
    assert found.gaussian
    assert found.agreed == 3
    assert found.cause == ""
    assert 3 < found.limit < 5
    assert found.seen[0] == pytest.approx(found.limit / 10, rel=0.3)
    assert "agrees within error at all 3 times up to 0.6" in found.sentence
    assert "the kernel moved by 12.30 ± 0.46 %" in found.sentence
    assert "no test rejects" in found.sentence


def test_departure_names_time_statistic_and_cause():
    departed = COMPARATOR.compare(members(stretch=(1.0, 1.0, 1.5)))
    found = verdict(departed, linearised=COMPARATOR.compare(members(seed=6)), drift=DRIFT)
    assert (found.agreed, found.departs, found.cause) == (2, "variance", "kernel moved")
    assert found.score > found.limit
    assert found.p_value == pytest.approx(0.01)
    assert "agrees within error to time 0.2; at 0.6 the variance departs by" in found.sentence
    assert "because the kernel moved by 12.30 ± 0.46 %" in found.sentence
    start = Estimate(0.2, 0.01, "Monte Carlo")
    found = verdict(departed, linearised=departed, drift=DRIFT, start_error=start)
    assert found.cause == "start"
    assert "as already the linearised twins do" in found.sentence
    assert "20.0 ± 1.0 % off its limit" in found.sentence
    found = verdict(departed)
    assert found.cause == ""
    assert "no linearised twins" in found.sentence


def test_never_agrees():
    found = verdict(COMPARATOR.compare(members(stretch=(1.6, 1.0, 1.0))))
    assert found.agreed == 0
    assert "never agrees; at 0 the variance departs" in found.sentence


def test_shape_is_judged_with_holm():
    drawn = members(count=200)
    scale = np.sqrt(np.random.default_rng(1).gamma(2, 0.5, size=200))[None, :, None, None]
    centre = {"train": np.asarray(LAW.train.mean)[:, None], "test": np.asarray(LAW.test.mean)[:, None]}
    mixed = {split: centre[split] + scale * (one - centre[split]) for split, one in drawn.items()}
    found = verdict(COMPARATOR.compare(mixed))
    assert not found.gaussian
    assert "joint kurtosis" in found.shapes
    assert found.shapes["joint kurtosis"] == pytest.approx(0.05)  # five tests at 1/100 each
    assert "not normal by" in found.sentence


def test_informations_are_those_of_the_fitted_moments_with_the_bias_taken_off():
    """Members of the law: corrected values agree with it, uncorrected ones are too large; the fit by its definition."""
    settings = InformationSettings(replicates=8, samples=32)
    rows = [information_of_members(members(seed, 40), LAW, settings) for seed in range(2)]
    for found in rows:
        assert {(one.name, one.split) for one in found} == {
            (name, split) for name in ("information_input", "information_training_set") for split in ("train", "test")
        }
        for one in found:
            assert np.all(np.abs(one.score) < 8), one.name  # Student's t of 7 degrees of freedom
    one = next(one for one in rows[0] if (one.name, one.split) == ("information_input", "test"))
    assert np.all(one.bias > 0)
    given = members(0, 40)["test"][2]
    mean, variance = given.mean(axis=0), given.var(axis=0, ddof=1).mean(axis=1)
    assert one.fitted[2] == pytest.approx(
        float(information_input(mean, variance, samples=32, tolerance=None).value.value)
    )
    entropy = next(one for one in rows[0] if (one.name, one.split) == ("information_training_set", "test"))
    ratio = variance / np.asarray(LAW.test.initial_variance)
    size = np.sum(mean**2, axis=1) / np.asarray(LAW.test.initial_variance)
    assert entropy.fitted[2] == pytest.approx(np.mean(0.5 * (2 * (ratio - 1 - np.log(ratio)) + size)))


def test_study_of_several_widths():
    results = [study_width(outputs(width, seed=width), COMPARATOR) for width in (8, 16, 32, 64)]
    assert not results[0].verdict.agrees
    assert results[0].verdict.agreed < results[-1].verdict.agreed or results[-1].verdict.agrees
    assert results[0].drift is not None
    np.testing.assert_allclose(np.asarray(results[1].drift.value)[2], 2 / 16, rtol=0.1)
    assert results[1].start_error.value == pytest.approx(0.25, rel=0.1)
    scalings = {one.name: one for one in scaling_of(results)}
    assert set(scalings) == {
        "mean", "variance", "kurtosis", "divergence", "kernel drift", "kernel start", "linearised twin"
    }  # fmt: skip
    for name in ("kernel drift", "kernel start", "linearised twin"):
        low, high = scalings[name].interval
        assert low <= scalings[name].prediction.exponent <= high, name
    sentences = scaling_sentences(list(scalings.values()))
    assert any("kernel start: width^−0." in line and "predicted 0.5" in line for line in sentences)
    assert len(sentences) == len(scalings)
    restless = replace(scalings["kernel drift"], value=9 * scalings["kernel drift"].value)
    assert "width 8 moves by" in drift_notes([restless])[0]
    assert drift_notes(scaling_of(results[1:])) == []
    assert scaling_of(results[:2]) == []
    bare = study_width(outputs(32, twins=False), COMPARATOR)
    assert bare.linearised is None
    assert "linearised twin" not in bare.measured


def test_bad_input():
    with pytest.raises(ValueError, match="use the same"):
        study_width(replace(outputs(8), times=LAW.times + 0.1), COMPARATOR)
    with pytest.raises(ValueError, match="width is None"):
        study_width(replace(outputs(8), width=None), COMPARATOR)
    with pytest.raises(TypeError):
        InformationSettings(replicates=2.5)
