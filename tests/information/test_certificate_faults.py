"""Faults planted one at a time in the first routes: the certificate has to name the quantity or the kernel."""

import json

import numpy as np
import pytest

import ntkinfo as ni
from ntkinfo.core.progress import silent
from ntkinfo.core.records import Dataset
from ntkinfo.information import joint, losses, mixture_sampling, path
from ntkinfo.information.certificate import Certificate, certify
from ntkinfo.information.curves import curves_of
from ntkinfo.information.mixture_averages import LogRatios
from ntkinfo.information.second_kernels import entries
from ntkinfo.information.second_propagator import NotCheckedError
from ntkinfo.kernels.blocks import NetworkKernels, kernel_blocks
from ntkinfo.kernels.records import SquareBlocks
from ntkinfo.kernels.tiles import TileKernel
from ntkinfo.training.held_out_law import HeldOutLaw
from ntkinfo.training.output_distribution import output_distribution
from ntkinfo.training.procedures import GradientFlow
from tests.cli_helpers import SMALL
from tests.random_features import RandomFeatures

TIMES = np.array([0.3, 3.0, 30.0])
NETWORK = ni.FullyConnected(depth=2, activation="erf", w_std=1.5, b_std=0.1)


def half_of_the_tangent_part(patch):
    """The factor 2 of a derivative is missing in the NTK."""
    for name in ("tile", "diagonal"):
        whole = getattr(TileKernel, name)

        def halved(self, *given, whole=whole):
            nngp, ntk = whole(self, *given)
            return [nngp, nngp + 0.5 * (ntk - nngp)]

        patch.setattr(TileKernel, name, halved)


def pi_in_the_kernel(patch):
    """3 for π in both kernels."""
    for name in ("tile", "diagonal"):
        whole = getattr(TileKernel, name)
        patch.setattr(
            TileKernel, name, lambda self, *given, whole=whole: [np.pi / 3 * kernel for kernel in whole(self, *given)]
        )


def noise_on_the_diagonal(patch):
    """A series that is cut off between neighbours and whole where an input meets itself."""
    whole = NetworkKernels.train

    def noisy(self):
        blocks = whole(self)
        nngp, ntk = (np.asarray(kernel) + 1e-3 * np.diag(np.diag(kernel)) for kernel in (blocks.nngp, blocks.ntk))
        return SquareBlocks(nngp, ntk)

    patch.setattr(NetworkKernels, "train", noisy)


def wrong_sign_in_the_variance(patch):
    """2 S - P for P - S of what training has explained."""
    whole = HeldOutLaw.variance_at
    patch.setattr(HeldOutLaw, "variance_at", lambda self, chosen: 2 * self.initial_variance[None] - whole(self, chosen))


def rounding_floor(patch):
    """Variances by a difference of numbers of the prior's size, where test inputs repeat training inputs."""

    def floor(self):
        sign = np.where(np.arange(self.n_inputs) % 2, 1.0, -1.0)
        return 1e-15 * np.asarray(self.initial_variance) * sign

    def variance(self, chosen, whole=HeldOutLaw.variance_at):
        return np.maximum(np.asarray(whole(self, chosen)) + floor(self)[None], 0.0)

    def log_variance(self, chosen):
        with np.errstate(divide="ignore"):
            return np.log(variance(self, chosen))

    patch.setattr(HeldOutLaw, "variance_at", variance)
    patch.setattr(HeldOutLaw, "log_variance_at", log_variance)


def one_left_out(patch):
    """The average over the other components: a bound in place of the value."""
    whole = LogRatios.of

    def of(pairs, weights, labels):
        ratios = whole(pairs, weights, labels)
        return LogRatios(ratios.others, ratios.label, ratios.own, ratios.own_label, ratios.others)

    patch.setattr(mixture_sampling.LogRatios, "of", of)


def control_variate_with_a_mean(patch):
    """The average of the squared noise is not taken off."""
    whole = mixture_sampling.controls_of

    def off(squared, owner, outputs, log_variance):
        return whole(squared, owner, outputs, log_variance) + np.array([outputs, 0, 0, 0])[:, None]

    patch.setattr(mixture_sampling, "controls_of", off)


def joint_value(patch):
    whole = joint.gaussian_relative_entropy
    patch.setattr(joint, "gaussian_relative_entropy", lambda *given: (1 + 1e-6) * whole(*given))


def path_without_the_root(patch):
    whole = path._integrate

    class Squared:
        """Arrays whose square root is left out."""

        def __init__(self, inner):
            self.inner = inner

        def __getattr__(self, name):
            return (lambda array: array) if name == "sqrt" else getattr(self.inner, name)

    def integrate(law, weights, edges, order, namespace=path.namespace):
        patch.setattr(path, "namespace", lambda *arrays: Squared(namespace(*arrays)))
        try:
            return whole(law, weights, edges, order)
        finally:
            patch.setattr(path, "namespace", namespace)

    patch.setattr(path, "_integrate", integrate)


def next_class(patch):
    whole = losses.wrong_class
    patch.setattr(
        losses, "wrong_class", lambda mean, labels, ties=None: whole(mean, (labels + 1) % mean.shape[2], ties)
    )


FAULTS = {
    half_of_the_tangent_part: ("kernel ntk", "fisher_trace"),
    pi_in_the_kernel: ("kernel nngp", "fisher_trace"),
    noise_on_the_diagonal: ("kernel nngp", "fisher_trace"),
    wrong_sign_in_the_variance: ("variance", "variance"),
    rounding_floor: ("information_training_set", "information_training_set"),
    one_left_out: ("information_input", "information_input"),
    control_variate_with_a_mean: ("information_input", "information_input"),
    joint_value: ("information_training_set_joint", "information_training_set_joint"),
    path_without_the_root: ("path_length", "path_length"),
    next_class: ("error_mean", "error_mean"),
}


def data_of(fault):
    wine = ni.data.wine(n_train=40, n_test=20)
    if fault is not rounding_floor:
        return wine
    return Dataset(
        wine.x_train, wine.y_train, wine.x_train[:20], wine.y_train[:20], wine.labels_train, wine.labels_train[:20]
    )


def certified(data, quantity):
    law = output_distribution(kernel_blocks(NETWORK, data, progress=silent), data, GradientFlow(), TIMES)
    return certify(law, curves_of(law, quantities=[quantity], progress=silent), share=1.0)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_every_planted_fault_is_named(fault, monkeypatch):
    named, quantity = FAULTS[fault]
    if fault is not rounding_floor:
        assert certified(data_of(fault), quantity).passed
    fault(monkeypatch)
    certificate = certified(data_of(fault), quantity)
    assert not certificate.passed
    wrong = [one.quantity for one in (*certificate.kernels, *certificate.findings) if not one.passed]
    assert named in wrong
    assert named in certificate.verdict
    assert Certificate.from_json(certificate.to_json()) == certificate


def test_a_planted_fault_has_the_exit_code_of_disagreement(curves, tmp_path, monkeypatch):
    half_of_the_tangent_part(monkeypatch)
    code, _, err = curves(*SMALL, "--quantities", "fisher_trace", "--certify", "--quiet", "--out", "results")
    assert code == 3
    assert "NOT certified: kernel ntk disagree" in err
    assert json.loads((tmp_path / "results" / "certificate.json").read_text())["kernels"][1]["passed"] is False


def test_kernels_without_a_second_route_are_said_to_be_unchecked():
    model = RandomFeatures(outputs=1)
    law = output_distribution(model.blocks, model.data, GradientFlow(), TIMES)
    certificate = certify(law, curves_of(law, quantities=["loss_mean"], progress=silent))
    assert certificate.passed
    assert certificate.verdict.endswith("kernels not checked")
    assert all(kernel.checked == 0 and kernel.reasons for kernel in certificate.kernels)
    with pytest.raises(NotCheckedError, match="arrays"):
        next(entries(law, np.random.default_rng(0)))


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "gelu", "sine", "identity", "tanh"])
def test_the_second_kernels_agree_with_the_first(activation):
    """Small inputs: the first route keeps its digits there, and series need few terms."""
    wine = ni.data.wine(n_train=12, n_test=6)
    network = ni.FullyConnected(depth=2, activation=activation, w_std=1.0, b_std=0.1)
    law = output_distribution(kernel_blocks(network, wine, progress=silent), wine, GradientFlow(), TIMES)
    for entry in entries(law, np.random.default_rng(0)):
        for pair, size in zip((entry.nngp, entry.ntk), entry.size, strict=True):
            assert abs(pair[0] - pair[1]) < 1e-9 * size, entry


def test_infinity_and_a_number_never_agree(monkeypatch):
    """Whatever error the curves state there; infinity against infinity does agree."""
    data = data_of(None)
    law = output_distribution(kernel_blocks(NETWORK, data, progress=silent), data, GradientFlow(), TIMES)
    curves = curves_of(law, quantities=["information_training_set"], progress=silent)
    wrong = curves.copy(deep=True)
    wrong["information_training_set"][1] = np.inf
    wrong["information_training_set_standard_error"][1] = np.inf
    certificate = certify(law, wrong, share=1.0)
    assert not certificate.passed
    assert certificate.findings[0].largest == np.inf
    settled = output_distribution(law.blocks, data, GradientFlow(), np.array([1.0, np.inf]))
    curves = curves_of(settled, quantities=["information_parameters_linear"], progress=silent)
    assert curves["information_parameters_linear"].values[-1] == np.inf
    assert curves["information_parameters_linear_standard_error"].values[-1] == np.inf
    certificate = certify(settled, curves, share=1.0)
    assert certificate.passed
    assert certificate.checked == 2
