import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import ntkinfo as ni

RANDOM = np.random.default_rng(0)
N = 24
X = RANDOM.normal(size=(N, 3)).round(3)
Y = np.arange(N) % 3
NAMES = np.array(["versicolor", "setosa", "virginica"])[Y]
PRICE = RANDOM.normal(size=N)
IMAGES = RANDOM.integers(0, 256, size=(N, 6, 5, 3), dtype=np.uint8)
FRAME = pd.DataFrame(X, columns=["a", "b", "c"])
SIZES = {"n_train": 14, "n_test": 8, "seed": 3}


def by_npz(tmp_path, x=X, y=Y, **options):
    np.savez(tmp_path / "d.npz", x=x, y=y)
    return ni.data.npz(tmp_path / "d.npz", **SIZES, **options)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (X, Y),
        (X.tolist(), Y.tolist()),
        (jnp.asarray(X, dtype=jnp.float32).astype(float), jnp.asarray(Y)),
        (FRAME, pd.Series(Y)),
        (FRAME.set_index("a", drop=False), pd.Series(Y, index=FRAME["a"])),
        (FRAME.astype({"a": "Float64"}), pd.Series(Y, dtype="Int64")),
        (X, Y[:, None]),
        (X, np.eye(3)[Y]),
        (X, np.eye(3, dtype=bool)[Y]),
        (X, Y.astype(float)),
        (X, [str(k) for k in Y]),
        (X, pd.DataFrame({"y": Y})),
    ],
    ids=[
        "arrays",
        "lists",
        "jax",
        "pandas",
        "indexed",
        "nullable",
        "keras",
        "one-hot",
        "truth",
        "floats",
        "text",
        "column",
    ],
)
def test_everything_is_split_encoded_and_scaled_as_a_file(tmp_path, x, y):
    known = by_npz(tmp_path, np.asarray(x, dtype=float))
    data = ni.data.arrays(x, y, **SIZES, name="mine")
    assert data.fingerprint == known.fingerprint
    assert data.class_names == known.class_names == ("0", "1", "2")
    assert data.name == "mine"
    shared = {key: value for key, value in known.provenance.items() if key not in ("source", "name", "fields")}
    assert shared.items() <= data.provenance.items()


@pytest.mark.parametrize(
    "images", [IMAGES, IMAGES[..., 0], IMAGES.transpose(0, 3, 1, 2)], ids=["last", "grey", "first"]
)
def test_images_are_as_in_a_file(tmp_path, images):
    for shaped in (False, True):
        data = ni.data.arrays(images, Y, **SIZES, images=shaped)
        assert data.fingerprint == by_npz(tmp_path, images, images=shaped).fingerprint
    assert data.x_train.shape[1:] == (6, 5, 1 if images.ndim == 3 else 3)
    assert data.provenance["scale"] == 1 / 255


@pytest.mark.parametrize("y", [PRICE, PRICE[:, None], np.stack([PRICE, PRICE**2], 1), pd.Series(PRICE), list(PRICE)])
def test_real_answers_are_as_in_a_file(tmp_path, y):
    known = by_npz(tmp_path, y=np.asarray(y), targets="regression")
    assert ni.data.arrays(X, y, **SIZES, targets="regression").fingerprint == known.fingerprint


def test_a_test_part_of_its_own(tmp_path):
    fields = {"x_train": X[:16], "y_train": NAMES[:16], "x_test": X[16:], "y_test": NAMES[16:]}
    np.savez(tmp_path / "d.npz", **fields)
    known = ni.data.npz(tmp_path / "d.npz", n_train=10)
    data = ni.data.arrays(X[:16], NAMES[:16], X[16:], NAMES[16:], n_train=10)
    assert data.fingerprint == known.fingerprint
    assert data.provenance["parts"] == "given by the source"
    shuffled = FRAME[["c", "a", "b"]]
    table = ni.data.arrays(FRAME[:16], NAMES[:16], shuffled[16:], NAMES[16:], n_train=10)
    assert table.fingerprint == known.fingerprint
    with pytest.raises(ValueError, match="setosa is in the test part and not in the training part"):
        ni.data.arrays(X[:16], ["versicolor", "virginica"] * 8, X[16:], NAMES[16:])


def test_one_feature_may_be_a_row_of_numbers():
    data = ni.data.arrays(X[:, 0], PRICE, targets="regression", standardise=False)
    assert data.x_train.shape == (19, 1)
    assert ni.data.arrays(FRAME["a"], PRICE, targets="regression", standardise=False).fingerprint == data.fingerprint


def test_categories_and_one_hot_columns_keep_their_order():
    order = ["virginica", "setosa", "versicolor", "extinct"]
    by_category = ni.data.arrays(X, pd.Series(pd.Categorical(NAMES, categories=order)))
    by_columns = ni.data.arrays(X, pd.get_dummies(pd.Series(NAMES))[order[:3]])
    assert by_category.class_names == by_columns.class_names == tuple(order[:3])
    assert by_category.fingerprint == by_columns.fingerprint
    rows = {tuple(row): name for row, name in zip(X, NAMES, strict=True)}
    plain = ni.data.arrays(X, pd.Series(pd.Categorical(NAMES, categories=order)), standardise=False)
    assert [order[k] for k in plain.labels_train] == [rows[tuple(row)] for row in plain.x_train]
    assert ni.data.arrays(X, NAMES).class_names == ("setosa", "versicolor", "virginica")


def test_a_table_is_read_as_the_csv_file_of_it(tmp_path):
    table = FRAME.assign(city=["Rome", "Oslo"] * 12, old=[k < 4 for k in range(N)])
    table.assign(kind=NAMES).to_csv(tmp_path / "d.csv", index=False)
    known = ni.data.csv(tmp_path / "d.csv", "kind", text_features="one-hot")
    data = ni.data.arrays(table, NAMES, text_features="one-hot")
    assert data.fingerprint == known.fingerprint
    assert data.provenance["features"] == known.provenance["features"] == "a b c city=Oslo city=Rome old"
    with pytest.raises(ValueError, match="the column 'city' of x holds text"):
        ni.data.arrays(table, NAMES)
    with pytest.raises(ValueError, match="takes 24 different texts over 24 rows"):
        ni.data.arrays(table.assign(city=[f"c{k}" for k in range(N)]), NAMES, text_features="one-hot")


@pytest.mark.parametrize(
    ("x", "y", "more", "error", "message"),
    [
        (X, Y[:5], {}, ValueError, r"x has shape \(24, 3\) and y \(5,\)"),
        (X, None, {}, TypeError, "y is None"),
        (np.where(X > 2, np.nan, np.where(X.max() == X, np.nan, X)), Y, {}, ValueError, "x holds 1 NaN or infinite"),
        (FRAME.mask(X[4, 1] == FRAME), Y, {}, ValueError, r"x\['b'\] holds 1 NaN .* index \(4, 0\)"),
        (FRAME, pd.Series([None, *Y[1:]], dtype="Int64"), {}, ValueError, "y holds 1 NaN"),
        (X, [*NAMES[1:], None], {}, ValueError, "y holds 1 missing"),
        (FRAME, pd.Series(Y)[::-1], {}, ValueError, r"y.loc\[x.index\]"),
        (X.astype(str), Y, {}, TypeError, "x holds text"),
        (X.astype(complex), Y, {}, TypeError, "x holds complex"),
        (X[None, None, None], Y, {}, ValueError, "inputs are"),
        (X[:0], Y[:0], {}, ValueError, "not empty"),
        (X, PRICE, {}, ValueError, "fractions, which name no class; .* targets='regression'"),
        (X, Y, {"x_test": X}, ValueError, "x_test and y_test go together"),
        (X, Y, {"x_test": X[:, :2], "y_test": Y}, ValueError, "both parts must be alike"),
        (FRAME, Y, {"x_test": FRAME.drop(columns="b"), "y_test": Y}, ValueError, "'b' is in one of them alone"),
        (FRAME.set_axis(["a", "b", "a"], axis=1), Y, {}, ValueError, "several columns named 'a'"),
        (X, pd.DataFrame({"u": PRICE, "v": PRICE}), {}, ValueError, "y has 2 columns"),
        (X, Y, {"standardize": False}, ValueError, "did you mean 'standardise'"),
        (X, Y, {"text_features": "hot"}, ValueError, "text_features is 'hot'"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(x, y, more, error, message):
    with pytest.raises(error, match=message):
        ni.data.arrays(x, y, **more)
