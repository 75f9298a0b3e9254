"""Bad data is refused with what was given, what is needed and what to do."""

import numpy as np
import pytest

from ntkinfo.core import checks
from ntkinfo.core.arrays import float64
from ntkinfo.core.records import Dataset, fingerprint


def arrays(**changes):
    rng = np.random.default_rng(0)
    given = {
        "x_train": rng.normal(size=(6, 3)),
        "y_train": rng.normal(size=(6, 2)),
        "x_test": rng.normal(size=(4, 3)),
        "y_test": rng.normal(size=(4, 2)),
    }
    return {**given, **changes}


def with_value(value):
    x = arrays()["x_train"].copy()
    x[2, 1] = value
    return x


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_train": with_value(np.nan)}, r"x_train holds 1 NaN or infinite value\(s\), the first at index \(2, 1\)"),
        ({"x_train": with_value(np.inf)}, "remove those rows"),
        ({"y_train": np.zeros((5, 2))}, r"y_train has shape \(5, 2\); it must be \(6, any\)"),
        ({"y_test": np.zeros((4, 3))}, r"y_test has shape \(4, 3\); it must be \(4, 2\)"),
        ({"x_test": np.zeros((4, 5))}, "same input shape"),
        ({"x_test": np.zeros((0, 3)), "y_test": np.zeros((0, 2))}, "x_test is empty"),
        ({"x_train": np.zeros(6)}, r"inputs are \(n, features\)"),
        ({"x_train": np.zeros((6, 0)), "x_test": np.zeros((4, 0))}, "no features"),
        ({"y_train": np.zeros((6, 0)), "y_test": np.zeros((4, 0))}, "no columns"),
        ({"labels_train": np.zeros(6, int)}, "go together"),
        ({"labels_train": np.arange(6) - 1, "labels_test": np.arange(4)}, "runs from -1 to 4"),
        (
            {"labels_train": np.arange(6), "labels_test": np.arange(4), "class_names": ("a", "b")},
            "with 2 classes the labels are 0 to 1",
        ),
        ({"labels_train": np.arange(5), "labels_test": np.arange(4)}, r"labels_train has shape \(5,\)"),
    ],
)
def test_bad_data(changes, message):
    with pytest.raises(ValueError, match=message):
        Dataset(**arrays(**changes))


def test_bad_types():
    with pytest.raises(TypeError, match="real numbers"):
        Dataset(**arrays(x_train=np.full((6, 3), "a")))
    with pytest.raises(TypeError, match="labels are integers"):
        Dataset(**arrays(labels_train=np.linspace(0, 1, 6), labels_test=np.arange(4)))


def test_data_are_held_as_float64_and_cannot_be_changed():
    data = Dataset(**arrays(x_train=np.arange(18, dtype=np.int8).reshape(6, 3)))
    assert data.x_train.dtype == np.float64
    with pytest.raises(ValueError, match="read-only"):
        data.x_train[0] = 0
    assert data.n_outputs == 2


def test_fingerprints_tell_values_shapes_and_types_apart():
    x = np.arange(6.0)
    prints = {fingerprint(a) for a in (x, x.reshape(2, 3), x.astype(np.float32), x + 0.0, x + 1e-12)}
    assert len(prints) == 4
    assert Dataset(**arrays()).fingerprint == Dataset(**arrays()).fingerprint
    assert Dataset(**arrays()).fingerprint != Dataset(**arrays(y_test=np.zeros((4, 2)))).fingerprint


def test_checks_of_numbers_and_names():
    for check, bad in ((checks.positive, 0.0), (checks.positive, np.inf), (checks.non_negative, -1.0)):
        with pytest.raises(ValueError, match="it must be a finite number"):
            check("ridge", bad)
    with pytest.raises(ValueError, match="at least 2"):
        checks.whole("count", 1, least=2)
    with pytest.raises(ValueError, match="did you mean 'erf'"):
        checks.choice("activation", "efr", ["erf", "relu"])
    for bad, message in (([], "non-empty"), ([1.0, 0.5], "rise strictly"), ([np.nan], "NaN"), ([-1.0], "negative")):
        with pytest.raises(ValueError, match=message):
            checks.times(np.array(bad))
    checks.times(np.array([0.0, 1.0, np.inf]))


def test_float64_is_local():
    import jax.numpy as jnp

    with float64():
        assert jnp.ones(1).dtype == jnp.float64
    assert jnp.ones(1).dtype == jnp.float32


def test_data_are_shown_in_one_line_without_their_arrays():
    data = Dataset(**arrays(labels_train=np.arange(6) % 2, labels_test=np.arange(4) % 2, name="cells"))
    mark = data.fingerprint[:12]
    sizes = "6 train, 4 test, inputs of shape (3,), 2 outputs"
    assert repr(data) == f"Dataset('cells': {sizes}, 2 classes, fingerprint {mark})"
    plain = Dataset(**arrays(y_train=arrays()["y_train"][:, :1], y_test=arrays()["y_test"][:, :1]))
    assert "1 output, regression, fingerprint" in repr(plain)


def test_one_training_input_and_targets_that_are_all_alike_are_data():
    one = Dataset(
        **arrays(
            x_train=np.ones((1, 3)),
            y_train=np.ones((1, 2)),
            labels_train=np.zeros(1, int),
            labels_test=np.arange(4) % 2,
        )
    )
    assert len(one.x_train) == 1
    assert one.class_names == ("0", "1")
    assert np.all(Dataset(**arrays(y_train=np.ones((6, 2)))).y_train == 1)
