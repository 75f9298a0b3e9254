"""The five findings on trajectories whose outcome is known: each must come out all three ways."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ntkinfo.bottleneck.discrete_curve import bottleneck_curve
from ntkinfo.bottleneck.problems import DiscreteProblem
from ntkinfo.core.progress import silent
from ntkinfo.finite.gradient_phases import SignalToNoise
from ntkinfo.finite.layered import LayeredNetwork
from ntkinfo.finite.plane import PlaneData, PlaneSettings, PlaneStudy
from ntkinfo.finite.plane_compression import BIT, FindingSettings, compression, compression_contrast
from ntkinfo.finite.plane_findings import (
    epochs_to_error,
    findings,
    layers_against_bound,
    place_layers,
    soft_target_information,
    time_against_depth,
)
from ntkinfo.finite.plane_intervals import bootstrap_interval, difference_interval, mean_interval
from ntkinfo.finite.plane_phases import compression_share, compression_start, noise_against_full_batch

NET = LayeredNetwork(sizes=(2, 2, 3, 2))
SETTINGS = PlaneSettings(network=NET, epochs=1000, seeds=12)
EPOCHS = np.unique(np.concatenate([[0], np.round(np.geomspace(1, 1000, 31))])).astype(np.int64)
T = len(EPOCHS)
DATA = PlaneData(np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0]), np.array([0, 1, 2]))
DRAWS = FindingSettings(draws=200)


def study(peak=10.0, drop=2.0, noise=0.1, crossing=10.0, seeds=12, seed=0, settings=SETTINGS, **fields):
    """Curves that rise by 1 nat to a peak and fall by `drop` in log epochs after it; squared ratios crossing/epoch."""
    random = np.random.default_rng(seed)
    place = np.log(np.maximum(EPOCHS, 0.5))
    top, end = np.log(peak), np.log(1000.0)
    rise = 4 + np.minimum((place - place[0]) / (top - place[0]), 1)
    curve = rise - drop * np.maximum(place - top, 0) / (end - top)
    scatter = noise * random.normal(size=(1, seeds, 3))
    given = np.repeat(curve[:, None, None], seeds, axis=1) + scatter
    ratio = (crossing / np.maximum(EPOCHS, 0.5))[:, None, None] * np.exp(0.1 * random.normal(size=(1, seeds, 3)))
    ones = np.ones_like(ratio)
    error = np.clip(0.5 - 0.1 * place[:, None] + 0.02 * random.normal(size=(1, seeds)), 0, 1)
    values = {
        "settings": settings,
        "data": DATA,
        "epochs": EPOCHS,
        "information_input": given,
        "information_target": np.zeros_like(given),
        "errors": np.stack([error, error]),
        "losses": np.stack([error, error]),
        "sampled": None,
        "exact": SignalToNoise(ratio, ones, ratio, 0 * ones),
        "weight_norms": ones,
        "weights": (),
        "ranges": np.ones((seeds, 3, 2)),
    }
    return PlaneStudy(**{**values, **fields})


def test_compression_is_the_fall_from_the_peak_and_noise_alone_is_none():
    found = compression(study(), DRAWS)
    np.testing.assert_array_equal(found.peak_epochs, 10)
    np.testing.assert_allclose(found.drop.value, 2.0, atol=1e-12)
    assert found.compresses.all()


def test_noise_alone_compresses_no_more_often_than_its_level():
    flat, random = study(drop=0.0, peak=1.0), np.random.default_rng(1)
    lines, own = [], []
    for _ in range(300):
        values = random.normal(size=(T, 12, 3))
        found = compression(replace(flat, information_input=values), DRAWS)
        lines.append(np.asarray(found.drop.low) > 0)
        own.append(values.max(axis=0) - values[-1])
    assert np.mean(own) > 1.5  # what each seed's own peak would give
    assert np.mean(lines) < 0.045  # 0.025, and four standard errors of 900 looks


def without_last_layer(full):
    names = ("information_input", "information_target", "weight_norms")
    return replace(
        full, exact=None, ranges=full.ranges[:, :2], **{name: getattr(full, name)[..., :2] for name in names}
    )


def test_contrast_of_two_studies_is_their_difference():
    found = compression_contrast(study(drop=2.0), study(drop=0.5, seed=3))
    np.testing.assert_allclose(found.value, 1.5, atol=1e-12)
    with pytest.raises(ValueError, match="equal numbers"):
        compression_contrast(study(), without_last_layer(study()))
    with pytest.raises(ValueError, match="at least 4"):
        compression(study(seeds=3))


@pytest.mark.parametrize(("peak", "outcome"), [(10.0, "supported"), (630.0, "not supported"), (251.0, "supported")])
def test_share_of_epochs_in_compression(peak, outcome):
    found = compression_share(study(peak=peak), DRAWS)
    assert found.outcome == outcome
    assert float(found.share.value) == pytest.approx(1 - found.compression.peak_epochs[0] / 1000)


def test_share_is_none_without_compression_and_undecided_at_the_line():
    assert compression_share(study(drop=0.0), DRAWS).outcome == "not supported"
    assert float(compression_share(study(drop=0.0), DRAWS).share.value) == 0
    early, late = study(peak=10.0, drop=0.6), study(peak=794.0)
    mixed = np.where(np.arange(12)[None, :, None] % 2 == 0, early.information_input, late.information_input)
    assert compression_share(replace(early, information_input=mixed), DRAWS).outcome == "undecided"


@pytest.mark.parametrize(
    ("crossing", "outcome"),
    [(10.0, "supported"), (100.0, "not supported"), (20.0, "undecided"), (1e9, "not supported")],
)
def test_start_of_compression_against_the_transition(crossing, outcome):
    found = compression_start(study(crossing=crossing), DRAWS)
    assert found.outcome == outcome
    if crossing < 1e3:
        assert np.all(np.abs(np.log(found.transition_epochs / crossing)) < 0.2)
        assert float(found.ratio.value) == pytest.approx(10 / crossing, rel=0.1)
    else:
        assert "none has a gradient transition" in found.statement


def test_start_without_compression_or_gradients():
    assert compression_start(study(drop=0.0), DRAWS).outcome == "undecided"
    with pytest.raises(ValueError, match="no gradients"):
        compression_start(study(exact=None), DRAWS)


def test_noise_against_full_batch():
    full = replace(SETTINGS, batch_size=None)
    cases = {2.0: "not supported", 0.2: "supported", 1.0: "undecided"}
    for drop, outcome in cases.items():
        noise = np.random.default_rng(2).normal(size=(1, 12, 1)) * np.linspace(0, 1, T)[:, None, None]
        second = study(drop=drop, seed=5, settings=full)
        second = replace(second, information_input=second.information_input + 0.4 * noise)
        found = noise_against_full_batch(study(), second, DRAWS)
        assert found.outcome == outcome, found.statement
    flat = noise_against_full_batch(study(drop=0.0), study(settings=full), DRAWS)
    assert flat.outcome == "undecided"
    assert "too little to compare" in flat.statement
    with pytest.raises(ValueError, match="batch_size=None"):
        noise_against_full_batch(study(), study(), DRAWS)


def with_errors(epochs, scatter=0.05, seed=0):
    """A study whose training error falls from 1 to 0 at about `epochs`, straight in time."""
    ends = epochs * np.exp(scatter * np.random.default_rng(seed).normal(size=12))
    error = np.clip(1 - EPOCHS[:, None] / ends[None, :], 0, 1)
    return study(errors=np.stack([error, error])), ends


def test_epochs_to_an_error_lie_between_the_records():
    found, ends = with_errors(600.0)
    np.testing.assert_allclose(epochs_to_error(found, 0.25), 0.75 * ends, rtol=1e-9)
    never = study(errors=np.full((2, T, 12), 0.4))
    assert np.all(np.isinf(epochs_to_error(never, 0.25)))


def test_time_against_depth_in_three_outcomes():
    falling = {depth: with_errors(900.0 / depth, seed=depth)[0] for depth in (1, 2, 3)}
    found = time_against_depth(falling, DRAWS)
    assert (found.outcome, float(found.order.value)) == ("supported", -1)
    rising = {4 - depth: value for depth, value in falling.items()}
    assert time_against_depth(rising, DRAWS).outcome == "not supported"
    equal = {depth: with_errors(500.0, 0.5, seed=depth + 10)[0] for depth in (1, 2)}
    assert time_against_depth(equal, DRAWS).outcome == "undecided"
    never = study(errors=np.full((2, T, 12), 0.4))
    stuck = time_against_depth({1: falling[1], 2: never}, DRAWS)
    assert (stuck.outcome, float(stuck.order.value)) == ("not supported", 1)
    assert "12 of 24 networks do not reach it" in stuck.statement
    with pytest.raises(ValueError, match="at least two depths"):
        time_against_depth({1: never}, DRAWS)


def test_layers_on_and_below_the_curve_of_labels_without_noise():
    entropy = DATA.label_entropy
    assert entropy == pytest.approx(BIT)
    on = study(information_target=np.full((T, 12, 3), 0.99 * entropy))
    found = layers_against_bound(on, settings=DRAWS)
    assert found.outcome == "supported"
    np.testing.assert_allclose(found.gap.value, 0.01 * entropy)
    np.testing.assert_allclose(found.excess.value, on.information_input[-1].mean(axis=0) - 0.99 * entropy)
    below = study(information_target=np.full((T, 12, 3), 0.5 * entropy))
    assert layers_against_bound(below, settings=DRAWS).outcome == "not supported"
    spread = 0.9 * entropy + 0.05 * np.random.default_rng(1).normal(size=(T, 12, 3))
    assert layers_against_bound(study(information_target=spread), settings=DRAWS).outcome == "undecided"


def weights(scale):
    """Twelve networks whose first layer keeps the inputs apart and whose second merges the two of label 1."""
    first = scale * np.array([[1.0, 0.0], [0.0, 1.0]])
    second = np.array([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    third = np.ones((3, 2))
    pairs = ((first, np.zeros(2)), (second, np.zeros(3)), (third, np.zeros(2)))
    return tuple(tuple(np.broadcast_to(part, (T, 12, *part.shape)) for part in pair) for pair in pairs)


def test_soft_labels_are_informed_by_hand():
    ranges = np.broadcast_to(np.array([-1.0, 1.0]), (12, 3, 2))
    held = study(weights=weights(0.4), ranges=ranges)
    conditional = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.7, 0.3]])
    found = soft_target_information(held, conditional, (0,))[0, 0]

    def entropy(law):
        return -np.sum(np.asarray(law) * np.log(law), axis=-1)

    total = entropy(conditional.mean(0))
    assert found[0] == pytest.approx(total - np.mean(entropy(conditional)))
    merged = (entropy(conditional[0]) + 2 * entropy(conditional[1:3].mean(0)) + entropy(conditional[3])) / 4
    assert found[1] == pytest.approx(total - merged)
    curve = bottleneck_curve(DiscreteProblem(np.full(4, 0.25), conditional), 1e-4, progress=silent)
    placed = layers_against_bound(held, curve, DRAWS)
    gap, least = placed.gap, held.information_input[-1].mean(axis=0) - placed.excess.value
    np.testing.assert_allclose(curve.upper(least[:2]), found[:2], atol=2e-9)
    assert np.all(curve.upper(least[:2] - 1e-3) < found[:2])
    # The study's own I(X;T) is far to the right, where the bound is I(X;Y).
    np.testing.assert_allclose(np.asarray(gap.value)[:2], found[0] - found[:2], atol=1e-9)
    with pytest.raises(ValueError, match="p\\(y"):
        soft_target_information(held, conditional[:3])
    with pytest.raises(ValueError, match="same order"):
        layers_against_bound(held, bottleneck_curve(DiscreteProblem(np.full(3, 1 / 3), conditional[:3]), 0.1), DRAWS)


def test_layers_are_placed_as_encoders_of_the_classes():
    ranges = np.broadcast_to(np.array([-1.0, 1.0]), (12, 3, 2))
    held = study(weights=weights(0.4), ranges=ranges)
    # The two inputs that the second layer merges share their p(y|x).
    conditional = np.array([[0.9, 0.1], [0.3, 0.7], [0.3, 0.7], [0.6, 0.4]])
    curve = bottleneck_curve(DiscreteProblem(np.full(4, 0.25), conditional), 1e-5, progress=silent)
    found = place_layers(held, curve)
    classes = 1.5 * np.log(2)
    np.testing.assert_allclose(found.information_input[:, :2], classes)
    np.testing.assert_allclose(found.information_target[:, :2], curve.problem.mutual_information)
    np.testing.assert_allclose(found.gap[:, :2], 0, atol=1e-5)
    assert np.all(found.beta[:, :2] > 1)
    assert np.all(np.isnan(found.beta[:, 2]))  # the output says nothing
    assert found.encoder_residual.shape == (12, 3)


def test_all_findings_together_are_rows_of_words():
    full = study(settings=replace(SETTINGS, batch_size=None))
    found = findings(study(), full, {1: study(), 2: study()}, settings=DRAWS)
    assert len(found.rows) == 5
    assert {outcome for _, outcome, _ in found.rows} <= {"supported", "not supported", "undecided"}
    assert len(findings(study(exact=None), settings=DRAWS).rows) == 2


def test_intervals_hold_the_truth_as_often_as_they_say():
    random = np.random.default_rng(0)
    rows = random.normal(1.0, 1.0, size=(400, 8))
    held = [_holds(mean_interval(row), 1.0) for row in rows]
    welch = [_holds(difference_interval(row, 3 * random.normal(size=5)), 1.0) for row in rows]
    boot = [_holds(bootstrap_interval(lambda w, r=row: float(w @ r), 8, 200), 1.0) for row in rows[:150]]
    for found, level, slack in ((held, 0.95, 0.03), (welch, 0.95, 0.03), (boot, 0.90, 0.08)):
        assert abs(np.mean(found) - level) < slack, np.mean(found)
    assert np.isnan(bootstrap_interval(lambda w: np.nan, 5, 100).low)
    with pytest.raises(ValueError, match="at least 2"):
        mean_interval(np.ones(1))


def _holds(interval, truth):
    return interval.low <= truth <= interval.high


def test_bad_lines_are_refused():
    with pytest.raises(ValueError, match="above 1"):
        FindingSettings(factor=1.0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        FindingSettings(share=1.5)
