"""Certificates: honest curves pass, tampered ones do not, and stated errors hold against many digits."""

import json

import mpmath
import numpy as np
import pytest

import ntkinfo as ni
from ntkinfo.core.progress import silent
from ntkinfo.core.records import Dataset
from ntkinfo.information import second_routes
from ntkinfo.information.certificate import Certificate, certify
from ntkinfo.information.curve_table import base_name
from ntkinfo.information.curves import CurveSettings, Interrupted, curves_of
from ntkinfo.information.label_model import LabelModel
from ntkinfo.information.quantities import QUANTITIES, choose
from ntkinfo.information.quantity_errors import undecided
from ntkinfo.information.second_propagator import NotCheckedError
from ntkinfo.kernels.blocks import kernel_blocks
from ntkinfo.training.discrete import GradientDescent, HeavyBall
from ntkinfo.training.output_distribution import output_distribution
from ntkinfo.training.procedures import GradientFlow, nngp_posterior
from tests.random_features import RandomFeatures

TIMES = np.array([0.0, 2e-3, 0.05, 1.0, 40.0, 1e6, np.inf])
FINITE = TIMES[:-1]
NETWORK = ni.FullyConnected(depth=2, activation="erf", w_std=1.5, b_std=0.1)
SMALL = {"n_train": 40, "n_test": 30}
PROBLEMS = {
    "ten outputs": (lambda: ni.data.digits(**SMALL), GradientFlow(), TIMES),
    "one output, ridge": (lambda: ni.data.digits(**SMALL, targets="parity"), GradientFlow(ridge=0.01), TIMES),
    "two classes, steps": (lambda: ni.data.breast_cancer(**SMALL), GradientDescent(step_size=1e-3), TIMES),
    "noisy targets": (lambda: ni.data.wine(**SMALL), GradientFlow(target_noise_variance=0.1), TIMES),
    "regression, mean loss": (lambda: ni.data.diabetes(**SMALL), GradientFlow(loss="mean"), TIMES),
    "Langevin": (lambda: ni.data.wine(**SMALL), GradientFlow(ridge=0.1, temperature=0.05), FINITE),
    "posterior": (lambda: ni.data.wine(**SMALL), nngp_posterior(0.1), TIMES[-1:]),
    "momentum": (lambda: ni.data.wine(**SMALL), HeavyBall(step_size=1e-3, momentum=0.9), TIMES),
}


def law_of(data, procedure, times, network=NETWORK):
    return output_distribution(kernel_blocks(network, data, progress=silent), data, procedure, times)


@pytest.mark.parametrize("name", PROBLEMS)
def test_honest_curves_pass_wholly(name):
    make, procedure, times = PROBLEMS[name]
    law = law_of(make(), procedure, times)
    curves = curves_of(law, quantities=everything(law), progress=silent)
    certificate = certify(law, curves, share=1.0)
    assert certificate.passed, certificate.verdict
    by_name = {finding.quantity: finding for finding in certificate.findings}
    assert set(by_name) == {name for name in QUANTITIES if name in curves}
    for finding in by_name.values():
        places = len(times) * (2 if "split" in QUANTITIES[finding.quantity].dims else 1)
        bounds = sum(f"{finding.quantity}_{end}" in curves for end in ("lower", "upper"))
        assert finding.checked + finding.not_checked <= places * (1 + bounds)
        assert finding.checked >= 0.5 * places, finding
        assert bool(finding.reasons) == bool(finding.not_checked)
    # Numerical errors are bounds: the discrepancy stays below one.
    assert max(finding.largest for finding in by_name.values() if not finding.sampled) < 1


def everything(law):
    """All quantities, those on request as well."""
    usual = choose(None, law.data.labels_train is not None, law.procedure.temperature > 0)
    return [*usual, *(name for name, quantity in QUANTITIES.items() if not quantity.default)]


TEACHER = np.random.default_rng(3).normal(size=(20, 30))
WITH_MODEL = [name for name in QUANTITIES if "_labels" in name]
FUNCTION_SPACE = ["information_parameters", "information_parameters_labels"]


@pytest.mark.parametrize(
    "procedure", [GradientFlow(), GradientFlow(ridge=0.1, temperature=0.05, target_noise_variance=0.1)]
)
def test_extra_inputs_and_two_outputs_pass(procedure):
    data = ni.data.wine(n_train=20, n_test=12, classes=["class_0", "class_1"])
    law = law_of(data, procedure, TIMES[:5])
    curves = curves_of(law, quantities=FUNCTION_SPACE, settings=CurveSettings(extra_inputs=5), progress=silent)
    assert certify(law, curves, share=1.0, extra_inputs=5).passed
    # Without them the second route computes other numbers, and says so.
    assert not any(finding.passed for finding in certify(law, curves, share=1.0).findings)


@pytest.mark.parametrize("model", [LabelModel(0.3), LabelModel(0.1, TEACHER @ TEACHER.T)], ids=["noise", "given"])
def test_label_models_pass_and_are_told_apart(model):
    law = law_of(ni.data.wine(n_train=20, n_test=12), GradientFlow(), TIMES[:5])
    curves = curves_of(law, quantities=WITH_MODEL, settings=CurveSettings(label_model=model), progress=silent)
    certificate = certify(law, curves, share=1.0, label_model=model)
    assert certificate.passed, certificate.verdict
    assert all(finding.checked >= 5 and finding.largest < 1 for finding in certificate.findings)
    assert not any(finding.passed for finding in certify(law, curves, share=1.0).findings)


def test_interpolated_times_are_within_their_measured_error():
    times = np.append(np.geomspace(1e-4, 1e2, 80), np.inf)
    law = law_of(ni.data.wine(n_train=20, n_test=12), GradientFlow(ridge=0.01), times)
    names = ["information_training_set_joint", "information_training_set_labels_joint", "information_parameters_labels"]
    curves = curves_of(law, quantities=names, progress=silent)
    for name in names:
        assert "interpolated to 81 times" in curves[name].attrs["method"]
        assert "NOT reached" not in curves.attrs["notes"]
    certificate = certify(law, curves, share=0.5)
    assert certificate.passed, certificate.verdict
    assert all(finding.checked >= 40 for finding in certificate.findings)


@pytest.fixture(scope="module")
def digits():
    law = law_of(ni.data.digits(**SMALL), GradientFlow(), TIMES[1:5])
    return law, curves_of(law, quantities=[*QUANTITIES], progress=silent)


@pytest.mark.parametrize("name", QUANTITIES)
def test_every_tampered_quantity_is_caught(digits, name):
    law, curves = digits
    own = curves[[str(key) for key in curves.data_vars if key != "eigenvalue" and base_name(str(key)) == name]]
    assert certify(law, own, share=1.0).passed
    tampered = own.copy(deep=True)
    place = {"time": 2, "split": 1} if "split" in own[name].dims else {"time": 2}
    tampered[name][place] += 0.02 * abs(tampered[name][place]) + (
        0.2 if name.startswith(("information_", "error")) else 0
    )
    certificate = certify(law, tampered, share=1.0)
    finding = next(finding for finding in certificate.findings if finding.quantity == name)
    assert not finding.passed
    assert "t = 1" in finding.where
    assert name in certificate.verdict
    assert certificate.verdict.startswith("NOT certified")


@pytest.mark.parametrize("end", ["lower", "upper"])
@pytest.mark.parametrize("name", ["information_input", "information_target"])
def test_bounds_on_the_wrong_side_are_caught(digits, name, end):
    law, curves = digits
    tampered = curves[[name, f"{name}_standard_error", f"{name}_{end}"]].copy(deep=True)
    tampered[f"{name}_{end}"][1, 0] = tampered[name][1, 0] + (0.3 if end == "lower" else -0.3)
    certificate = certify(law, tampered, share=1.0)
    assert not certificate.passed
    assert f"{end} bound" in certificate.findings[0].where


def test_a_share_is_drawn_over_all_times_and_every_route_is_visited():
    times = np.append(np.geomspace(1e-3, 10, 39), np.inf)
    law = law_of(ni.data.wine(n_train=20, n_test=10), GradientFlow(), times)
    curves = curves_of(law, quantities=["loss_mean", "information_input"], progress=silent)
    seen = []

    def track(items, label, total=None):
        seen.extend(items)
        yield from items

    certificate = certify(law, curves, share=0.1, seed=3, progress=track)
    early = [index for index in seen if index < 39]
    assert {index // 10 for index in seen} == {0, 1, 2, 3}
    assert len(early) in (3, 4)
    assert 39 in seen  # the route at infinity
    by_name = {finding.quantity: finding for finding in certificate.findings}
    assert by_name["loss_mean"].checked == 8
    assert certify(law, curves, share=0.1, seed=3) == certificate
    other = []
    certify(law, curves, share=0.1, seed=4, progress=lambda items, label, total=None: other.extend(items) or items)
    assert other != seen


def test_what_the_second_route_cannot_reach_is_not_agreement(digits, monkeypatch):
    law, curves = digits

    def beyond(place):
        raise NotCheckedError("too far away")

    monkeypatch.setitem(second_routes.ROUTES, "loss_mean", beyond)
    certificate = certify(law, curves[["loss_mean", "loss_mean_standard_error"]], share=1.0)
    assert certificate.checked == 0
    assert certificate.findings[0].not_checked == 8
    assert certificate.findings[0].reasons == ("too far away",)
    assert certificate.verdict == "nothing certified; 8 beyond the second route's reach"


def test_repeated_inputs_are_not_checked_where_the_dense_covariance_is_singular():
    model = RandomFeatures(repeat=True, outputs=1)
    law = output_distribution(model.blocks, model.data, GradientFlow(), np.array([0.3, 2.0]))
    names = ["information_parameters", "loss_mean", "variance", "path_energy"]
    certificate = certify(law, curves_of(law, quantities=names, progress=silent), share=1.0)
    assert certificate.passed
    by_name = {finding.quantity: finding for finding in certificate.findings}
    assert by_name["information_parameters"].checked == 0
    assert "inputs repeat" in by_name["information_parameters"].reasons[0]
    assert by_name["variance"].not_checked == 0


def test_json_is_read_back_and_other_text_is_refused(digits):
    law, curves = digits
    certificate = certify(law, curves[["error_mean", "error_mean_standard_error"]], share=0.5)
    text = certificate.to_json()
    assert Certificate.from_json(text) == certificate
    assert json.loads(text)["passed"] is True
    with pytest.raises(ValueError, match="not a certificate"):
        Certificate.from_json("{}")


def test_bad_shares_and_other_times_are_refused(digits):
    law, curves = digits
    for share in (0.0, -0.1, 1.5):
        with pytest.raises(ValueError, match="share"):
            certify(law, curves, share=share)
    with pytest.raises(ValueError, match="other times"):
        certify(law, curves.isel(time=slice(2)))
    with pytest.raises(ValueError, match="certify"):
        CurveSettings(certify=1.5)


def test_curves_carry_their_certificate_and_keep_their_values_when_it_is_interrupted(digits):
    law, _ = digits
    settings = CurveSettings(certify=0.5, seed=2)
    curves = curves_of(law, quantities=["loss_mean"], settings=settings, progress=silent)
    certificate = Certificate.from_json(curves.attrs["certificate"])
    assert certificate.passed
    assert (certificate.share, certificate.seed) == (0.5, 2)

    def stop(items, label, total=None):
        if label == "second routes":
            raise KeyboardInterrupt
        yield from items

    with pytest.raises(Interrupted) as caught:
        curves_of(law, quantities=["loss_mean"], settings=settings, progress=stop)
    assert not caught.value.partial.loss_mean.isnull().any()
    assert "certificate" not in caught.value.partial.attrs


def test_classes_within_the_error_of_the_mean_are_undecided():
    rng = np.random.default_rng(2)
    mean = np.round(rng.normal(size=(3, 4, 50)), 1).swapaxes(1, 2)
    labels, error = rng.integers(0, 4, 50), rng.choice([0.0, 0.1, 0.3], size=(3, 50))
    share = undecided(mean, labels, error)
    for t in range(3):
        near = 0
        for i, own in enumerate(labels):
            rival = max(mean[t, i, c] for c in range(4) if c != own)
            near += error[t, i] > 0 and abs(mean[t, i, own] - rival) <= 2**0.5 * error[t, i]
        assert share[t] == near / 50
    assert 0 < share.min() < share.max() < 1
    one = np.array([0.5, -0.05, 0.0])[None, :, None]
    assert undecided(one, np.array([0, 1, 1]), np.full((1, 3), 0.1)).tolist() == [2 / 3]


def test_stated_errors_hold_against_fifty_digits_and_are_small():
    """Five training inputs, a condition of 1e8: the true error of every closed form is below the stated one."""
    rng = np.random.default_rng(5)
    q = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    model = RandomFeatures(n=5, m=3, parameters=30, outputs=2)
    theta = (q * np.geomspace(1e-6, 1e2, 8)) @ q.T
    k = model.start @ model.start.T
    theta, k = (theta + theta.T) / 2, (k + k.T) / 2
    from ntkinfo.kernels.records import CrossBlocks, KernelBlocks, SquareBlocks

    cross = CrossBlocks(k[5:, :5].copy(), theta[5:, :5].copy(), np.diag(k)[5:].copy(), np.diag(theta)[5:].copy())
    blocks = KernelBlocks(SquareBlocks(k[:5, :5].copy(), theta[:5, :5].copy()), cross)
    data = Dataset(model.x[:5], model.y[:5], model.x[5:], model.y[5:])
    times = np.array([1e-3, 0.1, 3.0, 1e3, 1e5])
    names = ["loss_mean", "variance", "information_training_set", "information_training_set_labels", "path_energy"]
    names += ["parameter_distance_squared", "speed_squared"]
    curves = curves_of(output_distribution(blocks, data, GradientFlow(), times), quantities=names, progress=silent)
    worst = 0.0
    for index, time in enumerate(times):
        for (name, split), wanted in exact(theta, k, model.y, time).items():
            one = curves.isel(time=index) if not split else curves.isel(time=index).sel(split=split)
            error = float(one[f"{name}_standard_error"])
            assert abs(float(mpmath.mpf(float(one[name])) - wanted)) <= error, (name, split, time)
            worst = max(worst, error / abs(float(wanted)))
    assert worst < 1e-5


def exact(theta, k, y, time):
    """Losses, relative entropy per input and path quantities with fifty digits."""
    with mpmath.workdps(50):
        theta, k, y = (mpmath.matrix(a.tolist()) for a in (theta, k, y))
        n, total, outputs = 5, 8, 2
        values, u = mpmath.eigsy(theta[:n, :n])

        def of(function):
            return u * mpmath.diag([function(v) for v in values]) * u.T

        a = of(lambda v: -mpmath.expm1(-v * time) / v)
        decay = of(lambda v: mpmath.exp(-2 * v * time))
        step = theta[:, :n] * a
        moving = mpmath.eye(total)
        moving[:, :n] = moving[:, :n] - step
        mean, covariance = step * y[:n, :], moving * k * moving.T
        result = {}
        for split, rows in (("train", range(n)), ("test", range(n, total))):
            size = [[mean[i, c] - y[i, c] for c in range(outputs)] for i in rows]
            result["loss_mean", split] = sum(e**2 for row in size for e in row) / 2 / len(rows)
            result["variance", split] = outputs * sum(covariance[i, i] for i in rows) / len(rows)
            each = [
                outputs * (covariance[i, i] / k[i, i] - 1 - mpmath.log(covariance[i, i] / k[i, i]))
                + sum(mean[i, c] ** 2 for c in range(outputs)) / k[i, i]
                for i in rows
            ]
            result["information_training_set", split] = sum(each) / 2 / len(rows)
            signal = step * k[:n, :n] * step.T
            ratios = [mpmath.log(1 + signal[i, i] / covariance[i, i]) for i in rows]
            result["information_training_set_labels", split] = outputs * sum(ratios) / 2 / len(rows)
        learn = outputs * k[:n, :n] + y[:n, :] * y[:n, :].T

        def trace(matrix):
            return sum(matrix[i, i] for i in range(n))

        energy = of(lambda v: -mpmath.expm1(-2 * v * time) / 2)
        result["path_energy", ""] = trace(energy * learn)
        result["speed_squared", ""] = trace(theta[:n, :n] * decay * learn)
        result["parameter_distance_squared", ""] = trace(a * theta[:n, :n] * a * learn)
        return result
