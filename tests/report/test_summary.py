from __future__ import annotations

import io

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from ntkinfo.report.summary import print_summary

TIMES = np.append(np.geomspace(1e-2, 1e6, 17), np.inf)


def curves():
    over_splits = np.stack([np.linspace(0, 1, 18), np.linspace(1, 2, 18)], axis=1)
    data = {
        "information_input": (("time", "split"), over_splits * np.log(2), {"units": "nat"}),
        "information_input_standard_error": (("time", "split"), 0 * over_splits + 0.0123, {"units": "nat"}),
        "information_input_lower": (("time", "split"), over_splits - 100, {"units": "nat"}),
        "error_mean": (("time", "split"), over_splits, {"units": "1"}),
        "error_mean_standard_error": (("time", "split"), 0 * over_splits + 1e-12, {"units": "1"}),
        "information_parameters": ("time", TIMES, {"units": "nat"}),
        "fisher_trace": ((), 1234.5678, {"units": "1"}),
    }
    return xr.Dataset(data, coords={"time": TIMES, "split": ["train", "test"]})


def printed(width, bits=False):
    stream = io.StringIO()
    print_summary(Console(file=stream, width=width), curves(), bits)
    return stream.getvalue().splitlines()


def test_rows_hold_values_with_errors_and_units_at_the_ends_of_the_grid():
    lines = printed(80)
    assert lines[0].split()[:3] == ["quantity", "inputs", "unit"]
    assert lines[0].endswith("t = ∞")
    assert "t = 0.01" in lines[0]
    row = next(line for line in lines if line.startswith("information_input"))
    assert row.split()[1:4] == ["train", "nat", "0.000"]
    assert row.endswith("0.693 ± 0.012")
    assert next(line for line in lines if line.startswith("information_parameters")).endswith("∞")
    assert next(line for line in lines if line.startswith("error_mean")).split()[-1] == "1"
    assert not [line for line in lines if "lower" in line or "standard_error" in line]


def test_bits_change_nats_only():
    lines = printed(80, bits=True)
    row = next(line for line in lines if line.startswith("information_input"))
    assert row.split()[2] == "bit"
    assert row.endswith("1.000 ± 0.018")
    assert next(line for line in lines if line.startswith("fisher_trace")).split()[-1] == "1235"


@pytest.mark.parametrize("width", [70, 80, 100, 200])
def test_nothing_is_cut_and_wider_terminals_show_more_times(width):
    lines = printed(width)
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines)
    assert printed(200)[0].count("t =") > printed(70)[0].count("t =") >= 2
