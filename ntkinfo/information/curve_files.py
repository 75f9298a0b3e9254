"""Curves on disk: netCDF through h5netcdf, written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import xarray as xr

from ntkinfo.core.units import for_files, from_files
from ntkinfo.information.quantities import current_name


def save_curves(curves: xr.Dataset, path: str | os.PathLike) -> Path:
    """Write curves as netCDF 4: to a temporary name beside the target, then renamed.

    Returns:
        The path written.

    Raises:
        OSError: the folder does not exist or cannot be written to; nothing is left behind.
    """
    target = Path(path)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    os.close(handle)
    try:
        for_files(curves).to_netcdf(name, engine="h5netcdf")
        Path(name).chmod(0o666 & ~_umask())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return target


def load_curves(path: str | os.PathLike) -> xr.Dataset:
    """Read curves whole into memory; what earlier versions called otherwise comes under its name of today.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not netCDF 4.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"{path} does not exist; `ntkinfo curves` writes curves.nc into its folder")
    try:
        with xr.open_dataset(path, engine="h5netcdf") as opened:
            curves = from_files(opened.load())
    except OSError as error:
        raise ValueError(f"{path} is not a netCDF file of curves, or it is damaged: {error}") from error
    return curves.rename({name: current_name(str(name)) for name in curves if current_name(str(name)) != name})


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
