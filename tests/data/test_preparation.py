import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ntkinfo.data.preparation import Preparation, PreparationOptions, Source, prepare
from ntkinfo.data.standardise import Standardiser


def class_source(n=60, classes=3, seed=0):
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    return Source(generator.normal(3, 2, (n, 4)), labels, tuple("abcdefgh"[:classes]), "toy")


def real_source(n=40, outputs=2, seed=0):
    generator = np.random.default_rng(seed)
    return Source(generator.normal(3, 2, (n, 4)), generator.normal(5, 3, (n, outputs)), (), "toy")


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(["feature", "all"]), st.integers(0, 1000))
def test_test_inputs_change_nothing_in_the_training_inputs(by, seed):
    source = class_source()
    settings_ = Preparation(standardise_by=by)
    plain = prepare(source, 30, 20, seed, settings_)
    raw = prepare(source, 30, 20, seed, Preparation(standardise=False))
    is_test = np.array([np.any(np.all(row == raw.x_test, axis=1)) for row in source.inputs])
    changed = Source(np.where(is_test[:, None], 1e6 * source.inputs, source.inputs), source.answers, ("a", "b", "c"))
    other = prepare(changed, 30, 20, seed, settings_)
    assert is_test.sum() == 20
    assert np.array_equal(plain.x_train, other.x_train)
    assert np.array_equal(plain.y_train, other.y_train)
    assert not np.array_equal(plain.x_test, other.x_test)


def test_test_answers_change_nothing_in_the_training_targets():
    source = real_source()
    raw = prepare(source, 20, 15, 0, Preparation(targets="regression", standardise_targets=False))
    is_test = np.isin(source.answers[:, 0], raw.y_test[:, 0])
    changed = Source(source.inputs, np.where(is_test[:, None], 1e6, source.answers))
    settings_ = Preparation(targets="regression", label_noise=0.3)
    plain, other = (prepare(s, 20, 15, 0, settings_) for s in (source, changed))
    assert np.array_equal(plain.y_train, other.y_train)
    assert not np.array_equal(plain.y_test, other.y_test)


def test_standardised_training_inputs_have_mean_0_and_variance_1():
    by_feature = prepare(class_source(), 30, 20, 0, Preparation())
    np.testing.assert_allclose(by_feature.x_train.mean(axis=0), 0, atol=1e-14)
    np.testing.assert_allclose(by_feature.x_train.std(axis=0), 1, rtol=1e-13)
    together = prepare(class_source(), 30, 20, 0, Preparation(standardise_by="all"))
    assert abs(together.x_train.mean()) < 1e-14
    assert abs(together.x_train.std() - 1) < 1e-13
    assert np.max(np.abs(together.x_train.std(axis=0) - 1)) > 1e-3


def test_standardised_regression_targets_have_mean_0_and_variance_1():
    data = prepare(real_source(), 20, 15, 0, Preparation(targets="regression"))
    np.testing.assert_allclose(data.y_train.mean(axis=0), 0, atol=1e-14)
    np.testing.assert_allclose(data.y_train.std(axis=0), 1, rtol=1e-13)
    assert data.labels_train is None


def test_constant_features_are_0_in_both_parts_and_counted():
    source = class_source()
    inputs = source.inputs.copy()
    inputs[:, 1] = 0.1
    data = prepare(Source(inputs, source.answers, source.class_names), 30, 20, 0, Preparation())
    assert np.all(data.x_train[:, 1] == 0)
    assert np.all(data.x_test[:, 1] == 0)
    assert data.provenance["constant_features_set_to_0"] == 1


def test_a_feature_constant_in_training_only_is_0_in_the_test_part():
    standardiser = Standardiser.fit(np.array([[1.0, 5.0], [2.0, 5.0]]))
    assert standardiser(np.array([[1.0, 77.0]])).tolist() == [[-1.0, 0.0]]
    assert standardiser.constant.tolist() == [False, True]


def test_inputs_without_any_scale_are_refused():
    with pytest.raises(ValueError, match="every feature is constant"):
        Standardiser.fit(np.ones((3, 2)))
    with pytest.raises(ValueError, match="too small or too large"):
        Standardiser.fit(np.array([[0.0], [1e-200]]))
    with pytest.raises(ValueError, match="did you mean 'feature'"):
        Standardiser.fit(np.eye(2), "featur")


def test_parity_follows_the_number_that_names_the_class():
    source = Source(np.random.default_rng(0).normal(size=(60, 2)), np.arange(60) % 3, ("3", "8", "10"))
    numbers = {tuple(x): int(source.class_names[label]) for x, label in zip(source.inputs, source.answers, strict=True)}
    data = prepare(source, 30, 20, 0, Preparation(targets="parity", standardise=False))
    odd = np.array([numbers[tuple(x)] % 2 for x in data.x_train])
    assert np.array_equal(data.y_train[:, 0], 2.0 * odd - 1)
    assert data.class_names == ("even", "odd")
    # Stratified by the class, not only by its parity: 8 and 10 get 10 inputs each.
    assert sorted(np.unique([numbers[tuple(x)] for x in data.x_train], return_counts=True)[1]) == [10, 10, 10]


def test_a_pair_keeps_two_classes_in_the_order_asked_for():
    source = class_source()
    label = {tuple(x): k for x, k in zip(source.inputs, source.answers, strict=True)}
    data = prepare(source, 20, 10, 0, Preparation(targets="pair", classes=("c", "a"), standardise=False))
    assert data.class_names == ("c", "a")
    assert [label[tuple(x)] for x in data.x_train] == [2 if y < 0 else 0 for y in data.y_train[:, 0]]
    assert data.provenance["n_pool"] == 40


def test_regression_on_classes_uses_the_class_numbers():
    source = Source(np.random.default_rng(0).normal(size=(40, 2)), np.arange(40) % 2, ("3", "8"))
    data = prepare(source, 20, 10, 0, Preparation(targets="regression", standardise_targets=False))
    assert set(data.y_train[:, 0]) == {3.0, 8.0}
    assert data.labels_train is None


def test_label_noise_leaves_inputs_and_test_labels_alone_and_is_recorded():
    source = class_source(600)
    clean = prepare(source, 300, 200, 5, Preparation())
    noisy = prepare(source, 300, 200, 5, Preparation(label_noise=0.4))
    assert np.array_equal(clean.x_train, noisy.x_train)
    assert np.array_equal(clean.labels_test, noisy.labels_test)
    flipped = np.sum(clean.labels_train != noisy.labels_train)
    assert noisy.provenance["labels_flipped_train"] == flipped
    assert abs(flipped / 300 - 0.4) < 5 * np.sqrt(0.24 / 300)
    assert np.array_equal(noisy.y_train.argmax(axis=1), noisy.labels_train)


def test_label_noise_can_reach_the_test_part():
    source = class_source(600)
    clean = prepare(source, 300, 200, 5, Preparation())
    noisy = prepare(source, 300, 200, 5, Preparation(label_noise=0.4, noisy_test=True))
    assert noisy.provenance["labels_flipped_test"] == np.sum(clean.labels_test != noisy.labels_test) > 0


def test_noise_on_regression_targets():
    source = real_source(2000)
    clean, noisy, both = (
        prepare(source, 1200, 800, 1, Preparation(targets="regression", label_noise=std, noisy_test=test))
        for std, test in ((0.0, False), (0.7, False), (0.7, True))
    )
    noise = noisy.y_train - clean.y_train
    assert abs(noise.std() - 0.7) < 5 * 0.7 / np.sqrt(2 * noise.size)
    assert np.array_equal(noisy.y_test, clean.y_test)
    assert abs((both.y_test - clean.y_test).std() - 0.7) < 5 * 0.7 / np.sqrt(2 * both.y_test.size)


def test_parts_given_by_the_source_stay_apart():
    train, test = class_source(60, seed=1), class_source(45, seed=2)
    data = prepare(train, 30, None, 0, Preparation(standardise=False), test)
    assert all(np.any(np.all(x == train.inputs, axis=1)) for x in data.x_train)
    assert sorted(map(tuple, data.x_test)) == sorted(map(tuple, test.inputs))
    assert np.bincount(data.labels_train).tolist() == [10, 10, 10]
    with pytest.raises(ValueError, match="the test part of toy holds 45 inputs"):
        prepare(train, 30, 46, 0, Preparation(), test)


def test_images_keep_their_shape():
    images = np.random.default_rng(0).normal(size=(20, 3, 5, 2))
    source = Source(images, np.arange(20) % 2, ("a", "b"))
    flat = prepare(source, 10, 6, 0, Preparation())
    shaped = prepare(source, 10, 6, 0, Preparation(images=True))
    assert flat.x_train.shape == (10, 30)
    assert shaped.x_test.shape == (6, 3, 5, 2)
    assert np.array_equal(shaped.x_train.reshape(10, -1), flat.x_train)
    with pytest.raises(ValueError, match="images=True, but toy has inputs of shape"):
        prepare(class_source(), 10, 6, 0, Preparation(images=True))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"target": "pair"}, ValueError, "did you mean 'targets'"),
        ({"targets": "onehot"}, ValueError, "did you mean 'one-hot'"),
        ({"standardise_by": "pixel"}, ValueError, "standardise_by"),
        ({"label_noise": 1.5}, ValueError, "between 0 and 1"),
        ({"label_noise": -1.0, "targets": "regression"}, ValueError, "0 or greater"),
        ({"classes": "38"}, TypeError, "list of class names"),
    ],
)
def test_bad_settings_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        Preparation().updated(options)


def test_the_typed_keywords_are_the_fields():
    assert list(PreparationOptions.__annotations__) == list(Preparation.__dataclass_fields__)


@pytest.mark.parametrize(
    ("source", "settings_", "message"),
    [
        (real_source(), Preparation(targets="pair"), "has real-valued answers"),
        (real_source(), Preparation(targets="regression", classes=("a", "b")), "no classes"),
        (class_source(), Preparation(targets="parity"), "whole numbers as names"),
        (class_source(), Preparation(targets="regression"), "whole numbers as names"),
        (class_source(), Preparation(classes=("a", "b"), targets="one-hot"), "which holds 40 inputs"),
    ],
)
def test_settings_that_do_not_fit_the_source_are_refused(source, settings_, message):
    with pytest.raises(ValueError, match=message):
        prepare(source, 35, 20, 0, settings_)


def test_a_training_part_of_one_input_or_one_class_is_taken():
    data = prepare(class_source(60, 2), 1, 10, 0, Preparation(standardise=False))
    assert data.x_train.shape[0] == 1
    assert set(data.labels_test) == {0, 1}
    with pytest.raises(ValueError, match="use standardise=False"):  # one input has no scale of its own
        prepare(class_source(60, 2), 1, 10, 0, Preparation())


def test_inputs_that_are_not_finite_are_named():
    source = class_source()
    inputs = source.inputs.copy()
    inputs[:] = np.nan
    with pytest.raises(ValueError, match="toy: training inputs holds"):
        prepare(Source(inputs, source.answers, source.class_names, "toy"), 10, 10, 0, Preparation())
