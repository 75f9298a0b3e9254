"""A table of information curves at a few times, for reading on a terminal."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ntkinfo.core.units import unit_of
from ntkinfo.information.curve_methods import NOT_COMPUTED, SUFFIX, method_texts
from ntkinfo.report.layout import print_table

TIMES = 4
_BESIDES = ("_lower", "_upper", "_standard_error", "_method")
_KEYS = ("quantity", "inputs", "unit", "value")


def print_summary(console: Console, curves: xr.Dataset, bits: bool = False, title: str = "") -> None:
    """Print the summary of curves of one depth, at the same times whatever the width of the console.

    Args:
        console: where to print it.
        curves: dimensions time and, where it applies, split.
        bits: show what is in nats in bits.
        title: a line above the table.
    """
    print_table(console, summary_table(curves, bits, TIMES, title), _KEYS, ("quantity", "unit", "value"))
    time = unit_of(curves["time"].attrs)
    lines = [f"t: training time{f', {time}' if time not in ('', '1') else ''}"]
    if any(str(name).endswith("_standard_error") for name in curves):
        lines.append(
            "±: standard error of Monte Carlo, numerical error of all else; left out where no digit shown moves"
        )
    for line in lines:
        console.print(escape(line), style="dim", highlight=False)


def summary_table(curves: xr.Dataset, bits: bool = False, columns: int = TIMES, title: str = "") -> Table:
    """Lay out every quantity at a few times, training and test inputs on rows of their own.

    Args:
        curves: curves of one depth; dimensions time and, where it applies, split.
        bits: show what is in nats in bits.
        columns: how many times, spread evenly over the grid; the last is the last of the grid.
        title: a line above the table.

    Returns:
        A table whose cells hold value ± standard error where there is one, and whose rows name their unit ("1" for a
        pure number) and what the values are: exact, a bound, Monte Carlo; where that changes over the times shown, in
        their order.
    """
    chosen = _chosen_times(curves["time"].values, columns)
    table = Table(title=escape(title), title_justify="left", box=None, pad_edge=False, header_style="bold")
    for heading in _KEYS:
        table.add_column(heading, no_wrap=True)
    for time in curves["time"].values[chosen]:
        table.add_column("t = ∞" if np.isinf(time) else f"t = {time:.3g}", justify="right", no_wrap=True)
    for cells in _rows(curves, chosen, bits):
        table.add_row(*map(escape, cells))
    return table


def _chosen_times(times: np.ndarray, columns: int) -> np.ndarray:
    """Indices of evenly spread times; infinity takes the place of the last finite one, which is near it."""
    last = len(times) - 1
    if np.isinf(times[-1]) and columns > 1 and last > 0:
        return np.unique(np.append(np.linspace(0, last - 1, columns).round().astype(int)[:-1], last))
    return np.unique(np.linspace(0, last, columns).round().astype(int))


def _rows(curves: xr.Dataset, chosen: np.ndarray, bits: bool) -> Iterator[list[str]]:
    for name in (str(key) for key in curves.data_vars):
        if name.endswith(_BESIDES) or (set(curves[name].dims) - {"time", "split"}):
            continue
        array = curves[name]
        unit = unit_of(array.attrs)
        in_bits = bits and unit == "nat"
        scale = np.log(2.0) if in_bits else 1.0
        error = curves.get(f"{name}_standard_error")
        for split in [str(split) for split in array["split"].values] if "split" in array.dims else [""]:
            values = _at(array, split, chosen) / scale
            errors = _at(error, split, chosen) / scale if error is not None else np.zeros(len(values))
            what = _what(curves, name, split, chosen)
            yield [name, split, "bit" if in_bits else unit or "1", what, *map(_cell, values, errors)]


def _what(curves: xr.Dataset, name: str, split: str, chosen: np.ndarray) -> str:
    """What the values at these times are, in their order: exact, upper bound, Monte Carlo, …."""
    meanings = [text.partition(": ")[0] for text in method_texts(curves, name)]
    if name + SUFFIX not in curves:
        return meanings[0]
    codes = _at(curves[name + SUFFIX], split, chosen).astype(int)
    found = [meanings[code] for code in codes if code != NOT_COMPUTED]
    return ", then ".join(found[k] for k in range(len(found)) if k == 0 or found[k] != found[k - 1])


def _at(array: xr.DataArray, split: str, chosen: np.ndarray) -> np.ndarray:
    if "split" in array.dims:
        array = array.sel(split=split)
    if "time" not in array.dims:
        return np.full(len(chosen), float(array))
    return np.asarray(array.values, dtype=float)[chosen]


def _cell(value: float, error: float) -> str:
    """Four digits where the error is too small to touch them, else as many as an error of two digits supports."""
    if np.isnan(value):
        return "-"
    if np.isinf(value):
        return "∞" if value > 0 else "-∞"
    if np.isinf(error):
        return f"{value:.4g} ± ∞"
    if not (np.isfinite(error) and error > max(1e-5 * abs(value), 1e-9)):
        return f"{value:.4g}"
    places = max(0, 1 - int(np.floor(np.log10(error))))
    if places > 7:
        return f"{value:.1e} ± {error:.0e}"
    return f"{value:.{places}f} ± {error:.{places}f}"
