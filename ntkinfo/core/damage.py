"""Archives of arrays that were cut, overwritten or flipped in a bit: what reading them raises, and what shows them."""

from __future__ import annotations

import hashlib
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping

import numpy as np

# What numpy.load and the zip archives below it raise for content that is not what was written. NotImplementedError (a
# version or a compression that zipfile does not know) is a RuntimeError, as is an archive that claims to be encrypted.
UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RuntimeError,
    OverflowError,
    MemoryError,
    SyntaxError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def content_digest(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over names, shapes, types and numbers: an archive's own checksums do not cover names."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}:{array.shape}{array.dtype.str}:".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
