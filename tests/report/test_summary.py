from __future__ import annotations

import io
import json
import re

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
    lines = printed(130)
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
    lines = printed(130, bits=True)
    row = next(line for line in lines if line.startswith("information_input"))
    assert row.split()[2] == "bit"
    assert row.endswith("1.000 ± 0.018")
    assert next(line for line in lines if line.startswith("fisher_trace")).split()[-1] == "1235"


def times(lines):
    return [word for line in lines for word in re.findall(r"t = \S+", line)]


@pytest.mark.parametrize("width", [40, 60, 70, 80, 100, 200])
def test_nothing_is_cut_and_the_times_are_the_same_at_any_width(width):
    lines = printed(width)
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines)
    assert times(lines) == ["t = 0.01", "t = 3.16", "t = 3.16e+03", "t = ∞"]
    assert {"quantity", "inputs", "unit"} <= {*lines[0].split(), *lines[1].split()}
    # Every row is there, whole: name, unit, split and values.
    for name in ("information_input", "error_mean", "information_parameters", "fisher_trace"):
        assert any(name in line.split() for line in lines)
    for value in ("0.693 ± 0.012", "1.386 ± 0.012", "1235", "∞"):
        assert value in "\n".join(lines)
    assert sum("train" in line.split() for line in lines) == sum("test" in line.split() for line in lines) >= 2


def test_a_column_says_what_the_values_are_and_where_that_changes():
    data = curves()
    data["information_input"].attrs["meaning"] = "Monte Carlo | exact"
    texts = ["Monte Carlo: stratified", "exact: entropy of the distinct outputs"]
    codes = np.zeros((18, 2), dtype=np.int8)
    codes[-1, 0] = 1
    data["information_input_method"] = (("time", "split"), codes, {"flag_meanings": json.dumps(texts)})
    data["information_parameters"].attrs["meaning"] = "lower bound"
    for width in (60, 150):
        stream = io.StringIO()
        print_summary(Console(file=stream, width=width), data)
        text = stream.getvalue()
        assert "Monte Carlo, then exact" in text
        assert re.search(r"nat  +Monte Carlo(\n| +0)", text)
        assert re.search(r"information_parameters.* nat  +lower bound", text)
        assert "standard error of Monte Carlo" in text


def test_pure_numbers_say_so_and_the_unit_of_time_stands_below():
    data = curves()
    data["time"].attrs = {"units": "1", "units_in_words": "gradient flow on the loss summed over inputs"}
    stream = io.StringIO()
    print_summary(Console(file=stream, width=150), data)
    lines = stream.getvalue().splitlines()
    assert next(line for line in lines if line.startswith("fisher_trace")).split()[1] == "1"
    assert "t: training time, gradient flow on the loss summed over inputs" in lines
