import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist, squareform

from ntkinfo.information.clustering import clustering, connected, pair_distances

RNG = np.random.default_rng(11)


def test_points_of_two_classes():
    """Two points a unit apart, ten rows each; one class has both, the other only the second."""
    activations = np.repeat(np.array([[0.05, 0.05], [1.05, 0.05]]), 10, axis=0)
    labels = np.array([0] * 15 + [1] * 5)
    result = clustering(activations, 0.1, labels)
    assert result.clusters == 2
    assert result.largest == 0.5
    assert result.effective == pytest.approx(2)
    assert result.binned.entropy.value == pytest.approx(np.log(2))
    # Within: 10·5 of the 115 pairs of one class lie apart; between: 50 of 75.
    assert result.distances.mean_within == pytest.approx(50 / 115)
    assert result.distances.mean_between == pytest.approx(50 / 75)
    assert result.distances.ratio == pytest.approx(75 / 115)
    assert result.distances.pairs == (115, 75)


def test_distances_by_another_route():
    activations, labels = RNG.normal(size=(150, 4)), RNG.integers(3, size=150)
    found = pair_distances(activations, labels, bins=20)
    same = pdist(labels[:, None], "hamming") == 0
    every = pdist(activations)
    for kind, counts, mean in ((same, found.within, found.mean_within), (~same, found.between, found.mean_between)):
        assert mean == pytest.approx(every[kind].mean(), rel=1e-12)
        np.testing.assert_array_equal(counts, np.histogram(every[kind], found.edges)[0])
        assert counts.sum() == kind.sum()
    cut = pair_distances(activations, labels, bins=5, largest=1.0)
    assert cut.within.sum() + cut.between.sum() == np.sum(every <= 1)


def test_blocks_change_nothing(monkeypatch):
    activations, labels = RNG.normal(size=(70, 2)), RNG.integers(2, size=70)
    whole, groups = pair_distances(activations, labels), connected(activations, 0.3)
    monkeypatch.setattr("ntkinfo.information.clustering._NUMBERS_AT_ONCE", 200)
    parted = pair_distances(activations, labels)
    np.testing.assert_array_equal(parted.within, whole.within)
    assert parted.mean_between == pytest.approx(whole.mean_between, rel=1e-13)
    np.testing.assert_array_equal(connected(activations, 0.3), groups)


@pytest.mark.parametrize("step", [0.05, 0.2, 0.5])
def test_single_linkage_against_scipy(step):
    activations = RNG.normal(size=(200, 2))
    ours, theirs = connected(activations, step), fcluster(linkage(activations, "single"), step, "distance")
    assert ours.max() + 1 == theirs.max()
    pairs = {(a, b) for a, b in zip(ours, theirs, strict=True)}
    assert len(pairs) == theirs.max()


def test_a_chain_is_one_cluster_and_a_gap_is_two():
    chain = np.arange(50)[:, None] * 0.1
    assert connected(chain, 0.11).max() == 0
    assert connected(chain, 0.09).max() == 49
    assert connected(np.concatenate([chain, chain + 5.2]), 0.11).max() == 1
    assert squareform(pdist(chain)).max() > 4


def test_one_class_has_no_distance_between():
    found = pair_distances(RNG.normal(size=(5, 1)), np.zeros(5, dtype=int))
    assert np.isnan(found.mean_between)
    assert found.pairs == (10, 0)


def test_bad_input():
    with pytest.raises(ValueError, match="greater than 0"):
        clustering(np.ones((3, 2)), 0.0)
    with pytest.raises(ValueError, match="NaN"):
        clustering(np.array([[np.nan], [1.0]]), 1.0)
    with pytest.raises(ValueError, match="greater than 0"):
        pair_distances(np.ones((3, 2)), np.zeros(3, dtype=int), largest=-1.0)
