from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import equinox as eqx
import jax
import numpy as np
import optax
import pytest
from scipy.stats import norm

from ntkinfo.bottleneck import variational_training
from ntkinfo.bottleneck.discrete_curve import bottleneck_curve
from ntkinfo.bottleneck.gaussian import GaussianBottleneck
from ntkinfo.bottleneck.gaussian_dual import GaussianDualBottleneck
from ntkinfo.bottleneck.label_noise import LabelNoise
from ntkinfo.bottleneck.problems import soft_twelve_bit_rule
from ntkinfo.bottleneck.variational import (
    Interrupted,
    VariationalSettings,
    class_targets,
    default_model,
    label_noise_robustness,
    train_variational,
)
from ntkinfo.bottleneck.variational_bounds import BoundSettings
from ntkinfo.bottleneck.variational_modules import LinearGaussian, Marginal, VariationalModel
from ntkinfo.bottleneck.variational_objectives import (
    Annealed,
    conditional_entropy_bottleneck,
    variational_bottleneck,
    variational_dual_bottleneck,
)
from ntkinfo.bottleneck.variational_targets import ClassTargets, RealTargets
from ntkinfo.core.arrays import float64
from ntkinfo.core.progress import silent
from ntkinfo.data.bundled import digits
from ntkinfo.data.icosahedral_rule import twelve_bit_rule
from tests.known_variational import matched_pair, scalar_encoding

CORRELATIONS, SIZE = (0.9, 0.6), 512
FEW = BoundSettings(draws=2, most_inputs=128)


def gaussian_problem():
    x, y = matched_pair(CORRELATIONS, 4, SIZE)
    cross = x.T @ y / SIZE
    law = GaussianBottleneck(np.eye(4), np.eye(2), cross)
    std = np.sqrt(1 - np.array(CORRELATIONS) ** 2)
    return law, RealTargets(x, y, entropy=float(np.log(2 * np.pi * np.e)), mean=x @ cross, std=std)


@pytest.mark.parametrize("name", ["vib", "ceb", "dual"])
def test_linear_gaussian_forms_reach_the_frontier_and_their_own_optimum(name):
    """beta = 5, gamma = 4 and dual beta = 4 have the same optimal encoder, known in closed form."""
    law, targets = gaussian_problem()
    objective, reverse = {
        "vib": (variational_bottleneck(5.0), Marginal(2)),
        "ceb": (conditional_entropy_bottleneck(4.0), LinearGaussian(2, 2, seed=2)),
        "dual": (variational_dual_bottleneck(4.0), Marginal(2)),
    }[name]
    model = VariationalModel(LinearGaussian(4, 2, seed=0), LinearGaussian(2, 2, seed=1), reverse)
    optimiser = optax.adam(optax.cosine_decay_schedule(0.05, 1500))
    settings = VariationalSettings(
        steps=1500, records=2, batch_size=None, optimiser=optimiser, bounds=BoundSettings(draws=8, most_inputs=SIZE)
    )
    run = train_variational(objective, targets, model=model, settings=settings, progress=silent)
    encoder = run.model.encoder
    given, target = law.information(np.asarray(encoder.weight) / np.exp(np.asarray(encoder.log_std))[:, None])
    point = law.curve(5.0)
    dual = GaussianDualBottleneck(law).curve(4.0)
    assert given == pytest.approx(float(point.information_input), abs=0.03)
    assert target == pytest.approx(float(point.information_target), abs=0.01)
    assert law.frontier(given) - target < 2e-3
    last = run.curves.isel(step=-1, split=0)
    if name != "dual":
        error = 4 * float(last.information_target_lower_standard_error)
        assert -error - 0.005 < float(last.information_target_lower) - target < error
    else:
        error = 4 * float(last.distortion_standard_error)
        assert float(last.distortion) == pytest.approx(float(dual.distortion), abs=error + 0.01)
    if name == "ceb":
        assert float(last.information_residual_upper) == pytest.approx(given - target, abs=0.01)
        assert float(last.information_residual_upper) > given - target - 1e-9
    else:
        assert given < float(last.information_input_upper) < given + 0.01
    # X is uniform on the inputs for the one, Gaussian for the other: 0.05 apart, and the bound is above both.
    assert float(last.information_input) < given
    assert float(last.information_input_upper) > float(last.information_input)


def digit_targets(level=0.0):
    data = digits(n_train=160, n_test=80, seed=0, label_noise=level)
    return class_targets(data, LabelNoise.symmetric(10, 0.05))


def tiny_targets():
    """Three clusters in the plane: compiled in a moment."""
    random = np.random.default_rng(0)
    labels = np.arange(60) % 3
    return ClassTargets.of_labels(random.normal(size=(60, 2)) + 2 * np.eye(3)[labels, :2], labels, 3)


def small(train, objective):
    return default_model(objective, train, latent=4, width=16, depth=1)


@pytest.mark.parametrize(
    "objective",
    [
        variational_bottleneck(Annealed(1.0, 20.0, 100)),
        pytest.param(conditional_entropy_bottleneck(20.0), marks=pytest.mark.slow),
        pytest.param(variational_dual_bottleneck(20.0), marks=pytest.mark.slow),
    ],
    ids=lambda objective: objective.name,
)
def test_the_forms_learn_digits_and_their_bounds_keep_their_order(objective):
    train, test = digit_targets()
    settings = VariationalSettings(steps=300, records=[0, 300], batch_size=32, learning_rate=1e-2, bounds=FEW)
    run = train_variational(objective, train, test, model=small(train, objective), settings=settings, progress=silent)
    last = run.curves.isel(step=-1)
    assert float(last.error.sel(split="test")) < 0.3
    assert float(last.error.sel(split="train")) < 0.05 < 0.5 < float(run.curves.error[0, 0])

    def above(upper, lower):
        slack = 4 * np.hypot(last[f"{upper}_standard_error"], last[f"{lower}_standard_error"])
        return bool((last[upper] > last[lower] - slack).all())

    assert above("information_input_upper", "information_input")
    assert above("information_input_multisample_upper", "information_input")
    assert above("information_target", "information_target_lower")
    assert above("information_input", "information_target")
    residual = last.information_input - last.information_target
    assert bool((last.information_residual_upper > residual - 0.05).all())
    assert run.notes == ("train: informations of 128 of 160 inputs, drawn at random",)
    assert set(run.curves.information_input.attrs) == {"units", "long_name"}
    for name in ("prediction", "distortion"):
        assert (f"weight_{name}" in run.curves) == (getattr(objective, name) is not None)
        if f"weight_{name}" in run.curves:
            assert float(run.curves[f"weight_{name}"][-1]) == 20


def stopping(after):
    """A track that raises like Ctrl-C after some items."""

    def track(items, label, total=None):
        for index, item in enumerate(items):
            if index == after:
                raise KeyboardInterrupt
            yield item

    return track


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_run_that_was_interrupted_ends_with_the_same_bits(tmp_path, precision):
    train = tiny_targets()
    objective = conditional_entropy_bottleneck(Annealed(1.0, 20.0, 50))
    settings = VariationalSettings(steps=90, records=[0, 7, 40, 90], batch_size=16, precision=precision, bounds=FEW)
    model = small(train, objective)
    whole = train_variational(objective, train, model=model, settings=settings, progress=silent)
    kept = replace(settings, checkpoint=tmp_path / "runs" / "one.npz")
    with pytest.raises(Interrupted) as interrupted:
        train_variational(objective, train, model=model, settings=kept, progress=stopping(3))
    assert interrupted.value.partial is not None
    assert interrupted.value.partial.sizes["step"] == 3
    again = train_variational(objective, train, model=model, settings=kept, progress=silent)
    assert again.curves.drop_attrs().identical(whole.curves.drop_attrs())
    for left, right in zip(jax.tree.leaves(again.model), jax.tree.leaves(whole.model), strict=True):
        if eqx.is_array(left):
            np.testing.assert_array_equal(left, right)
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["one.npz"]
    (tmp_path / "text.npz").write_text("not a checkpoint")
    other = replace(settings, checkpoint=tmp_path / "text.npz")
    with pytest.raises(ValueError, match="no checkpoint, or is damaged"):
        train_variational(objective, train, model=model, settings=other, progress=silent)
    changed = replace(kept, learning_rate=2e-3)
    with pytest.raises(ValueError, match="another configuration"):
        train_variational(objective, train, model=model, settings=changed, progress=silent)


@pytest.mark.slow
def test_steps_between_two_records_are_kept_and_damage_is_said(tmp_path, monkeypatch):
    train, objective = tiny_targets(), variational_bottleneck(10.0)
    settings = VariationalSettings(steps=300, records=[0, 300], batch_size=16, bounds=FEW)
    whole = train_variational(objective, train, settings=settings, progress=silent)
    monkeypatch.setattr(variational_training, "INTERVAL", 0.0)
    kept = replace(settings, checkpoint=tmp_path / "one.npz")
    with pytest.raises(Interrupted):
        train_variational(objective, train, settings=kept, progress=stopping(3))
    with np.load(tmp_path / "one.npz") as stored:
        assert 200 in [stored[name].tolist() for name in stored.files if stored[name].ndim == 0]
    again = train_variational(objective, train, settings=kept, progress=silent)
    assert again.curves.drop_attrs().identical(whole.curves.drop_attrs())
    sound = (tmp_path / "one.npz").read_bytes()
    (tmp_path / "one.npz").write_bytes(sound[:2000] + bytes([sound[2000] ^ 1]) + sound[2001:])
    with pytest.raises(ValueError, match="no checkpoint, or is damaged"):
        train_variational(objective, train, settings=kept, progress=silent)


@pytest.mark.slow
def test_a_finished_run_is_kept_and_any_other_configuration_refused(tmp_path):
    train, objective = tiny_targets(), variational_bottleneck(10.0)
    settings = VariationalSettings(steps=20, records=2, batch_size=16, bounds=FEW, checkpoint=tmp_path / "one.npz")
    model = small(train, objective)
    given = {"objective": objective, "train": train, "model": model, "settings": settings}
    first = train_variational(**given, progress=silent)
    done = train_variational(**given, progress=stopping(1))
    assert done.curves.drop_attrs().identical(first.curves.drop_attrs())
    for changed in (
        {"settings": replace(settings, seed=1)},
        {"settings": replace(settings, bounds=replace(FEW, draws=3))},
        {"settings": replace(settings, optimiser=optax.sgd(1e-3))},
        {"objective": variational_bottleneck(11.0)},
        {"train": ClassTargets(train.inputs[::-1], train.probabilities)},
        {"model": small(train, conditional_entropy_bottleneck(1.0))},
    ):
        with pytest.raises(ValueError, match="another configuration"):
            train_variational(**{**given, **changed}, progress=silent)


@pytest.mark.slow
def test_a_trained_encoder_of_twelve_bits_lies_under_the_certified_curve():
    """I(X;Z) and I(Z;Y) of a trained scalar encoder by quadrature, against the discrete solver's two bounds."""
    problem = soft_twelve_bit_rule(0.15)
    targets = ClassTargets(2.0 * twelve_bit_rule().patterns - 1, problem.conditional)
    objective = variational_bottleneck(4.0)
    model = default_model(objective, targets, latent=1, width=32, depth=2)
    settings = VariationalSettings(
        steps=2000, records=2, batch_size=256, learning_rate=3e-3, bounds=BoundSettings(draws=2, most_inputs=4096)
    )
    run = train_variational(objective, targets, model=model, settings=settings, progress=silent)
    with float64():
        mean, std = (np.asarray(part)[:, 0] for part in jax.vmap(run.model.encoder)(targets.inputs))
        back = [np.asarray(part) for part in run.model.reverse(np.zeros(2))]
    exact = scalar_encoding(mean, std, np.asarray(targets.probabilities), lambda z: norm.logpdf(z, *back))
    curve = bottleneck_curve(problem, accuracy=5e-3, progress=silent)
    assert exact.information_target < curve.upper(exact.information_input)
    assert exact.information_target > curve.lower(exact.information_input) - 0.05
    last = run.curves.isel(step=-1, split=0)
    assert float(last.information_input_upper) == pytest.approx(exact.rate, abs=1e-4)
    assert exact.rate > exact.information_input > 0.2
    for name in ("information_input", "information_target"):
        error = float(last[f"{name}_standard_error"])
        assert abs(float(last[name]) - getattr(exact, name)) < 4.5 * error
    low, error = float(last.information_target_lower), float(last.information_target_lower_standard_error)
    assert exact.information_target - 0.05 < low < exact.information_target + 4 * error


CHILD = """
import json, sys
import numpy as np
from ntkinfo.bottleneck.variational import VariationalSettings, train_variational
from ntkinfo.bottleneck.variational_bounds import BoundSettings
from ntkinfo.bottleneck.variational_objectives import variational_bottleneck
from ntkinfo.bottleneck.variational_targets import ClassTargets
from ntkinfo.core.progress import silent

labels = np.arange(60) % 3
inputs = np.random.default_rng(0).normal(size=(60, 2)) + 2 * np.eye(3)[labels, :2]
settings = VariationalSettings(
    steps=4000, records=list(range(0, 4001, 100)), batch_size=16, checkpoint=sys.argv[1], bounds=BoundSettings(draws=2)
)
train = ClassTargets.of_labels(inputs, labels, 3)
run = train_variational(variational_bottleneck(10.0), train, settings=settings, progress=silent)
print(json.dumps(run.curves.information_input_upper.values.tolist()))
"""


@pytest.mark.slow
def test_a_run_that_was_killed_ends_with_the_same_bits(tmp_path):
    def start(name):
        return subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path / name)], stdout=subprocess.PIPE, text=True)

    whole = start("whole.npz").communicate()[0]
    random, killed = np.random.default_rng(0), 0
    for attempt in range(4):
        name = f"{attempt}.npz"
        child = start(name)
        while not (tmp_path / name).exists() and child.poll() is None:
            time.sleep(0.01)
        time.sleep(float(random.uniform(0, 1.0)))
        os.kill(child.pid, signal.SIGKILL)
        child.communicate()
        killed += child.returncode == -signal.SIGKILL
        assert json.loads(start(name).communicate()[0]) == json.loads(whole)
    assert killed >= 2


@pytest.mark.slow
def test_robustness_to_label_noise_is_measured_on_clean_test_labels():
    settings = VariationalSettings(steps=150, records=2, batch_size=32, learning_rate=5e-3, bounds=FEW)
    objectives = [variational_bottleneck(20.0)]
    table = label_noise_robustness(objectives, digit_targets, [0.0, 0.6], settings=settings, progress=silent)
    assert dict(table.sizes) == {"objective": 1, "label_noise": 2, "split": 2}
    errors = table.error.sel(split="test", objective="variational bottleneck").values
    assert errors[0] < errors[1] < 0.9
    with pytest.raises(ValueError, match="levels"):
        label_noise_robustness(objectives, digit_targets, [1.5], settings=settings, progress=silent)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"objective": variational_dual_bottleneck(1.0)}, "noisy"),
        ({"test": ClassTargets(np.zeros((2, 3)), np.eye(2))}, "inputs have shape"),
        ({"test": RealTargets(np.zeros((2, 2)), np.eye(2))}, "another kind"),
        ({"settings": VariationalSettings(batch_size=9)}, "batch_size is 9"),
        ({"model": VariationalModel(LinearGaussian(2, 3), LinearGaussian(3, 2), Marginal(3))}, "the decoder gives"),
        ({"model": VariationalModel(LinearGaussian(2, 3), LinearGaussian(3, 2), Marginal(2))}, "the encoder gives"),
    ],
)
def test_splits_and_models_that_do_not_fit(change, message):
    train = ClassTargets(np.random.default_rng(0).normal(size=(8, 2)), np.tile([[0.5, 0.5]], (8, 1)))
    good = {"objective": variational_bottleneck(1.0), "train": train, "settings": VariationalSettings(batch_size=4)}
    with pytest.raises(ValueError, match=message):
        train_variational(**{**good, **change}, progress=silent)


def test_settings_out_of_range_and_a_run_that_diverges():
    for change in ({"steps": 0}, {"records": [5, 5]}, {"records": [3000]}, {"precision": "float16"}):
        with pytest.raises(ValueError, match=next(iter(change))):
            VariationalSettings(**change)
    train = ClassTargets(np.array([[0.0], [1.0]]), np.eye(2))
    settings = VariationalSettings(steps=50, records=2, batch_size=None, optimiser=optax.sgd(1e12), bounds=FEW)
    objective = variational_bottleneck(1e3)
    with pytest.raises(ValueError, match="smaller learning rate"):
        train_variational(objective, train, model=small(train, objective), settings=settings, progress=silent)
