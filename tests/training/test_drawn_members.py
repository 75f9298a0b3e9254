"""Members drawn from the law at late times, where covariances are singular to rounding."""

import numpy as np
import pytest

import ntkinfo as ni
from ntkinfo.information.numerical_errors import NumericalErrors
from tests.training.test_repeated_inputs import TIMES, inputs_and_targets, law_of


def line_of_inputs():
    """Ordinary one-dimensional regression, whose covariances are singular to rounding once it is learned."""
    grid, inside = np.linspace(-1, 1, 40)[:, None], np.linspace(-0.95, 0.97, 9)[:, None]
    test = np.concatenate([inside, grid[3:5]])
    data = ni.Dataset(grid, np.sin(3 * grid), test, np.sin(3 * test))
    return law_of(data, ni.GradientFlow(), np.array([0.0, 1.0, 1e3, np.inf]))


def test_members_can_be_drawn_at_any_time_with_the_law_s_variances():
    law = line_of_inputs()
    errors = NumericalErrors(law)
    for split in ("train", "test"):
        side = getattr(law, split)
        for index, time in enumerate(law.times):
            here = slice(index, index + 1)
            covariance, root = side.covariance(time), side.covariance_root(time)
            assert np.all(np.diagonal(covariance) >= 0)
            variance = side.variance[index]
            allowed = errors.side(split).variance(here, variance[None])[0] + 1e-14
            assert np.all(np.abs(np.diagonal(covariance) - variance) <= allowed), (split, time)
            np.testing.assert_allclose(np.sum(root.root**2, axis=1), np.diagonal(covariance), rtol=1e-9)
            assert np.max(np.abs(root.root @ root.root.T - covariance)) <= root.repaired * (1 + 1e-9) + 1e-18
            assert root.repaired <= 1e-12
            assert bool(root.notes) == (np.linalg.eigvalsh(covariance / _sizes(covariance))[0] < 0)
            drawn = side.sample(0, 50, time)
            away = np.abs(drawn - side.mean_once(time)).max()
            assert away <= 6 * np.sqrt(np.max(np.diagonal(covariance)))


def _sizes(covariance):
    std = np.sqrt(np.diagonal(covariance))
    std = np.where(std > 0, std, 1.0)
    return std[:, None] * std[None, :]


def test_drawn_members_keep_small_variances_beside_large_ones():
    """A test input that equals a training input varies by 1e-13 and less where its neighbours vary by 0.1."""
    x, y = inputs_and_targets()
    law = law_of(ni.Dataset(x, y, np.concatenate([x[2:4], x[:2] + 1.0]), y[:4]), ni.GradientFlow(), TIMES)
    wanted = np.sqrt(law.train.variance[3, 2:4])
    assert np.all(wanted < 1e-3 * np.sqrt(law.test.variance[3, 2:]))
    drawn = law.test.sample(1, 4000, 30.0)
    np.testing.assert_allclose(np.std(drawn[:, :2, 0], axis=0), wanted, rtol=0.05)


def test_a_covariance_that_is_none_is_refused():
    law = line_of_inputs()
    side = law.train
    broken = np.eye(40)
    broken[0, 1] = broken[1, 0] = 1.5
    side._covariance = lambda time: broken
    with pytest.raises(ValueError, match="not positive semidefinite"):
        side.sample(0, 2, 1.0)
