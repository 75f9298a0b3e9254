"""Units that other programs read, in memory and in files."""

import h5py
import numpy as np
import pytest
import xarray as xr

import ntkinfo as ni
from ntkinfo.core.progress import silent
from ntkinfo.core.units import NAT, WORDS, unit_attributes, unit_of

READABLE = {"1", "nat"}  # what UDUNITS and pint parse of all that is used here


@pytest.fixture(scope="module")
def curves():
    x, y = np.eye(3), np.array([[1.0], [-1.0], [0.5]])
    data = ni.Dataset(x_train=x, y_train=y, x_test=x / 2, y_test=y)
    return ni.information_curves(ni.FullyConnected(depth=1), data, np.array([0.1, 1.0]), progress=silent)


def test_units_in_memory_are_read_by_other_programs(curves):
    for name, variable in curves.variables.items():
        if variable.dtype.kind == "f":
            assert variable.attrs["units"] in READABLE, name
    assert unit_of(curves.loss_mean.attrs) == "target²"
    assert unit_of(curves.speed_squared.attrs) == "1/time²"
    assert unit_of(curves.information_input.attrs) == "nat"
    assert unit_of(curves.error_mean.attrs if "error_mean" in curves else curves.path_length.attrs) == "1"
    assert "summed over inputs" in unit_of(curves.time.attrs)


def test_files_say_nats_in_words_and_hold_no_number_of_eight_bytes(curves, tmp_path):
    curves = curves.assign_attrs(many=2**40, counts=np.arange(3)).assign_coords(depth=1)
    path = ni.save_curves(curves, tmp_path / "curves.nc")
    with h5py.File(path) as file:
        for name, variable in file.items():
            if "units" in variable.attrs:
                assert variable.attrs["units"] == "1", name
        assert file["information_input"].attrs[WORDS] == NAT
        sizes = {
            name: np.asarray(value).dtype.itemsize
            for name, value in file.attrs.items()
            if np.asarray(value).dtype.kind == "i"
        }
        assert sizes.pop("many") == 8  # does not fit in four
        assert "n_train" in sizes
        assert set(sizes.values()) == {4}
        assert file["depth"].dtype == np.int32
    again = ni.load_curves(path)
    assert again.identical(curves)
    assert again.information_input.attrs["units"] == "nat"
    # What is in memory keeps its own.
    assert curves.information_input.attrs["units"] == "nat"
    assert isinstance(curves.attrs["many"], int)


def test_any_unit_becomes_one_and_words_in_a_file(tmp_path):
    data = xr.Dataset({"u": ("time", [1.0], {"units": "target²·time"})}, {"time": [0.5]})
    again = ni.load_curves(ni.save_curves(data, tmp_path / "a.nc"))
    assert again.u.attrs == {"units": "1", WORDS: "target²·time"} == unit_attributes("target²·time")
    assert data.u.attrs == {"units": "target²·time"}


def test_curves_of_earlier_versions_come_under_their_names_of_today(tmp_path):
    data = xr.Dataset({"parameter_distance": ("time", [4.0]), "parameter_distance_standard_error": ("time", [1e-9])})
    data.to_netcdf(tmp_path / "old.nc", engine="h5netcdf")
    again = ni.load_curves(tmp_path / "old.nc")
    assert set(again.data_vars) == {"parameter_distance_squared", "parameter_distance_squared_standard_error"}
    assert again.parameter_distance_squared.values == 4.0


def test_the_squared_distance_is_named_so(curves):
    assert "parameter_distance" not in curves
    # The straight line is the shortest way: its square is at most that of the path's length.
    assert np.all(curves.parameter_distance_squared <= curves.path_length**2 * (1 + 1e-9))
    data = ni.Dataset(x_train=np.eye(2), y_train=np.eye(2), x_test=np.eye(2) / 2, y_test=np.eye(2))
    asked = ni.information_curves(
        ni.FullyConnected(depth=1), data, np.array([1.0]), quantities=["parameter_distance"], progress=silent
    )
    assert "parameter_distance_squared" in asked
