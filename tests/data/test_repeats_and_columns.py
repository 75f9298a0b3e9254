"""Rows that repeat, row numbers beside a table, cells without a value, images in either order of channels."""

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ntkinfo as ni
from ntkinfo.core.records import Dataset
from ntkinfo.data import splits
from ntkinfo.data.preparation import Preparation, Source, prepare
from ntkinfo.report.inputs import described_inputs

RAW = Preparation(standardise=False)


def torn(data):
    return len({row.tobytes() for row in data.x_train} & {row.tobytes() for row in data.x_test})


def with_repeats(n, copies, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, 3))
    x[: 2 * copies] = np.repeat(x[:copies], 2, axis=0)
    x[2 * copies : 2 * copies + 5] = x[-1]
    return Source(x, np.arange(n) % 3, ("a", "b", "c"), "toy")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sizes", [(60, 30), (30, 50), (45, 45)])
def test_repeated_rows_lie_on_one_side_and_sizes_stay(seed, sizes):
    source = with_repeats(90, 15)
    data = prepare(source, sizes[0], sizes[1], seed, RAW)
    before = prepare(source, sizes[0], sizes[1], seed, Preparation(standardise=False, repeats_together=False))
    assert torn(before) > 0 == torn(data)
    assert (len(data.x_train), len(data.x_test)) == sizes
    drawn = [sorted(map(tuple, np.concatenate([d.x_train, d.x_test]))) for d in (data, before)]
    assert drawn[0] == drawn[1]
    assert data.provenance["repeated_inputs_moved_to_one_side"] > 0
    assert data.provenance["test_inputs_equal_to_training_inputs"] == 0 == data.repeated_across
    assert before.provenance["test_inputs_equal_to_training_inputs"] == before.repeated_across > 0
    assert "test inputs equal a training input" in before.notes[0]
    assert np.bincount(np.asarray(data.labels_train)).tolist() == np.bincount(np.asarray(before.labels_train)).tolist()


def test_a_split_without_repeats_is_as_it_was():
    source = Source(np.random.default_rng(0).normal(size=(60, 3)), np.arange(60) % 3, ("a", "b", "c"), "toy")
    kept, plain = (prepare(source, 30, 20, 1, Preparation(repeats_together=k)) for k in (True, False))
    assert kept.fingerprint == plain.fingerprint


def test_every_side_is_as_likely_for_rows_that_repeat():
    """A pair goes to the training part as often as its share of the pool: 5 standard errors of 400 draws."""
    hits = 0
    for seed in range(400):
        random = np.random.default_rng(seed)
        train, test = splits.shuffled_split(10, (5, 5), random)
        groups = np.concatenate([train, test]).clip(1) - 1  # rows 0 and 1 repeat
        train, test, _ = splits.together(train, test, groups, np.zeros(10, dtype=np.int64))
        assert (0 in train) == (1 in train)
        hits += 0 in train
    assert abs(hits / 400 - 0.5) < 5 * np.sqrt(0.25 / 400)


def test_what_cannot_be_kept_together_is_said():
    source = Source(np.ones((8, 2)) * (np.arange(8) % 2)[:, None], np.arange(8) % 2, ("a", "b"), "toy")
    data = prepare(source, 4, 4, 0, RAW)
    assert data.repeated_across > 0
    assert (len(data.x_train), len(data.x_test)) == (4, 4)
    zeros = np.array([[0.0, 1.0], [-0.0, 1.0], [2.0, 1.0]])
    assert splits.equal_rows(zeros).tolist() == [0, 0, 1]
    by_hand = Dataset(np.eye(3), np.arange(3.0)[:, None], np.eye(3)[:1], np.ones((1, 1)))
    assert by_hand.notes == ("1 of 1 test inputs equal a training input",)


def test_bundled_data_hold_no_repeats():
    for name in ("digits", "breast_cancer", "diabetes", "wine"):
        data = getattr(ni.data, name)(n_train=60, n_test=None, standardise=False)
        everything = np.concatenate([data.x_train, data.x_test])
        assert len(np.unique(everything, axis=0)) == len(everything)


def table(place, index_name=None):
    random = np.random.default_rng(0)
    order = random.permutation(40)
    columns = {"a": random.normal(size=40), "b": random.normal(size=40), "y": order % 2}
    column = index_name or "__index_level_0__"
    meta = {"index_columns": [column], "columns": [], "column_indexes": [], "creator": {}, "pandas_version": "2"}
    written = pa.table({**columns, column: order}).replace_schema_metadata({"pandas": json.dumps(meta)})
    pq.write_table(written, place)


@pytest.mark.parametrize("index_name", [None, "patient"])
def test_the_index_of_pandas_is_no_feature_of_a_parquet_file(tmp_path, index_name):
    table(tmp_path / "t.parquet", index_name)
    data = ni.data.parquet(tmp_path / "t.parquet", "y", n_train=20, n_test=10)
    assert data.provenance["features"] == "a b"
    assert "row numbers" in data.provenance["left_out"]
    column = index_name or "__index_level_0__"
    kept = ni.data.parquet(tmp_path / "t.parquet", "y", ["a", column], n_train=20, n_test=10)
    assert kept.provenance["features"] == f"a {column}"
    assert "left_out" not in kept.provenance
    assert ni.data.parquet(tmp_path / "t.parquet", column, n_train=20, n_test=10, targets="regression").n_outputs == 1


@pytest.mark.parametrize(
    ("header", "cells"), [(",a,b,y", ["{i}"]), ('"",a,b,y', ['"r{i}"']), ("Unnamed: 0,a,b,y", ["{i}"])]
)
def test_the_index_of_a_csv_file_is_no_feature(tmp_path, header, cells):
    rows = [f"{cells[0].format(i=i)},{i % 7}.5,{i % 5},{'uv'[i % 2]}" for i in range(30)]
    (tmp_path / "t.csv").write_text("\n".join([header, *rows]))
    data = ni.data.csv(tmp_path / "t.csv", "y", n_train=12, n_test=8)
    assert data.provenance["features"] == "a b"
    lines = described_inputs(data)
    assert lines[0].startswith("inputs: 2 features (a, b); standardised by feature")
    assert lines[1].startswith("left out: row numbers")


@pytest.mark.parametrize("cell", ["NA", "nan", "NULL", "?", "N/A", "None", ""])
def test_cells_without_a_class_are_refused_by_line(tmp_path, cell):
    (tmp_path / "t.csv").write_text("a,y\n" + "1,u\n2,v\n" * 5 + f"3,{cell}\n")
    with pytest.raises(ValueError, match="line 12, column 'y'"):
        ni.data.csv(tmp_path / "t.csv", "y")
    (tmp_path / "t.csv").write_text("a,y\n" + "1,u\n2,v\n" * 5 + f"{cell},u\n")
    with pytest.raises(ValueError, match="line 12, column 'a'"):
        ni.data.csv(tmp_path / "t.csv", "y")


def test_only_decimal_numbers_are_numbers(tmp_path):
    (tmp_path / "t.csv").write_text("a,y\n" + "1,1_05\n2,105\n" * 5)
    assert ni.data.csv(tmp_path / "t.csv", "y", standardise=False).class_names == ("105", "1_05")
    for cell in ("1_05", "\u0661\u0662"):
        (tmp_path / "t.csv").write_text(f"a,y\n1,u\n{cell},v\n", encoding="utf-8")
        with pytest.raises(ValueError, match="not a number"):
            ni.data.csv(tmp_path / "t.csv", "y")


def image_file(place, images, **more):
    np.savez(place, x=images, y=np.arange(len(images)) % 2, **more)
    return place


@pytest.mark.parametrize("shape", [(8, 8, 3), (9, 7, 1), (5, 6, 4), (8, 8, 2)])
def test_images_are_the_same_with_channels_first_and_last(tmp_path, shape):
    images = np.random.default_rng(0).integers(0, 256, size=(30, *shape), dtype=np.uint8)
    last = ni.data.npz(image_file(tmp_path / "l.npz", images), n_train=20, n_test=10, images=True)
    first = image_file(tmp_path / "f.npz", images.transpose(0, 3, 1, 2))
    for order in ("auto", "first"):
        data = ni.data.npz(first, n_train=20, n_test=10, images=True, channels=order)
        assert data.fingerprint == last.fingerprint
        assert data.provenance["channels"] == "first in the file"
    assert "channels first in the file" in described_inputs(data)[0]
    assert last.x_train.shape[1:] == shape


@pytest.mark.parametrize("shape", [(3, 8, 3), (3, 3, 3), (8, 3, 3), (6, 5, 7)])
def test_images_in_either_order_are_refused_until_it_is_said(tmp_path, shape):
    images = np.random.default_rng(0).integers(0, 256, size=(30, *shape), dtype=np.uint8)
    place = image_file(tmp_path / "i.npz", images)
    with pytest.raises(ValueError, match="channels='first' or channels='last'"):
        ni.data.npz(place, images=True)
    assert ni.data.npz(place, images=True, channels="last").x_train.shape[1:] == shape
    assert ni.data.npz(place).x_train.shape[1] == np.prod(shape)


def test_images_have_one_scaling_whatever_the_file(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, size=(30, 3, 8), dtype=np.uint8)
    labels = (np.arange(30) % 2).astype(np.uint8)
    (tmp_path / "i").write_bytes(np.array([2051, 30, 3, 8], dtype=">i4").tobytes() + images.tobytes())
    (tmp_path / "l").write_bytes(np.array([2049, 30], dtype=">i4").tobytes() + labels.tobytes())
    for shaped in (False, True):
        by_idx = ni.data.idx(tmp_path / "i", tmp_path / "l", n_train=20, n_test=10, images=shaped)
        by_npz = ni.data.npz(image_file(tmp_path / "i.npz", images), n_train=20, n_test=10, images=shaped)
        assert by_idx.fingerprint == by_npz.fingerprint
        assert "by all" in by_npz.provenance["standardise"]
        assert "3 x 8 x 1" in described_inputs(by_idx)[0]


LABELS = {"labels_train": np.array([0, 1, 2]), "labels_test": np.array([0])}
ONE_HOT = {"y_train": np.eye(3) - 1 / 3, "y_test": np.eye(3)[:1] - 1 / 3}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels_train": np.array([0, 2, 1])}, "name different classes for 2 of 3 inputs, the first at index 1"),
        ({"labels_test": np.array([1])}, "labels_test and the targets name different classes"),
        ({"y_train": np.array([[1.0], [-1], [1]]), "y_test": np.ones((1, 1))}, "runs from 0 to 2; with 2 classes"),
        ({"class_names": ("a", "b", "c", "d")}, "class_names names 4 classes"),
        ({"class_names": ("a", "b", "a")}, "names a class twice"),
        ({"labels_train": np.array([0.0, np.nan, 2])}, "NaN or infinite"),
        ({"labels_train": np.ma.masked_array(np.array([0, 1, 2]), np.array([False, True, False]))}, "masked"),
        ({"x_train": np.ma.masked_array(np.eye(3), np.eye(3) > 0)}, "masked"),
        ({"y_train": np.full((3, 3), 0.5), "labels_train": np.array([0, 2, 2])}, "no input is of class 1"),
        ({"y_train": np.full((3, 3), 0.5), "labels_train": np.array([0, 7, 10**9])}, "no input is of class 1"),
    ],
)
def test_labels_that_contradict_the_targets_are_refused(change, message):
    given = {"x_train": np.eye(3), "x_test": np.ones((1, 3)), **ONE_HOT, **LABELS} | change
    with pytest.raises(ValueError, match=message):
        Dataset(**given)


def test_labels_that_fit_are_taken():
    signs = Dataset(
        np.eye(2), np.array([[-1.0], [1.0]]), np.eye(2), np.array([[1.0], [-1.0]]), np.array([0, 1]), np.array([1, 0])
    )
    assert np.array_equal(np.asarray(signs.labels_test), [1, 0])
    with pytest.raises(ValueError, match="larger of two target values"):
        Dataset(
            np.eye(2),
            np.array([[-1.0], [1.0]]),
            np.eye(2),
            np.array([[1.0], [-1.0]]),
            np.array([1, 0]),
            np.array([0, 1]),
        )


@pytest.mark.parametrize(
    "names",
    [("train_images", "train_labels", "test_images", "test_labels"), ("X_train", "y_train", "X_test", "y_test")],
)
def test_fields_by_other_names_and_labels_of_other_shapes(tmp_path, names):
    random = np.random.default_rng(0)
    x, y = random.integers(0, 256, (60, 8, 8)).astype(np.uint8), np.arange(60) % 3
    place, found = tmp_path / "d.npz", []
    for labels in (y, y[:, None], np.eye(3)[y]):
        fields: dict[str, Any] = dict(zip(names, (x[:40], labels[:40], x[40:], labels[40:]), strict=True))
        np.savez(place, **fields)
        found.append(ni.data.npz(place).fingerprint)
    np.savez(place, x_train=x[:40], y_train=y[:40], x_test=x[40:], y_test=y[40:], X=x, images=x)
    assert {*found} == {ni.data.npz(place).fingerprint}
    for pool in (("X", "y"), ("images", "labels"), ("data", "target")):
        fields = {pool[0]: x, pool[1]: y}
        np.savez(place, **fields)
        assert ni.data.npz(place, n_train=40).class_names == ("0", "1", "2")
