"""Data sets from Parquet files: tables, and images and labels as Hugging Face keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Unpack

from ntkinfo.core.records import Dataset
from ntkinfo.data.input_files import FilePath
from ntkinfo.data.parquet_format import checked_alike, read_parquet
from ntkinfo.data.parquet_shards import Shards, shards_of
from ntkinfo.data.preparation import PreparationOptions
from ntkinfo.data.sources import FILE_DEFAULTS, columns_of, from_table, taken


@dataclass(frozen=True)
class ParquetReading:
    """Options of `parquet` besides the preparation.

    Args:
        test_path: file or folder of the test part; None: found in the folder by its name, or drawn from the pool.
    """

    test_path: FilePath | None = None


class ParquetOptions(PreparationOptions, total=False):
    """The keyword arguments of `parquet`: those of ParquetReading and of Preparation."""

    test_path: FilePath | None


def parquet(
    path: FilePath,
    target: str | Sequence[str] = (),
    features: Sequence[str] = (),
    n_train: int | None = None,
    n_test: int | None = None,
    seed: int = 0,
    **options: Unpack[ParquetOptions],
) -> Dataset:
    """A Parquet file, or a folder of shards and parts, as pandas, Arrow, Spark and Hugging Face write them.

    Args:
        path: the file, or a folder. Its files are told apart by names such as `train-00000-of-00002.parquet` or
            `test/part-0.parquet`; without such names all are one pool.
        target: the column with the answers; for regression also several, for classes also one-hot columns. Left out:
            the one column that the file declares to hold classes, or whose name is usual (label, target, class, y).
        features: the columns with the inputs: numbers, lists of numbers, or images (PNG, JPEG, WebP, BMP). Empty takes
            the images, or else every column that is not a target, without the index that pandas stores.
        n_train: training inputs; None takes all, or what `n_test` leaves.
        n_test: test inputs; None takes all, or what `n_train` leaves (both None: four fifths and one fifth).
        seed: fixes the split and the noise.
        **options: `test_path`, and fields of Preparation; default `targets="one-hot"`.

    Returns:
        The data. Classes are in the order that the file declares (ClassLabel, ordered categorical), else sorted.

    Raises:
        FileNotFoundError: the file is not there.
        ValueError: not a Parquet file, missing columns or shards, columns that are neither numbers, vectors nor
            images, missing values, lists or images of different sizes, no rows.
    """
    reading, settings = taken(options, ParquetReading(), FILE_DEFAULTS)
    shards = shards_of(path)
    if reading.test_path is not None:
        shards = _with_test(shards, reading.test_path)
    real = settings.targets == "regression"
    table, targets, decoded = read_parquet(shards.train, columns_of(target), features, real)
    said = "; ".join([*shards.said, *([table.reading] if table.reading else [])])
    test = None
    if shards.test:
        test, _, _ = read_parquet(shards.test, targets, features, real)
        checked_alike(table, test, Path(path))
    sizes = (n_train, n_test)
    settings = replace(settings, channels="last") if decoded else settings
    return from_table(replace(table, reading=said), path, targets, sizes, seed, settings, test)


def _with_test(shards: Shards, test_path: FilePath) -> Shards:
    """The files of the training part, and all those behind the path of the test part."""
    other = shards_of(test_path)
    if shards.test or (other.test and Path(test_path).is_dir()):
        raise ValueError("test_path is given, and a folder holds both parts already; name the folder alone")
    return Shards(shards.train, other.train, (*shards.said, *other.said))
