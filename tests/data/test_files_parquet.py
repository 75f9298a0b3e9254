"""Parquet as Hugging Face, pandas, Arrow and Spark write it: images, classes, vectors, shards."""

import io
import json

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet as pq

from ntkinfo.core import memory
from ntkinfo.data import parquet

N, M = 24, 12
GENERATOR = np.random.default_rng(0)
SHADES = GENERATOR.integers(0, 256, (N + M, 5, 6), dtype=np.uint8)
COLOURS = GENERATOR.integers(0, 256, (N + M, 5, 6, 3), dtype=np.uint8)
LABELS = np.arange(N + M) % 3
NAMES = ["zebra", "ant", "monkey"]
PLAIN = {"standardise": False}


def packed(image, kind="PNG", mode=None):
    stream = io.BytesIO()
    picture = Image.fromarray(image)
    (picture.convert(mode) if mode else picture).save(stream, kind)
    return {"bytes": stream.getvalue(), "path": "0.png"}


def features():
    label = {"names": NAMES, "_type": "ClassLabel"}
    return {"huggingface": json.dumps({"info": {"features": {"image": {"_type": "Image"}, "label": label}}})}


def dataset(images, labels, **columns):
    """What `datasets` writes: images as bytes and path, numbers of classes, and their names in the schema."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {"image": pa.array(images, kind), "label": pa.array(labels, pa.int64()), **columns}
    return pa.table(columns).replace_schema_metadata(features())


def written(path, table, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, **options)
    return path


def read_right(data, images, labels=LABELS, names=NAMES, parts=None):
    """Every image of the data carries its class."""
    known = {image.tobytes(): names[k] for image, k in zip(images, labels, strict=True)}
    for x, numbers in ((data.x_train, data.labels_train), (data.x_test, data.labels_test)):
        found = [known[np.round(image * 255).astype(np.uint8).tobytes()] for image in x]
        assert found == [data.class_names[k] for k in numbers]
    if parts:
        assert (len(data.x_train), len(data.x_test)) == parts
    return True


@pytest.mark.parametrize("images", [SHADES, COLOURS], ids=["shades", "colours"])
@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_images_as_bytes_with_classes_in_the_schema(tmp_path, images, kind):
    path = written(tmp_path / "a.parquet", dataset([packed(image, kind) for image in images], LABELS))
    data = parquet(path, images=True, **PLAIN)
    assert read_right(data, images)
    assert data.class_names == tuple(NAMES)
    assert data.x_train.shape[1:] == (5, 6, 1 if images.ndim == 3 else 3)
    assert parquet(path, images=True, channels="first", **PLAIN).x_train.shape == data.x_train.shape
    assert data.provenance["reading"] == f"image decoded from {kind}"
    assert parquet(path, "label", n_train=12, n_test=6, classes=("ant", "zebra"), targets="pair").y_train.shape == (
        12,
        1,
    )


def test_jpeg_equals_what_pillow_reads(tmp_path):
    images = [packed(image, "JPEG") for image in COLOURS]
    decoded = np.stack([np.asarray(Image.open(io.BytesIO(image["bytes"]))) for image in images])
    path = written(tmp_path / "a.parquet", dataset(images, LABELS))
    assert read_right(parquet(path, images=True, **PLAIN), decoded)


def test_shades_among_colours_become_colours(tmp_path):
    images = [packed(image, mode="L" if k % 2 else None) for k, image in enumerate(COLOURS)]
    decoded = np.stack([np.asarray(Image.open(io.BytesIO(image["bytes"])).convert("RGB")) for image in images])
    data = parquet(written(tmp_path / "a.parquet", dataset(images, LABELS)), images=True, **PLAIN)
    assert read_right(data, decoded)
    assert "L, RGB all taken as colours" in data.provenance["reading"]


def test_other_columns_beside_images_are_left_out_and_said(tmp_path):
    table = dataset(
        [packed(image) for image in SHADES], LABELS, coarse=pa.array(LABELS // 2), note=pa.array(["a"] * 36)
    )
    data = parquet(written(tmp_path / "a.parquet", table), **PLAIN)
    assert data.x_train.shape[1] == 30
    assert "coarse, note left out" in data.provenance["reading"]


def shards(folder, part, rows, count):
    for k, some in enumerate(np.array_split(rows, count)):
        table = dataset([packed(image) for image in SHADES[some]], LABELS[some])
        written(folder / f"{part}-{k:05d}-of-{count:05d}.parquet", table)


def test_shards_and_parts_of_a_folder(tmp_path):
    shards(tmp_path / "data", "train", np.arange(N), 2)
    shards(tmp_path / "data", "test", np.arange(N, N + M), 1)
    shards(tmp_path / "data", "validation", np.arange(3), 1)
    data = parquet(tmp_path, **PLAIN)
    assert read_right(data, SHADES, parts=(N, M))
    assert "the validation part is left out" in data.provenance["reading"]
    one = tmp_path / "data" / "train-00000-of-00002.parquet"
    alone = parquet(one, **PLAIN)
    assert read_right(alone, SHADES, parts=(9, 3))
    assert "shard train-00000-of-00002.parquet alone" in alone.provenance["reading"]
    both = parquet(one, test_path=tmp_path / "data" / "test-00000-of-00001.parquet", **PLAIN)
    assert read_right(both, SHADES, parts=(12, M))
    (tmp_path / "data" / "test-00000-of-00001.parquet").unlink()
    data = parquet(tmp_path, **PLAIN)
    assert len(data.x_test) == 3
    assert "the validation part is the test part" in data.provenance["reading"]
    one.unlink()
    with pytest.raises(ValueError, match=r"lacks 1 of the 2 shards of train, the first train-00000-of-00002"):
        parquet(tmp_path)


def test_folders_of_other_programs(tmp_path):
    table = pa.table({"a": GENERATOR.normal(size=N), "y": LABELS[:N]})
    written(tmp_path / "spark" / "part-00000-1f2e.snappy.parquet", table[:12])
    written(tmp_path / "spark" / "part-00001-1f2e.snappy.parquet", table[12:])
    (tmp_path / "spark" / "_SUCCESS").write_text("")
    data = parquet(tmp_path / "spark", **PLAIN)
    assert sorted([*data.x_train[:, 0], *data.x_test[:, 0]]) == sorted(table["a"].to_pylist())
    written(tmp_path / "two" / "split=train" / "0.parquet", table)
    written(tmp_path / "two" / "split=test" / "0.parquet", table[:4])
    assert len(parquet(tmp_path / "two", **PLAIN).x_test) == 4
    written(tmp_path / "many" / "one" / "train.parquet", table)
    written(tmp_path / "many" / "two" / "train.parquet", table)
    with pytest.raises(ValueError, match="holds several data sets, in one, two"):
        parquet(tmp_path / "many")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="is a folder without Parquet files"):
        parquet(tmp_path / "empty")


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.list_(pa.float64(), 3), pa.large_list(pa.int16())])
def test_lists_are_vectors(tmp_path, kind):
    vectors = GENERATOR.integers(-9, 9, (N, 3)) + np.arange(N)[:, None]
    table = pa.table({"embedding": pa.array(vectors.tolist(), kind), "b": np.arange(N), "y": LABELS[:N]})
    data = parquet(written(tmp_path / "a.parquet", table, row_group_size=7), **PLAIN)
    rows = {(*vector, k): str(label) for k, (vector, label) in enumerate(zip(vectors, LABELS, strict=False))}
    assert [rows[tuple(row)] for row in data.x_train] == [data.class_names[k] for k in data.labels_train]
    assert data.provenance["features"] == "embedding[0] embedding[1] embedding[2] b"


def test_nested_lists_are_images(tmp_path):
    kind = pa.list_(pa.list_(pa.uint8()))
    table = pa.table({"pixels": pa.array(SHADES.tolist(), kind), "label": LABELS})
    data = parquet(written(tmp_path / "a.parquet", table), images=True, **PLAIN)
    assert read_right(data, SHADES, names="012")
    assert data.x_train.shape[1:] == (5, 6, 1)


def test_ordered_categories_keep_their_order(tmp_path):
    for ordered, names in ((True, ("low", "high", "extreme")), (False, ("extreme", "high", "low"))):
        kind = pa.DictionaryArray.from_arrays(LABELS.astype(np.int32), ["low", "high", "extreme"], ordered=ordered)
        path = written(tmp_path / "a.parquet", pa.table({"a": np.arange(36.0), "y": kind}), row_group_size=10)
        data = parquet(path, **PLAIN)
        assert data.class_names == names
        words = ["low", "high", "extreme"]
        expected = [words[int(x) % 3] for x in data.x_train[:, 0]]
        assert [data.class_names[k] for k in data.labels_train] == expected


def test_decimals_and_one_hot_columns(tmp_path):
    hot = {f"is_{name}": (k == LABELS).astype(np.int8) for k, name in enumerate("abc")}
    table = pa.table({"price": pa.array(np.arange(36)).cast(pa.decimal128(21, 2)), **hot})
    data = parquet(written(tmp_path / "a.parquet", table), list(hot), **PLAIN)
    assert data.class_names == tuple(hot)
    assert [int(x) % 3 for x in data.x_train[:, 0]] == data.labels_train.tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda images, labels: ([packed(SHADES[5][:4]), *images[1:]], labels),
            r"6 x 4 pixels and of 6 x 5 pixels \(row 1\)",
        ),
        (lambda images, labels: ([{"bytes": b"no image", "path": ""}, *images[1:]], labels), "row 0 is not a readable"),
        (lambda images, labels: ([{"bytes": None, "path": "a.png"}, *images[1:]], labels), "as a path alone"),
        (lambda images, labels: ([None, *images[1:]], labels), "has 1 missing value"),
        (lambda images, labels: (images, [-1, *labels[1:]]), "holds -1 in row 0.* without a label"),
        (lambda images, labels: (images, [3, *labels[1:]]), "holds 3 in row 0, which names none of its 3 classes"),
        (
            lambda images, labels: ([{**images[0], "bytes": images[0]["bytes"][:-20]}, *images[1:]], labels),
            "row 0 is not a readable image",
        ),
    ],
)
def test_bad_images_and_labels(tmp_path, change, message):
    images, labels = change([packed(image) for image in SHADES], LABELS.tolist())
    with pytest.raises(ValueError, match=message) as caught:
        parquet(written(tmp_path / "a.parquet", dataset(images, labels)))
    assert "a.parquet" in str(caught.value)


def test_a_changed_byte_in_a_png_is_found_by_its_checksum(tmp_path):
    image = packed(SHADES[0])
    start = image["bytes"].index(b"IDAT") + 8
    for place in range(start, start + 8):
        broken = bytearray(image["bytes"])
        broken[place] ^= 1
        rows = [{"bytes": bytes(broken), "path": ""}, *(packed(other) for other in SHADES[1:])]
        with pytest.raises(ValueError, match="row 0 is not a readable image"):
            parquet(written(tmp_path / "a.parquet", dataset(rows, LABELS)))


def test_page_checksums_are_compared_where_a_file_has_them(tmp_path):
    x = GENERATOR.normal(size=200)
    table = pa.table({"a": x, "y": np.arange(200) % 2})
    options = {"write_page_checksum": True, "compression": "none", "use_dictionary": False}
    path = written(tmp_path / "a.parquet", table, **options)
    content = bytearray(path.read_bytes())
    content[content.index(x.tobytes()[800:808])] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match=r"a\.parquet is not a readable Parquet file .*(CRC|checksum)"):
        parquet(path)


def test_a_small_file_that_unpacks_to_much_is_refused(tmp_path, monkeypatch):
    path = written(tmp_path / "a.parquet", pa.table({"a": np.zeros(2**20), "y": np.arange(2**20) % 2}))
    text = pa.array(["x" * 2**16] * 64).dictionary_encode()
    long = written(tmp_path / "b.parquet", pa.table({"a": np.zeros(64), "y": text}))
    assert path.stat().st_size < 2**20
    assert long.stat().st_size < 2**20

    class Memory:
        available = 2**21

    monkeypatch.setattr(memory.psutil, "virtual_memory", Memory)
    with pytest.raises(ValueError, match=r"a\.parquet .*GiB of memory"):
        parquet(path)
    with pytest.raises(ValueError, match=r"b\.parquet .*GiB of memory"):
        parquet(long)


def test_columns_are_found_or_asked_for(tmp_path):
    path = written(tmp_path / "a.parquet", pa.table({"a": np.arange(8.0), "species": ["u", "v"] * 4}))
    with pytest.raises(ValueError, match="has a, species; name the one with the answers with target"):
        parquet(path)
    assert parquet(path, "species").class_names == ("u", "v")
