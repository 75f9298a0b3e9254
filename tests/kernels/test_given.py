"""Kernels of one's own: an empirical NTK from another program, a formula."""

import dataclasses

import numpy as np
import pytest

import ntkinfo as ni

N, M = 10, 4


def parts(dtype: type = np.float64):
    rng = np.random.default_rng(0)
    jacobian = rng.normal(size=(N + M, 40)).astype(dtype)
    t, k = jacobian @ jacobian.T, np.cov(rng.normal(size=(N + M, 60))).astype(dtype)
    return k, t


def blocks(k, t):
    cross = ni.CrossBlocks(k[N:, :N], t[N:, :N], np.diag(k)[N:].copy(), np.diag(t)[N:].copy())
    return ni.KernelBlocks(ni.SquareBlocks(k[:N, :N], t[:N, :N]), cross)


def law(given, ridge=0.1):
    rng = np.random.default_rng(1)
    x_train, y_train, x_test, y_test = (rng.normal(size=shape) for shape in ((N, 3), (N, 1), (M, 3), (M, 1)))
    data = ni.Dataset(x_train, y_train, x_test, y_test)
    return ni.output_distribution(given, data, ni.GradientFlow(ridge=ridge), np.array([1.0, np.inf])), data


def test_the_mean_is_that_of_kernel_regression():
    k, t = parts()
    given = blocks(k, t)
    found, data = law(given)
    right = t[N:, :N] @ np.linalg.solve(t[:N, :N] + 0.1 * np.eye(N), data.y_train[:, 0])
    np.testing.assert_allclose(found.mean[-1, :, 0], right, rtol=1e-11)
    assert given.notes == ()
    assert given.kernel_error == 0


@pytest.mark.parametrize("name", ["nngp", "ntk"])
@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ((0, 1), np.nan, r"training {} kernel holds 1 NaN .* the first at \[0, 1\]: nan"),
        ((1, 0), np.nan, r"training {} kernel holds 1 NaN .* the first at \[1, 0\]: nan"),
        ((0, 0), np.inf, r"training {} kernel holds 1 .* the first at \[0, 0\]: inf"),
        ((N + 1, 2), np.nan, r"test {} kernel holds 1 .* the first at \[1, 2\]"),
        ((N + 3, N + 3), -np.inf, r"test diagonal of the {} kernel holds 1 .* the first at \[3\]: -inf"),
        ((2, 3), 50.0, r"train\.{} is not symmetric: 50 at \[2, 3\]"),
        ((4, 4), -1.0, r"train\.{} is -1 for input 4"),
        ((N, N), -0.5, r"test\.{}_diagonal is -0\.5 for input 0"),
    ],
)
def test_what_is_no_kernel_is_refused_by_place(name, place, value, message):
    given = dict(zip(("nngp", "ntk"), (array.copy() for array in parts()), strict=True))
    given[name][place] = value
    with pytest.raises(ValueError, match=message.format(name)):
        blocks(given["nngp"], given["ntk"])


def test_a_difference_on_a_diagonal_of_zero_is_refused():
    k, t = parts()
    t[0, :], t[:, 0] = 0.0, 0.0
    t[0, 1] = 1e-9
    with pytest.raises(ValueError, match="not symmetric"):
        blocks(k, t)


def test_single_precision_is_taken_with_its_rounding_stated_and_within_it():
    exact, _ = law(blocks(*parts()), ridge=0.0)
    given = blocks(*parts(np.float32))
    assert given.train.ntk.dtype == np.float64
    assert 1e-7 < given.kernel_error < 1e-6
    assert "given kernels: taken to be off by 1.2e-07" in given.notes[0]
    rounded, _ = law(given, ridge=0.0)
    np.testing.assert_allclose(rounded.mean, exact.mean, rtol=1e-4)


def test_triangles_that_differ_by_rounding_are_averaged_and_stated():
    k, t = parts()
    moved = t.copy()
    moved[0, 1] *= 1 + 1e-7
    given = blocks(k, moved)
    np.testing.assert_allclose(given.train.ntk[0, 1], t[0, 1] * (1 + 0.5e-7), rtol=1e-14)
    assert given.train.ntk[0, 1] == given.train.ntk[1, 0]
    expected = abs(moved[0, 1] - t[0, 1]) / np.sqrt(t[0, 0] * t[1, 1])
    assert given.kernel_error == pytest.approx(expected, rel=1e-6)
    assert "two triangles differ" in given.notes[0]
    again = dataclasses.replace(given, kernel_error=1e-3)
    assert again.kernel_error == 1e-3
    assert again.notes == given.notes


def test_shapes_that_do_not_fit_are_refused():
    k, t = parts()
    with pytest.raises(ValueError, match=r"test\.nngp has shape \(4, 10\); it must be \(any, 9\)"):
        ni.KernelBlocks(ni.SquareBlocks(k[:9, :9], t[:9, :9]), blocks(k, t).test)
