"""Which route each value took: numbers beside the curves, notes, stacking."""

import json

import numpy as np
import pytest
import xarray as xr

import ntkinfo as ni
from ntkinfo.core.progress import silent
from ntkinfo.core.records import Estimate
from ntkinfo.information.curve_methods import NOT_COMPUTED, MethodCodes, harmonised, method_texts
from ntkinfo.information.curves import Interrupted, information_curves
from ntkinfo.information.quantities import by_default

NETWORK = ni.FullyConnected(depth=1, activation="erf", w_std=1.5, b_std=0.1)
TIMES = np.array([0.0, 0.1, 3.0, np.inf])


@pytest.fixture(scope="module")
def curves():
    data = ni.data.digits(n_train=24, n_test=16, targets="parity")
    return information_curves(NETWORK, data, TIMES, progress=silent)


def test_every_quantity_has_an_error(curves):
    for name in by_default():
        error = curves[f"{name}_standard_error"]
        assert error.dims == curves[name].dims
        assert bool((error >= 0).all()), name
        assert error.attrs["units"] == curves[name].attrs["units"]


def test_the_route_is_told_where_it_changes(curves):
    codes = curves.information_input_method
    texts = json.loads(codes.attrs["flag_meanings"])
    assert codes.dims == ("time", "split")
    assert codes.dtype == np.int8
    assert codes.attrs["flag_values"].tolist() == list(range(len(texts)))
    train = [texts[code] for code in codes.sel(split="train").values]
    assert all(text.startswith("quadrature") for text in train[:3])
    assert train[3].startswith("exact: entropy of the distinct outputs")
    assert texts[int(codes.sel(split="test", time=np.inf))].startswith("quadrature")
    notes = curves.attrs["notes"]
    assert "from t = 0 to 3, then exact: entropy of the distinct outputs at t = inf as no output varies" in notes
    assert "information_input (test)" not in notes


def test_a_single_route_stays_an_attribute(curves):
    assert "path_length_method" not in curves
    assert "loss_mean_method" not in curves
    assert curves.path_length.attrs["method"].startswith("Gauss-Legendre")
    assert method_texts(curves, "loss_mean") == ["exact"]


def test_files_keep_the_routes(curves, tmp_path):
    loaded = ni.load_curves(ni.save_curves(curves, tmp_path / "curves.nc"))
    assert loaded.identical(curves)
    assert loaded.information_input_method.dtype == np.int8
    assert method_texts(loaded, "information_input") == method_texts(curves, "information_input")


def test_interrupted_curves_leave_routes_open():
    def stop_late(items, label, total=None):
        for index, item in enumerate(items):
            if "(test)" in label and index == 2:
                raise KeyboardInterrupt
            yield item

    data = ni.data.digits(n_train=24, n_test=16, targets="parity")
    with pytest.raises(Interrupted) as caught:
        information_curves(NETWORK, data, TIMES, quantities=["information_input"], progress=stop_late)
    partial = caught.value.partial
    open_ones = partial.information_input_method.values == NOT_COMPUTED
    np.testing.assert_array_equal(open_ones, partial.information_input.isnull().values)
    assert open_ones.sum() == 2


def small(values, routes):
    """Curves with one quantity whose routes are given by name, place by place."""
    codes = MethodCodes((len(values),))
    for index, (meaning, method) in enumerate(routes):
        codes.put((slice(index, index + 1),), Estimate(0.0, 0.0, meaning, method))
    attributes = {"meaning": " | ".join(codes.meanings), "method": " | ".join(codes.methods), "long_name": "a thing"}
    variables = {"path_length": xr.Variable(("time",), np.array(values), attributes)}
    numbers = codes.variable(("time",), "a thing")
    if numbers is not None:
        variables["path_length_method"] = numbers
    return xr.Dataset(variables, {"time": np.arange(len(values))})


def test_routes_of_several_sets_get_one_list():
    quadrature, draws, exact = ("quadrature", "rule"), ("Monte Carlo", "draws"), ("exact", "atoms")
    one = small([1.0, np.nan], [quadrature, quadrature])
    two = small([1.0, 2.0], [draws, exact])
    three = small([1.0, 2.0], [exact, quadrature])
    lacking = xr.Dataset(coords={"time": np.arange(2)})
    result = harmonised([one, two, three, lacking])
    texts = [method_texts(curves, "path_length") for curves in result[:3]]
    assert texts == [["quadrature: rule", "Monte Carlo: draws", "exact: atoms"]] * 3
    codes = [curves.path_length_method.values.tolist() for curves in result[:3]]
    assert codes == [[0, NOT_COMPUTED], [1, 2], [2, 0]]
    assert result[0].path_length.attrs["method"] == "rule | draws | atoms"
    assert not result[3].data_vars
    assert "path_length_method" not in harmonised([one, one])[0]


def test_many_changes_are_counted_not_listed():
    codes = MethodCodes((8,))
    for index in range(8):
        codes.put((index,), Estimate(0.0, 0.0, "exact", f"way {index % 2}"))
    assert list(codes.notes("thing", np.arange(8.0), ())) == ["thing changes its route 7 times, see thing_method"]
