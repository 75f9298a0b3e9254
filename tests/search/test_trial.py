"""Trials: what is shared gives the numbers that each trial gives by itself, and descriptions tell trials apart."""

import functools
import math
import pickle
from dataclasses import replace

import numpy as np
import pytest

import ntkinfo as ni
from ntkinfo.core.progress import silent
from ntkinfo.core.records import Dataset
from ntkinfo.data import splits
from ntkinfo.generalization import MEASURES, MeasureSettings, as_row, measure_all
from ntkinfo.generalization.trained import CURVES
from ntkinfo.search import trial as trial_module
from ntkinfo.search.trial import measure_names, measure_trials
from ntkinfo.search.trial_data import TEACHER_FEATURES, TEACHER_LENGTH, clean_data, noisy_data, odd_squared_exponential
from ntkinfo.search.trial_description import AXES, Trial, TrialOptions
from ntkinfo.search.trial_models import FAMILIES_HERE, Families
from ntkinfo.training.output_distribution import decompose

SMALL = TrialOptions(n_test=40)
TIMES = (0.05, 2.0, math.inf)


def trials(**axes):
    """Small trials on wine, at three times."""
    given = {"data": "wine", "n": 24, "depth": 1, "options": SMALL, "seed": 3, "ridge": 0.1, **axes}
    return [Trial(time=time, **given) for time in TIMES]


def by_fingerprint(some):
    found = {outcome.fingerprint: outcome for outcome in measure_trials(some)}
    assert all(outcome.error is None for outcome in found.values()), [o.error for o in found.values()]
    return {key: outcome.row for key, outcome in found.items()}


@functools.cache
def blocks_by_hand(n, seed, depth):
    """Kernels of wine without label noise, which they do not depend on."""
    data = ni.data.wine(n_train=n, n_test=None, seed=seed)
    data = replace(data, x_test=data.x_test[:40], y_test=data.y_test[:40], labels_test=data.labels_test[:40])
    network = ni.FullyConnected(depth=depth, activation="erf", w_std=1.5, b_std=0.1)
    return ni.kernel_blocks(network, data, progress=silent)


def by_hand(one, procedure):
    """Measures and truth of a trial through the functions that users call for one model."""
    whole = ni.data.wine(n_train=one.n, n_test=None, seed=one.seed, label_noise=one.noise)
    kept = slice(0, SMALL.n_test)
    data = replace(whole, x_test=whole.x_test[kept], y_test=whole.y_test[kept], labels_test=whole.labels_test[kept])
    blocks = blocks_by_hand(one.n, one.seed, one.depth)
    law = ni.output_distribution(blocks, data, procedure, np.array([one.time]))
    names = [name for name in CURVES if name not in ("information_input", "information_target")]
    quantities = [*names, "loss_gibbs", "error_member"]
    curves = ni.curves_of(law, quantities=quantities, progress=silent)
    hyper = {"depth": float(one.depth), "w_std": one.w_std, "b_std": one.b_std, "label_noise": one.noise}
    settings = MeasureSettings(ridges=(one.ridge,), hyperparameters=hyper)
    row = as_row(measure_all(law, curves=curves, settings=settings, names=measure_names("closed"), progress=silent))
    for key, curve in (("loss_mean", "loss_mean"), ("loss_member", "loss_gibbs"), ("error_mean", "error_mean")):
        row |= {f"{split}_{key}": float(curves[curve].sel(split=split)[0]) for split in ("train", "test")}
    row |= {f"{split}_error_member": float(curves["error_member"].sel(split=split)[0]) for split in ("train", "test")}
    return row


def step(one):
    largest = np.linalg.eigvalsh(blocks_by_hand(one.n, one.seed, one.depth).train.ntk)[-1]
    return 0.5 / (float(largest) + one.ridge)


def test_shared_values_are_those_of_each_model_by_itself():
    FAMILIES_HERE.clear()
    some = [t for depth in (1, 2) for noise in (0.0, 0.3) for t in trials(depth=depth, noise=noise)]
    momentum = trials(depth=2, noise=0.3, procedure="heavy_ball")[1]
    rows = by_fingerprint([*some, momentum])
    wanted = {some[1]: ni.GradientFlow(ridge=0.1), some[11]: ni.GradientFlow(ridge=0.1)}
    wanted[momentum] = ni.HeavyBall(ridge=0.1, step_size=step(momentum), momentum=0.9)
    for one, procedure in wanted.items():
        row = rows[one.fingerprint]
        for name, value in by_hand(one, procedure).items():
            tolerance = 2e-6 if "error_member" in name else 1e-8
            np.testing.assert_allclose(row[name], value, rtol=1e-8, atol=tolerance, err_msg=f"{one} {name}")
        assert row["n_test"] == 40
        assert row["error_gap_mean"] == row["test_error_mean"] - row["train_error_mean"]
        assert row["loss_gap_member"] == row["test_loss_member"] - row["train_loss_member"]


def test_trials_together_and_one_at_a_time_agree():
    some = [
        t
        for noise in (0.0, 0.3)
        for procedure in ("gradient_flow", "gradient_descent", "converged", "nngp_posterior", "ntk_posterior")
        for t in trials(noise=noise, procedure=procedure)
    ]
    together = by_fingerprint(some)
    for one in {t.fingerprint: t for t in some}.values():
        FAMILIES_HERE.clear()
        (alone,) = measure_trials([one])
        assert alone.error is None
        assert set(alone.row) == set(together[one.fingerprint])
        for name, value in alone.row.items():
            other = together[one.fingerprint][name]
            if name != "seconds" and isinstance(value, float):
                np.testing.assert_allclose(other, value, rtol=1e-7, atol=1e-9, err_msg=f"{one} {name}")


def test_drawn_informations_are_those_of_the_curves():
    one = Trial(data="breast_cancer", n=20, depth=1, time=1.0, options=TrialOptions(n_test=30, quantities="all"))
    row = by_fingerprint([one])[one.fingerprint]
    family = FAMILIES_HERE.of(one)
    law = ni.output_distribution(family.blocks(1), family.data, ni.GradientFlow(ridge=0.1), np.array([1.0]))
    curves = ni.curves_of(law, quantities=["information_input", "information_target"], progress=silent)
    for split in ("train", "test"):
        value = float(curves["information_input"].sel(split=split)[0])
        assert row[f"information_input_{split}"] == pytest.approx(value, abs=1e-5)  # quadrature to 1e-6 an entropy
    assert row["information_target_train"] == pytest.approx(
        float(curves["information_target"].sel(split="train")[0]), abs=1e-5
    )


def test_drawn_informations_of_several_outputs_agree_within_their_errors():
    """Four draws an input, in a search, against a hundred and twenty-eight of another seed."""
    one = Trial(data="wine", n=20, depth=1, time=1.0, options=TrialOptions(n_test=30, quantities="all"))
    row = by_fingerprint([one])[one.fingerprint]
    family = FAMILIES_HERE.of(one)
    law = ni.output_distribution(family.blocks(1), family.data, ni.GradientFlow(ridge=0.1), np.array([1.0]))
    for split in ("train", "test"):
        side, labels = getattr(law, split), getattr(family.data, f"labels_{split}")
        mean, variance = np.asarray(side.mean)[0], np.asarray(side.variance)[0]
        estimates = {"information_input": ni.information_input(mean, variance, samples=128, seed=5)}
        if split == "train":  # of the test inputs no measure may know the labels
            estimates["information_target"] = ni.information_target(mean, variance, labels, samples=128, seed=5)
        for name, found in estimates.items():
            stated = row[f"{name}_{split}_standard_error"]
            assert 0 < stated < 0.2, name
            off = row[f"{name}_{split}"] - float(found.value.value)
            assert abs(off) < 4 * math.hypot(stated, float(found.value.standard_error)), (name, split)


def test_gibbs_error_is_that_of_members_drawn_from_the_law():
    one = trials(noise=0.3)[1]
    row = by_fingerprint([one])[one.fingerprint]
    family = FAMILIES_HERE.of(one)
    data = noisy_data(family.data, 0.3, one.seed)
    law = ni.output_distribution(family.blocks(1), data, ni.GradientFlow(ridge=0.1), np.array([one.time]))
    draws = np.random.default_rng(0).standard_normal((4000, 40, 3))
    members = law.test.mean[0] + np.sqrt(law.test.variance[0])[:, None] * draws
    wrong = np.argmax(members, axis=2) != data.labels_test
    # Draws are independent, also between inputs, so that the deviation of the average is at most this.
    deviation = 0.5 / math.sqrt(wrong.size)
    assert abs(row["test_error_member"] - wrong.mean()) < 4 * deviation
    loss = 0.5 * np.sum((members - data.y_test) ** 2, axis=2)
    assert abs(row["test_loss_member"] - loss.mean()) < 4 * loss.std() / math.sqrt(loss.size)


@pytest.mark.parametrize("procedure", [ni.GradientFlow(ridge=0.1), ni.ntk_posterior(0.1), ni.nngp_posterior(0.1)])
def test_a_law_for_other_targets(procedure):
    one = trials()[0]
    family = Families().of(one)
    clean, noisy, times = family.data, noisy_data(family.data, 0.5, 1), np.array([0.1, np.inf])
    known = decompose(family.blocks(1), procedure.tangent, procedure.prior)
    law = ni.output_distribution(family.blocks(1), clean, procedure, times, known)
    assert law.test.mean.shape == (2, 40, 3)  # computed for the clean targets before they are exchanged
    assert law.train.variance.shape == (2, 24)
    found = law.for_targets(noisy)
    fresh = ni.output_distribution(family.blocks(1), noisy, procedure, times)
    for side in ("train", "test"):
        for name in ("mean", "variance"):
            value, other = (getattr(getattr(each, side), name) for each in (found, fresh))
            np.testing.assert_allclose(value, other, rtol=1e-10, atol=1e-12)
        assert getattr(found, side).distribution is found
    assert not np.allclose(found.test.mean, law.test.mean)
    np.testing.assert_array_equal(
        ni.curves_of(law.for_targets(clean), quantities=["loss_mean"])["loss_mean"],
        ni.curves_of(law, quantities=["loss_mean"])["loss_mean"],
    )


def test_a_decomposition_of_another_kind_is_refused():
    family = Families().of(trials()[0])
    known = decompose(family.blocks(1), "nngp", "nngp")
    with pytest.raises(ValueError, match="known is of tangent nngp"):
        ni.output_distribution(family.blocks(1), family.data, ni.GradientFlow(), np.array([1.0]), known)


def test_label_noise_is_that_of_the_loader_and_leaves_inputs_and_test_alone():
    for data in ("wine", "breast_cancer", "diabetes"):
        one = Trial(data=data, n=30, noise=0.4, seed=5, options=SMALL)
        clean = clean_data(one)
        noisy = noisy_data(clean, one.noise, one.seed)
        loaded = getattr(ni.data, data)(n_train=30, n_test=None, seed=5, label_noise=0.4)
        np.testing.assert_array_equal(noisy.x_train, loaded.x_train)
        np.testing.assert_array_equal(noisy.y_train, loaded.y_train)
        np.testing.assert_array_equal(noisy.y_test, clean.y_test)
        assert not np.array_equal(noisy.y_train, clean.y_train)
        assert noisy_data(clean, 0.0, 5) is clean


def test_the_teacher():
    one = Trial(data="teacher_gp", n=50, seed=2, options=TrialOptions(n_test=60))
    data = clean_data(one)
    assert data.x_train.shape == (50, TEACHER_FEATURES)
    np.testing.assert_array_equal(data.labels_test, data.y_test[:, 0] > 0)
    noisy = noisy_data(data, 0.7, 2)
    np.testing.assert_array_equal(noisy.labels_train, noisy.y_train[:, 0] > 0)
    added = splits.generator(2, splits.TRAIN_NOISE).standard_normal((50, 1))
    np.testing.assert_allclose(noisy.y_train - data.y_train, 0.7 * added, rtol=0, atol=1e-14)
    # The covariance of (f(x) − f(−x))/√2, from that of f over the inputs and their mirror images.
    inputs = data.x_train[:6]
    both = np.concatenate([inputs, -inputs])
    distances = np.sum((both[:, None] - both[None]) ** 2, axis=2)
    covariance = np.exp(-distances / (2 * TEACHER_FEATURES * TEACHER_LENGTH**2))
    turn = np.concatenate([np.eye(6), -np.eye(6)]) / math.sqrt(2)
    np.testing.assert_allclose(odd_squared_exponential(inputs), turn.T @ covariance @ turn, rtol=1e-12, atol=1e-14)


def test_a_trial_that_fails_does_not_take_the_others_along(monkeypatch):
    some = trials(noise=0.1)
    true_law = trial_module.output_distribution

    def fails_late(blocks, data, procedure, times, known):
        if times[-1] == 2.0 or len(times) > 1:
            raise ValueError("too late")
        return true_law(blocks, data, procedure, times, known)

    monkeypatch.setattr(trial_module, "output_distribution", fails_late)
    found = list(measure_trials([*some, Trial(data="npz", n=5, options=TrialOptions(files=(("path", "none.npz"),)))]))
    assert len(found) == 4
    errors = {outcome.row["time"]: outcome.error for outcome in found if outcome.row["data"] == "wine"}
    assert errors == {0.05: None, 2.0: "ValueError: too late", math.inf: None}
    (lost,) = [outcome for outcome in found if outcome.row["data"] == "npz"]
    assert "none.npz" in lost.error


def test_fingerprints_tell_settings_apart_and_nothing_else():
    base = Trial()
    # Records on disk are found by it: it changes when MEASURE_VERSION, FORMULA_VERSION or a default does.
    assert base.fingerprint == "abf11b62bfe0f14d9b5da05596b0ed39014f87536a2b607ad2b63a0063e03188"
    others = {
        "data": "wine", "n": 65, "noise": 0.1, "family": "convolutional", "depth": 3, "activation": "relu",
        "w_std": 1.4, "b_std": 0.0, "ridge": 0.2, "procedure": "heavy_ball", "time": 1.0, "seed": 1,
    }  # fmt: skip
    assert set(others) == set(AXES)
    prints = {replace(base, **{name: value}).fingerprint for name, value in others.items()}
    assert len(prints | {base.fingerprint}) == len(AXES) + 1
    assert replace(base, w_std=np.float64(1.5), ridge=0.1, noise=-0.0).fingerprint == base.fingerprint
    assert replace(base, options=TrialOptions(momentum=0.5)).fingerprint == base.fingerprint
    assert replace(base, options=TrialOptions(n_test=100)).fingerprint != base.fingerprint
    ball = replace(base, procedure="heavy_ball")
    assert replace(ball, options=TrialOptions(momentum=0.5)).fingerprint != ball.fingerprint
    ends = [Trial(procedure="converged", time=time) for time in (1.0, math.inf)]
    assert ends[0] == ends[1]
    copy = pickle.loads(pickle.dumps(base))
    assert copy == base
    assert copy.fingerprint == base.fingerprint
    assert copy.group == replace(base, noise=0.1, ridge=1.0, depth=7, time=3.0).group != replace(base, seed=1).group


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"data": "digit"}, "did you mean 'digits'"),
        ({"activation": "rellu"}, "did you mean 'relu'"),
        ({"procedure": "gradient_flw"}, "did you mean 'gradient_flow'"),
        ({"data": "wine", "n": 178}, "n is 178, and wine has 178 inputs"),
        ({"n": 1}, "n is 1; it must be at least 2"),
        ({"noise": 1.5}, "noise is 1.5; it is a probability"),
        ({"ridge": -1.0}, "ridge is -1.0"),
        ({"time": float("nan")}, "time is nan"),
        ({"data": "idx"}, "needs the option"),
        ({"data": "wine", "family": "convolutional"}, "needs images"),
    ],
)
def test_descriptions_that_make_no_sense(given, message):
    with pytest.raises(ValueError, match=message):
        Trial(**given)


def test_options_that_make_no_sense():
    for given in ({"step_share": 2.0}, {"momentum": 1.0}, {"samples": 5}, {"quantities": "some"}, {"n_test": 0}):
        with pytest.raises(ValueError, match=next(iter(given))):
            TrialOptions(**given)


def test_families_are_forgotten_when_memory_runs_short(monkeypatch):
    families = Families()
    first = families.of(trials()[0])
    first.blocks(1)
    assert families.of(trials(ridge=3.0)[0]) is first
    monkeypatch.setattr("ntkinfo.search.trial_models.KEPT_BYTES", 1.0)
    families.of(trials(seed=4)[0])
    assert families.of(trials()[0]) is not first


def test_measures_of_a_trial_are_those_of_the_registry():
    assert set(measure_names("all")) == set(MEASURES)
    assert "information_input_train" not in measure_names("closed")
    assert "information_training_set_train" in measure_names("closed")
    assert {"training_loss", "training_error"} == {
        name for name in measure_names("none") if MEASURES[name].place == "curve"
    }


@pytest.mark.slow
def test_trained_networks_beside_the_law():
    options = TrialOptions(n_test=30, finite_width=64, finite_members=4, finite_steps=300)
    times = (0.05, 0.5, math.inf)
    some = [Trial(data="wine", n=12, depth=1, noise=0.3, ridge=0.1, time=time, options=options) for time in times]
    rows = by_fingerprint(some)
    family = FAMILIES_HERE.of(some[0])
    data = noisy_data(family.data, 0.3, 0)
    largest = np.linalg.eigvalsh(family.blocks(1).train.ntk)[-1]
    procedure = ni.GradientDescent(ridge=0.1, step_size=0.5 / (float(largest) + 0.1))
    network = ni.FullyConnected(depth=1, activation="erf", w_std=1.5, b_std=0.1)
    trained = ni.train_ensemble(
        network, data, np.array(times[:2]), procedure=procedure, width=64,
        settings=ni.EnsembleSettings(members=4, seed=0), progress=silent,
    )  # fmt: skip
    for k in (0, 1):
        row, outputs = rows[some[k].fingerprint], trained.test[k]
        wrong = [np.mean(np.argmax(one, axis=1) != data.labels_test) for one in outputs]
        assert row["finite_test_error_member"] == pytest.approx(np.mean(wrong), abs=1e-6)
        loss = 0.5 * np.mean(np.sum((outputs.mean(axis=0) - data.y_test) ** 2, axis=1))
        assert row["finite_test_loss_mean"] == pytest.approx(loss, rel=1e-5)
        # Four members of width 64: the law is followed to some tens of percent.
        assert row["finite_test_loss_member"] == pytest.approx(row["test_loss_member"], rel=0.4)
    end = rows[some[2].fingerprint]
    assert math.isnan(end["finite_error_gap_mean"])
    assert math.isfinite(end["error_gap_mean"])


@pytest.mark.slow
def test_images():
    one = Trial(data="digits", n=6, family="convolutional", depth=1, time=1.0, options=TrialOptions(n_test=5))
    row = by_fingerprint([one])[one.fingerprint]
    data = ni.data.digits(n_train=6, n_test=1791, seed=0, images=True)
    assert isinstance(data, Dataset)
    found = ni.kernel_blocks(
        ni.Convolutional(depth=1, activation="erf", w_std=1.5, b_std=0.1),
        data.__class__(data.x_train, data.y_train, data.x_test[:5], data.y_test[:5]),
        progress=silent,
    )
    assert row["trace_ntk"] == pytest.approx(float(np.trace(found.train.ntk)), rel=1e-12)


def test_drawn_informations_of_few_inputs_are_informations():
    """With the draws of the default and eight inputs: in their range and near those of many draws."""
    few = TrialOptions(n_test=40, quantities="all")
    many = replace(few, samples=1024)
    for time in (0.05, math.inf):
        one, other = (
            measure_trials([Trial(data="wine", n=8, depth=1, time=time, seed=0, ridge=0.01, options=options)])
            for options in (few, many)
        )
        row, exact = next(iter(one)).row, next(iter(other)).row
        for name in ("information_input_train", "information_input_test", "information_target_train"):
            error = row[f"{name}_standard_error"]
            assert 0 <= row[name] <= math.log(8 if name.endswith("train") else 40) + 4 * error, name
            assert abs(row[name] - exact[name]) < 4 * error + 1e-9, name
            assert error < 0.1
