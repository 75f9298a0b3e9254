"""From a column of a Parquet file to an array."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntkinfo.core import checks
from ntkinfo.data.image_column import decoded_images
from ntkinfo.data.input_files import fits_in_memory

if TYPE_CHECKING:
    import pyarrow

_LETTER = 4  # bytes of a character in a numpy array of text


@dataclass(frozen=True)
class Values:
    """One column: (n,) numbers or text, (n, ...) vectors or images, and what was done to it in words."""

    values: np.ndarray
    said: str = ""


@contextmanager
def readable(place: Path) -> Iterator[None]:
    """What Arrow says about a damaged file becomes a ValueError that names it."""
    import pyarrow

    try:
        yield
    except pyarrow.ArrowMemoryError as error:
        raise ValueError(
            f"{place} asks for more memory than there is ({error}); it is damaged, or too large"
        ) from error
    except (pyarrow.ArrowException, UnicodeDecodeError, OSError, TypeError) as error:
        raise ValueError(f"{place} is not a readable Parquet file ({error})") from error


def is_image(kind: pyarrow.DataType) -> bool:
    """Whether a column holds image files as Hugging Face's `datasets` stores them: bytes, and a path."""
    from pyarrow import types

    return types.is_struct(kind) and {field.name for field in kind} == {"bytes", "path"}


def bytes_of(kind: pyarrow.DataType) -> int:
    """Bytes of a value; 0 where they depend on the value."""
    from pyarrow import types

    if types.is_fixed_size_list(kind):
        return kind.list_size * bytes_of(kind.value_type)
    fixed = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind)
    return max(1, kind.bit_width // 8) if fixed else 0


def values(column: pyarrow.ChunkedArray, place: Path, name: str, classes: bool) -> Values:
    """The column as an array.

    Args:
        column: as Arrow holds it.
        place: the file, for messages.
        name: the column, for messages.
        classes: it holds classes, which may be text.

    Raises:
        ValueError: missing values, rows of different lengths, damaged images, types that are none of these.
    """
    from pyarrow import types

    _no_gaps(column, place, name)
    kind = column.type
    if types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind):
        return Values(column.to_numpy())
    if types.is_decimal(kind):
        return Values(column.cast("float64").to_numpy())
    if types.is_string(kind) or types.is_large_string(kind):
        return Values(_texts(column, place, name))
    if not classes and (is_image(kind) or types.is_binary(kind) or types.is_large_binary(kind)):
        return Values(*decoded_images(_contents(column, place, name), place, name))
    if not classes and (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)):
        return Values(_vectors(column, place, name))
    raise ValueError(
        f"{place}, column {name!r} holds {kind}; it must hold numbers, or text for classes"
        f"{'' if classes else ', or lists of numbers or images for inputs'}"
    )


def check(values: np.ndarray, place: Path, name: str) -> None:
    """Raise ValueError where a column of numbers holds text, NaN or infinity."""
    if values.dtype.kind == "U":
        raise ValueError(f"{place}, column {name!r} holds text; features and regression targets must be numbers")
    checks.finite(f"{place}, column {name!r}", values)


def declared_order(column: pyarrow.ChunkedArray) -> tuple[str, ...]:
    """The order of an ordered categorical, as pandas writes it; empty where the column has none."""
    from pyarrow import types

    kind = column.type
    if not types.is_dictionary(kind) or not kind.ordered or not column.num_chunks:
        return ()
    dictionaries = [chunk.dictionary.to_pylist() for chunk in column.chunks]
    alike = all(dictionary == dictionaries[0] for dictionary in dictionaries)
    return tuple(map(str, dictionaries[0])) if alike else ()


def _no_gaps(column: pyarrow.ChunkedArray, place: Path, name: str, inside: str = "") -> None:
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy())[0])
        raise ValueError(
            f"{place}, column {name!r}{inside} has {column.null_count} missing value(s), the first in row {row}"
        )


def _texts(column: pyarrow.ChunkedArray, place: Path, name: str) -> np.ndarray:
    with readable(place):
        longest = max((len(text) for text in column.unique().to_pylist()), default=0)
        fits_in_memory(place, _LETTER * longest * len(column))
        return np.array(column.to_pylist(), dtype=str)


def _contents(column: pyarrow.ChunkedArray, place: Path, name: str) -> list[bytes]:
    from pyarrow import types

    if types.is_struct(column.type):
        with readable(place):
            column = _field(column, "bytes")
        if column.null_count:
            raise ValueError(
                f"{place}, column {name!r} has {column.null_count} image(s) as a path alone; write the table with the "
                "images' bytes in it"
            )
    return column.to_pylist()


def _field(column: pyarrow.ChunkedArray, name: str) -> Any:
    from pyarrow import compute

    return compute.call_function("struct_field", [column], compute.StructFieldOptions([name]))


def _vectors(column: pyarrow.ChunkedArray, place: Path, name: str) -> np.ndarray:
    """Lists of numbers, also nested, as (n, ...): as many in every row."""
    from pyarrow import compute, types

    shape, flat = [len(column)], column.combine_chunks()
    while types.is_list(flat.type) or types.is_large_list(flat.type) or types.is_fixed_size_list(flat.type):
        with readable(place):
            lengths = np.asarray(compute.call_function("list_value_length", [flat]))
            inner = flat.flatten()
        if lengths.size == 0 or np.any(lengths != lengths[0]) or lengths[0] == 0:
            other = int(np.argmax(lengths != lengths[0])) if lengths.size else 0
            raise ValueError(
                f"{place}, column {name!r} holds lists of different lengths, or empty ones (list {other}); each row "
                "needs as many numbers"
            )
        if inner.null_count:
            raise ValueError(f"{place}, column {name!r} has {inner.null_count} missing value(s) in its lists")
        shape.append(int(lengths[0]))
        flat = inner
    if not (types.is_integer(flat.type) or types.is_floating(flat.type) or types.is_boolean(flat.type)):
        raise ValueError(f"{place}, column {name!r} holds {column.type}; lists must hold numbers")
    return flat.to_numpy(zero_copy_only=False).reshape(shape)
