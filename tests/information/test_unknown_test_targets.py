"""Test inputs whose targets are not known: what needs none equals what the same inputs with targets give."""

import numpy as np
import pytest

import ntkinfo as ni
from ntkinfo.core.progress import silent
from ntkinfo.information.quantities import NEED_TARGETS

TIMES = [0.0, 0.5, 20.0]


def data(known, classes):
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((18, 3)), np.arange(18) % 2
    y = 2.0 * labels[:, None] - 1 if classes else rng.standard_normal((18, 1))
    told = {"labels_train": labels[:12], "labels_test": labels[12:] if known else None} if classes else {}
    return ni.Dataset(x[:12], y[:12], x[12:], y[12:] if known else None, **told)


def curves(known, classes):
    settings = ni.CurveSettings(certify=1.0)
    return ni.information_curves(ni.FullyConnected(1), data(known, classes), TIMES, settings=settings, progress=silent)


@pytest.mark.parametrize("classes", [False, True])
def test_curves_without_test_targets_leave_out_what_needs_them_and_nothing_else(classes):
    known, unknown = curves(True, classes), curves(False, classes)
    for name in known.data_vars:
        if "split" not in known[name].dims or known[name].dtype.kind in "US":
            continue
        needs = any(name.startswith(each) for each in NEED_TARGETS)
        got, want = (each[name].sel(split="test") for each in (unknown, known))
        if needs:
            assert np.isnan(got).all(), name
        else:
            np.testing.assert_allclose(got, want, rtol=1e-12, err_msg=name)
        np.testing.assert_allclose(unknown[name].sel(split="train"), known[name].sel(split="train"), rtol=1e-12)
    (note,) = [line for line in unknown.notes.splitlines() if "y_test is None" in line]
    assert note.startswith("test: ")
    assert "loss_mean" in note
    assert "information_input" not in note


def test_other_results_do_without_or_say_what_needs_them():
    law = ni.output_distribution(
        ni.kernel_blocks(ni.FullyConnected(1), data(False, True)), data(False, True), ni.GradientFlow(), TIMES
    )
    assert np.isfinite(ni.pointwise_information(law, time_indices=[1], progress=silent).information_input).all()
    assert "test_bias_squared" not in ni.spectral_contributions(law, progress=silent)
    with pytest.raises(ValueError, match=r"test_bias_squared .* needs test targets, and y_test was given as None"):
        ni.spectral_contributions(law, quantities=["test_bias_squared"], progress=silent)


def test_labels_of_unknown_targets_are_refused():
    x = np.ones((2, 1))
    with pytest.raises(ValueError, match="labels_test is given and y_test is None"):
        ni.Dataset(x, [[1.0], [-1.0]], x, None, labels_train=[1, 0], labels_test=[0, 1])
