"""Curves on disk: netCDF through h5netcdf, written whole or not at all, with a digest that is looked at before HDF5.

The digest stands behind the end of the HDF5 data, where no reader of netCDF looks: a line of text and 32 bytes. A
damaged file is found out by it before the HDF5 library sees it, which takes some damage for sizes and addresses.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import tempfile
from pathlib import Path

import h5netcdf
import xarray as xr

from ntkinfo.core.arguments import checked
from ntkinfo.core.units import for_files, from_files
from ntkinfo.information.quantities import current_name

_MARK = b"\nntkinfo sha256\n"
_END = len(_MARK) + hashlib.sha256().digest_size
_LARGEST = 64.0  # bytes of content for each of a file without a digest: more is no curves


@checked
def save_curves(curves: xr.Dataset, path: str | os.PathLike) -> Path:
    """Write curves as netCDF 4: in memory, then to a temporary name beside the target, then renamed.

    Returns:
        The path written.

    Raises:
        OSError: the folder does not exist or cannot be written to, or is full; nothing is left behind.
    """
    target = Path(path)
    # A disk that fills up under the HDF5 library takes the process along.
    buffer = io.BytesIO()
    for_files(curves).to_netcdf(buffer, engine="h5netcdf")
    content = buffer.getvalue()
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content + _MARK + hashlib.sha256(content).digest())
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o666 & ~_umask())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return target


@checked
def load_curves(path: str | os.PathLike) -> xr.Dataset:
    """Read curves whole into memory; what earlier versions called otherwise comes under its name of today.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not netCDF 4, or not as it was written.
    """
    place = Path(path)
    if not place.exists():
        raise FileNotFoundError(f"{path} does not exist; `ntkinfo curves` writes curves.nc into its folder")
    try:
        content = place.read_bytes()
        body, end = content[:-_END], content[-_END:]
        whole = end.startswith(_MARK)
        if whole and hashlib.sha256(body).digest() != end[len(_MARK) :]:
            raise ValueError("its digest does not match its content")
        if not whole:
            _refuse_to_unfold(content)
        with xr.open_dataset(io.BytesIO(body if whole else content), engine="h5netcdf") as opened:
            curves = from_files(opened.load())
    except Exception as error:  # damaged bytes raise whatever the reader trips over
        text = str(error) or type(error).__name__
        raise ValueError(f"{path} is not a netCDF file of curves, or it is damaged: {text}") from error
    return curves.rename({name: current_name(str(name)) for name in curves if current_name(str(name)) != name})


def _refuse_to_unfold(content: bytes) -> None:
    """Raise ValueError where variables are far larger than the file, which holds them compressed or not at all."""
    with h5netcdf.File(io.BytesIO(content), "r") as opened:
        size = sum(math.prod(each.shape) * each.dtype.itemsize for each in opened.variables.values())
    if size > 1e6 + _LARGEST * len(content):
        raise ValueError(f"it would unfold to {size / 2**30:.3g} GiB")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
