import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ntkinfo.data import splits


@st.composite
def pools(draw):
    counts = draw(st.lists(st.integers(1, 40), min_size=1, max_size=8))
    total = sum(counts)
    first = draw(st.integers(0, total))
    second = draw(st.integers(0, total - first))
    return counts, (first, second), draw(st.integers(0, 2**32))


@settings(max_examples=60, deadline=None)
@given(pools())
def test_stratified_parts_are_disjoint_of_the_asked_size_and_proportional(pool):
    counts, sizes, seed = pool
    labels = np.repeat(np.arange(len(counts)), counts)
    parts = splits.stratified_split(labels, sizes, splits.generator(seed, splits.SPLIT))
    together = np.concatenate(parts)
    assert len(np.unique(together)) == len(together) == sum(sizes)
    for part, size in zip(parts, sizes, strict=True):
        assert len(part) == size
        found = np.bincount(labels[part], minlength=len(counts))
        exact = size * np.array(counts)
        assert np.all(found >= exact // len(labels))
        assert np.all(found <= -(-exact // len(labels)))


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 60), st.integers(0, 2**32), st.data())
def test_shuffled_parts_are_disjoint_and_of_the_asked_size(total, seed, data):
    first = data.draw(st.integers(1, total - 1))
    second = data.draw(st.integers(1, total - first))
    parts = splits.shuffled_split(total, (first, second), splits.generator(seed, splits.SPLIT))
    assert [len(part) for part in parts] == [first, second]
    assert len(set(np.concatenate(parts))) == first + second


def test_the_whole_pool_can_be_used_where_rounding_is_tight():
    # Largest remainders column by column would overdraw here: 3 classes of 3, parts of 4 and 5.
    table = splits.proportional_counts(np.array([3, 3, 3]), (4, 5))
    assert table.sum(axis=0).tolist() == [4, 5]
    assert table.sum(axis=1).tolist() == [3, 3, 3]


def test_splits_repeat_for_a_seed_and_differ_between_seeds():
    labels = np.arange(200) % 4

    def draw(seed):
        return np.concatenate(splits.stratified_split(labels, (50, 40), splits.generator(seed, splits.SPLIT)))

    assert np.array_equal(draw(3), draw(3))
    assert not np.array_equal(draw(3), draw(4))


def test_every_member_of_a_class_is_drawn_equally_often():
    # 400 draws of a half: each share is 0.5 with standard error 0.025; 5 of them allowed.
    labels = np.repeat([0, 1], [10, 20])
    hits = np.zeros(30)
    for seed in range(400):
        hits[splits.stratified_split(labels, (15, 5), splits.generator(seed, splits.SPLIT))[0]] += 1
    standard_error = np.sqrt(0.25 / 400)
    assert np.max(np.abs(hits / 400 - 0.5)) < 5 * standard_error


@pytest.mark.parametrize(
    ("asked", "given_sizes"),
    [((None, None), (8, 2)), ((7, None), (7, 3)), ((None, 4), (6, 4)), ((5, 5), (5, 5)), ((1, 1), (1, 1))],
)
def test_open_sizes_are_filled_in(asked, given_sizes):
    assert splits.split_sizes(10, *asked) == given_sizes


@pytest.mark.parametrize("asked", [(8, 3), (10, None), (None, 10), (11, 1)])
def test_too_many_inputs_are_refused(asked):
    with pytest.raises(ValueError, match="holds 10 inputs"):
        splits.split_sizes(10, *asked, "a pool")


@pytest.mark.parametrize("asked", [(0, 3), (3, 0), (-1, 2)])
def test_empty_parts_are_refused(asked):
    with pytest.raises(ValueError, match="at least 1"):
        splits.split_sizes(10, *asked)


def test_negative_seeds_are_refused():
    with pytest.raises(ValueError, match="seed is -1"):
        splits.generator(-1, splits.SPLIT)


def test_part_sizes():
    assert splits.part_size(10, None, "n_train", "it") == 10
    assert splits.part_size(10, 4, "n_train", "it") == 4
    with pytest.raises(ValueError, match="holds 10 inputs; ask for at most 10"):
        splits.part_size(10, 11, "n_train", "it")


def test_label_noise_has_the_asked_rate_and_is_uniform_over_the_other_classes():
    n, rate, classes = 60_000, 0.3, 4
    labels = np.arange(n) % classes
    noisy, flipped = splits.flip_labels(labels, classes, rate, splits.generator(0, splits.TRAIN_NOISE))
    assert np.array_equal(noisy != labels, flipped)
    assert abs(flipped.mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / n)
    for label in range(classes):
        share = np.bincount(noisy[flipped & (labels == label)], minlength=classes) / np.sum(flipped & (labels == label))
        standard_error = np.sqrt((1 / 3) * (2 / 3) / (rate * n / classes))
        assert np.max(np.abs(np.delete(share, label) - 1 / 3)) < 5 * standard_error


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 6), st.integers(0, 2**32))
def test_label_noise_at_rate_0_and_1(classes, seed):
    labels = np.arange(50) % classes
    noise = splits.generator(seed, splits.TRAIN_NOISE)
    assert np.array_equal(splits.flip_labels(labels, classes, 0.0, noise)[0], labels)
    noisy = splits.flip_labels(labels, classes, 1.0, noise)[0]
    assert np.all(noisy != labels)
    assert noisy.min() >= 0
    assert noisy.max() < classes


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_rates_outside_0_to_1_are_refused(rate):
    with pytest.raises(ValueError, match="label_noise"):
        splits.flip_labels(np.array([0, 1]), 2, rate, splits.generator(0, 1))


def test_one_class_cannot_be_flipped():
    with pytest.raises(ValueError, match="n_classes is 1"):
        splits.flip_labels(np.array([0, 0]), 1, 0.5, splits.generator(0, 1))


def test_gaussian_noise_has_the_asked_deviation():
    targets, std = np.full((20_000, 2), 3.0), 0.5
    noise = splits.add_noise(targets, std, splits.generator(0, splits.TRAIN_NOISE)) - targets
    assert abs(noise.mean()) < 5 * std / np.sqrt(noise.size)
    assert abs(noise.std() - std) < 5 * std / np.sqrt(2 * noise.size)
    with pytest.raises(ValueError, match="label_noise is -1"):
        splits.add_noise(targets, -1.0, splits.generator(0, 1))
