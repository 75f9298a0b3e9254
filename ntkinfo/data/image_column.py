"""Images that a table holds as the bytes of PNG, JPEG, WebP or BMP files."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ntkinfo.data.input_files import fits_in_memory

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
# Shades, shades with transparency, colours, colours with transparency, 16-bit shades.
_MODES = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "I;16": 1}
_PLAIN = {"1": "L", "I": "I;16", "I;16B": "I;16", "I;16L": "I;16"}
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    LookupError,
    TypeError,
    OverflowError,
    NotImplementedError,
    Warning,
)


def decoded_images(files: Sequence[bytes], place: Path, name: str) -> tuple[np.ndarray, str]:
    """Images of one size as an array.

    Args:
        files: the content of one image file a row.
        place: the table, for messages.
        name: the column, for messages.

    Returns:
        (n, height, width, channels), unsigned bytes (16 bits where the images have them), and what was done.

    Raises:
        ValueError: a row that is no such image, damaged, or of another size; more than free memory. Images of shades
            among images of colours become colours.
    """
    heads = [_head(content, place, name, row) for row, content in enumerate(files)]
    sizes = [head[0] for head in heads]
    other = next((row for row, size in enumerate(sizes) if size != sizes[0]), None)
    if other is not None:
        raise ValueError(
            f"{place}, column {name!r} holds images of {sizes[0][0]} x {sizes[0][1]} pixels and of {sizes[other][0]} x "
            f"{sizes[other][1]} pixels (row {other}); bring them to one size first"
        )
    modes = sorted({head[1] for head in heads})
    mode = modes[0] if len(modes) == 1 and modes[0] in _MODES else "RGB"
    dtype = np.uint16 if mode == "I;16" else np.uint8
    width, height = sizes[0]
    shape = (len(files), height, width, _MODES[mode])
    fits_in_memory(place, int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize)
    images = np.empty(shape, dtype)
    for row, content in enumerate(files):
        images[row] = _pixels(content, mode, shape[1:], place, name, row)
    kinds = "/".join(sorted({head[2] for head in heads}))
    mixed = f"; {', '.join(modes)} all taken as colours" if modes != [mode] else ""
    return images, f"{name} decoded from {kinds}{mixed}"


def _head(content: bytes, place: Path, name: str, row: int) -> tuple[tuple[int, int], str, str]:
    """Size, mode and format; of a PNG file every checksum is compared."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            _only_bombs()
            image = Image.open(io.BytesIO(content), formats=_FORMATS)
            found = image.size, _PLAIN.get(image.mode, image.mode), str(image.format)
            image.verify()
    except (*_BROKEN, Image.DecompressionBombError) as error:
        raise _damaged(place, name, row, error) from error
    return found


def _pixels(content: bytes, mode: str, shape: tuple[int, ...], place: Path, name: str, row: int) -> np.ndarray:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            _only_bombs()
            image = Image.open(io.BytesIO(content), formats=_FORMATS)
            plain = image if mode == "I;16" or image.mode == mode else image.convert(mode)
            return np.asarray(plain).reshape(shape)
    except (*_BROKEN, Image.DecompressionBombError) as error:
        raise _damaged(place, name, row, error) from error


def _only_bombs() -> None:
    """Of all warnings, the one about an image of enormous size ends the reading."""
    from PIL import Image

    warnings.simplefilter("ignore")
    warnings.simplefilter("error", Image.DecompressionBombWarning)


def _damaged(place: Path, name: str, row: int, error: Exception) -> ValueError:
    return ValueError(
        f"{place}, column {name!r}, row {row} is not a readable image in PNG, JPEG, WebP or BMP "
        f"({type(error).__name__}: {error})"
    )
