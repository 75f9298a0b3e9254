import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from ntkinfo.data import csv, parquet


def table(n=20):
    generator = np.random.default_rng(0)
    return {
        "a": generator.normal(size=n).tolist(),
        "b": (np.arange(n) * 3).tolist(),
        "kind": [("cat", "dog")[k % 2] for k in range(n)],
        "price": generator.normal(size=n).tolist(),
    }


def write_csv(path, columns, delimiter=","):
    lines = [delimiter.join(columns)]
    lines += [delimiter.join(str(cell) for cell in row) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_parquet(path, columns):
    pq.write_table(pa.table(columns), path)
    return path


READERS = [(csv, write_csv, "toy.csv"), (parquet, write_parquet, "toy.parquet")]
each_reader = pytest.mark.parametrize(("read", "write", "name"), READERS, ids=["csv", "parquet"])


@each_reader
def test_classes(tmp_path, read, write, name):
    columns = table()
    path = write(tmp_path / name, columns)
    data = read(path, "kind", n_train=12, n_test=8, targets="pair", standardise=False, classes=("dog", "cat"))
    rows = {(a, b, p): kind for a, b, kind, p in zip(*columns.values(), strict=True)}
    assert data.class_names == ("dog", "cat")
    assert [rows[tuple(x)] for x in data.x_train] == ["dog" if y < 0 else "cat" for y in data.y_train[:, 0]]
    assert data.provenance["features"] == "a b price"
    assert data.name == "toy"


@each_reader
def test_regression_on_several_columns(tmp_path, read, write, name):
    columns = table()
    path = write(tmp_path / name, columns)
    data = read(
        path, ("price", "b"), features=("a",), targets="regression", standardise=False, standardise_targets=False
    )
    rows = {a: (price, b) for a, b, _, price in zip(*columns.values(), strict=True)}
    assert data.x_train.shape == (16, 1)
    assert [rows[x[0]] for x in data.x_train] == [tuple(y) for y in data.y_train]


@each_reader
def test_numeric_classes_are_in_numeric_order(tmp_path, read, write, name):
    path = write(tmp_path / name, {"a": list(range(12)), "digit": [9, 10] * 6})
    assert read(path, "digit").class_names == ("9", "10")


@each_reader
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "kimd"}, "has no column 'kimd' .did you mean 'kind'"),
        ({"target": "kind", "features": ("a", "c")}, "has no column 'c'"),
        ({"target": "kind", "features": ("a", "kind")}, "both as a target and as a feature"),
        ({"target": ("kind", "b")}, "2 target columns"),
        ({"target": ()}, "0 target columns"),
        ({"target": "price", "features": ("a",)}, "use targets='regression'"),
        ({"target": "b", "features": ("a",)}, "takes 20 different values over 20 inputs"),
        ({"target": "kind", "n_train": 15, "n_test": 6}, "holds 20 inputs"),
        ({"target": "kind", "standardize": False}, "did you mean 'standardise'"),
    ],
)
def test_bad_options(tmp_path, read, write, name, options, message):
    path = write(tmp_path / name, table())
    with pytest.raises(ValueError, match=message):
        read(path, **options)


@each_reader
def test_files_without_rows_or_features(tmp_path, read, write, name):
    empty = write(tmp_path / name, {"a": pa.array([], pa.float64()), "b": pa.array([], pa.float64())})
    with pytest.raises(ValueError, match="no rows"):
        read(empty, "b")
    single = write(tmp_path / name, {"b": [1.0, 2.0]})
    with pytest.raises(ValueError, match="there are no inputs"):
        read(single, "b")
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(ValueError, match="is empty"):
        read(tmp_path / name, "b")
    with pytest.raises(FileNotFoundError, match="did you mean"):
        read(tmp_path / f"{name}x", "b")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b,y\n1,2,0\n3,x,1\n", r"toy\.csv, line 3, column 'b' holds 'x', which is not a number"),
        ("a,b,y\n1,2,0\n\n3,,1\n", r"toy\.csv, line 4, column 'b' is empty"),
        ("a,b,y\n1,nan,0\n", r"line 2, column 'b' holds nan; values must be finite"),
        ("a,b,y\n1,2,0\n1,-inf,0\n", r"line 3, column 'b' holds -inf"),
        ("a,b,y\n1,2,0\n3,1\n", r"line 3 has 2 cells; the header names 3 columns"),
        ("a,b,y\n1,2,\n", r"line 2, column 'y' is empty; each input needs a class"),
        ("a,a,y\n1,2,0\n", "several columns named 'a'"),
        ("1,2,0\n3,4,1\n", "line 1 holds numbers only"),
        ('a,b,y\n1,"2,0\n', r"toy\.csv, line \d+: unexpected end of data"),
        ("\n\n", "has no lines"),
        ("a,b,y\n1,2,0\n3,4,0\n", "one class only"),
    ],
)
def test_bad_csv(tmp_path, content, message):
    path = tmp_path / "toy.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        csv(path, "y", n_train=1, n_test=1)


def test_bad_regression_answers_in_csv(tmp_path):
    path = tmp_path / "toy.csv"
    path.write_text("a,y\n1,0.5\n2,high\n")
    with pytest.raises(ValueError, match="line 3, column 'y' holds 'high'"):
        csv(path, "y", targets="regression")


def test_csv_encodings_and_delimiters(tmp_path):
    path = tmp_path / "toy.csv"
    path.write_bytes(b"\xef\xbb\xbfa;y\r\n" + b"".join(b"%d;%d\r\n" % (k, k % 2) for k in range(10)))
    assert csv(path, "y", delimiter=";").x_train.shape == (8, 1)
    with pytest.raises(ValueError, match="must be one character"):
        csv(path, "y", delimiter="::")
    path.write_bytes("größe,y\n1,0\n".encode("latin-1"))
    with pytest.raises(ValueError, match="is not UTF-8 text"):
        csv(path, "y")


def test_csv_numbers_survive_exactly(tmp_path):
    columns = table()
    data = csv(write_csv(tmp_path / "toy.csv", columns), "kind", features=("a",), standardise=False)
    assert {float(x) for x in np.concatenate([data.x_train, data.x_test])[:, 0]} == set(columns["a"])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": ["x", "y"], "y": [0, 1]}, "column 'a' holds text"),
        ({"a": [1.0, None], "y": [0, 1]}, r"column 'a' has 1 missing value\(s\), the first in row 1"),
        ({"a": [1.0, 2.0], "y": ["u", None]}, "column 'y' has 1 missing"),
        ({"a": [1.0, float("inf")], "y": [0, 1]}, r"column 'a' holds 1 NaN or infinite"),
        ({"a": [{"u": 1}, {"u": 2}], "y": [0, 1]}, "column 'a' holds struct"),
        ({"a": [[1], [2, 3]], "y": [0, 1]}, "column 'a' holds lists of different lengths"),
        ({"a": [["u"], ["v"]], "y": [0, 1]}, "lists must hold numbers"),
        ({"a": [[1.0], [None]], "y": [0, 1]}, "has 1 missing value.* in its lists"),
    ],
)
def test_bad_parquet_columns(tmp_path, columns, message):
    path = write_parquet(tmp_path / "toy.parquet", columns)
    with pytest.raises(ValueError, match=message) as caught:
        parquet(path, "y", n_train=1, n_test=1)
    assert "toy.parquet" in str(caught.value)


def test_damaged_parquet(tmp_path):
    path = write_parquet(tmp_path / "toy.parquet", table())
    content = path.read_bytes()
    for broken in (content[:-10], b"PAR1" + bytes(50), b"hello world, this is text"):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match="is not a readable Parquet file"):
            parquet(path, "kind")


def test_parquet_reads_booleans_and_dictionaries(tmp_path):
    columns = {
        "a": [True, False] * 5,
        "i": pa.array(range(10), pa.int8()),
        "y": pa.array(["u", "v"] * 5).dictionary_encode(),
    }
    data = parquet(write_parquet(tmp_path / "toy.parquet", columns), "y", standardise=False)
    assert data.class_names == ("u", "v")
    assert set(data.x_train[:, 0]) == {0.0, 1.0}
