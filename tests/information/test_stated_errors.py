"""Stated errors where digits are lost: slow directions beside fast ones at many times, small values at early times."""

import mpmath as mp
import numpy as np
import pytest

import ntkinfo as ni
from ntkinfo.core.linear_algebra import (
    Factored,
    gaussian_relative_entropy,
    log_determinant_one_plus,
    log_determinant_one_plus_gram,
)
from ntkinfo.core.progress import silent
from ntkinfo.kernels.records import CrossBlocks, KernelBlocks, SquareBlocks
from tests.random_features import RandomFeatures

PER_INPUT = ["information_training_set", "information_training_set_labels"]


def near_pair():
    """Kernels of condition 1e8: two of eight inputs lie a thousandth apart."""
    rng = np.random.default_rng(1)
    features = rng.standard_normal((8, 40)) / 40**0.5
    features[1] = features[0] * (1 + 1e-3) + 1e-4 * features[1]
    gram = features @ features.T
    kernels = SquareBlocks(gram, gram + 0.5 * gram @ gram)
    y = rng.standard_normal((8, 1))
    data = ni.Dataset(features[:, :3], y, features[2:4, :3] + 1, y[:2])
    cross = CrossBlocks(kernels.nngp[2:4] / 2, kernels.ntk[2:4] / 2, np.ones(2), 2 * np.ones(2))
    return data, KernelBlocks(kernels, cross)


def test_many_times_cost_no_digits_where_one_direction_outlasts_all_others():
    data, blocks = near_pair()
    times = np.geomspace(1e-2, 1e7, 201)

    def curves(chosen):
        law = ni.output_distribution(blocks, data, ni.GradientFlow(), chosen)
        return ni.curves_of(law, quantities=PER_INPUT, progress=silent).sel(split="train")

    shared = curves(times)
    for index in range(0, 201, 25):
        alone = curves(times[index : index + 1])
        for name in PER_INPUT:
            value, stated = (float(shared[key][index]) for key in (name, f"{name}_standard_error"))
            other = float(alone[name][0])
            assert np.isfinite(value)
            assert abs(value - other) <= stated
            # The decay of the slow direction is known to its eigenvalue's digits; nothing else may be lost.
            assert stated < 2e-2 * max(1.0, other)


@pytest.mark.parametrize("size", [1e-12, 1e-9, 1e-4, 0.3, 3.0])
def test_small_informations_keep_their_digits(size):
    rng = np.random.default_rng(2)
    half, mean = rng.standard_normal((3, 5)), rng.standard_normal((3, 2))
    start = np.cov(rng.standard_normal((3, 40)))
    change = size * 0.2 * start @ rng.standard_normal((3, 3))
    change = (change + change.T) / 2
    with mp.workdps(60):
        small = mp.matrix((size * half).tolist())
        right = mp.log(mp.det(mp.eye(3) + small * small.T))
        before, moved = mp.matrix(start.tolist()), mp.matrix((size * mean).tolist())
        inner = before**-1 * mp.matrix(change.tolist())
        logs = mp.log(mp.det(mp.eye(3) + inner)) if size < 1 else None
        entropy = None
        if logs is not None:
            squares = moved.T * before**-1 * moved
            entropy = (2 * (sum(inner[j, j] for j in range(3)) - logs) + squares[0, 0] + squares[1, 1]) / 2
    assert float(log_determinant_one_plus(size * half)) == pytest.approx(float(right), rel=1e-12)
    assert float(log_determinant_one_plus_gram(size**2 * half @ half.T)) == pytest.approx(float(right), rel=1e-12)
    if entropy is not None:
        factors = [Factored(np.linalg.cholesky(matrix)) for matrix in (start + change, start)]
        found = gaussian_relative_entropy(size * mean, *factors, change)
        assert float(found) == pytest.approx(float(entropy), rel=1e-10)


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_joint_informations_at_early_times_fall_as_the_square_of_time(noise):
    model = RandomFeatures()
    times = np.array([1e-9, 1e-8, 1e-7])
    procedure = ni.GradientFlow(target_noise_variance=noise)
    law = ni.output_distribution(model.blocks, model.data, procedure, times)
    names = ["information_training_set_joint", "information_training_set_labels_joint"]
    curves = ni.curves_of(law, quantities=names, progress=silent)
    for name in names:
        for split in ("train", "test"):
            value, stated = (curves[key].sel(split=split).values for key in (name, f"{name}_standard_error"))
            assert np.all(stated < 1e-5 * value)
            np.testing.assert_allclose(value / value[0], [1, 1e2, 1e4], rtol=1e-4)
