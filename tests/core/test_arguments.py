"""Arguments as users write them, at a function and a record of the tests' own."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import jax
import numpy as np
import pytest
from jaxtyping import Float, Int

from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array
from ntkinfo.core.progress import Track, bar, silent
from ntkinfo.core.records import Dataset
from ntkinfo.kernels.architectures import FullyConnected
from ntkinfo.kernels.network import Network


@checked
def takes(
    points: Float[Array, "n d"],
    labels: Int[np.ndarray, " n"] | None = None,
    *,
    weight: float = 1.0,
    count: int = 1,
    names: Iterable[str] = (),
    sizes: tuple[int, ...] = (),
    betas: Sequence[float] = (),
    either: "float | Sequence[float] | None" = None,
    table: Mapping[str, float] | None = None,
    bits: bool = False,
    title: str = "",
    progress: Track = bar,
):
    return dict(locals())


@checked
def uses(network: Network, data: Dataset, scale: float = 1.0):
    return network, data


@checked
@dataclass(frozen=True)
class Settings:
    rate: float = 0.1
    steps: int = 10
    start: Float[np.ndarray, " d"] | None = None


class Frame:
    """Something that converts itself, as pandas and xarray objects do."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype=dtype)


DATA = Dataset(np.eye(3), np.ones((3, 1)), np.eye(3), np.ones((3, 1)))
POINTS = [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]


@pytest.mark.parametrize(
    "points",
    [
        POINTS,
        tuple(map(tuple, POINTS)),
        [[0, 1], [2, 3], [4, 5]],
        np.array(POINTS, dtype=object),
        np.array(POINTS, dtype=">f8"),
        np.ma.masked_array(POINTS),
        np.asfortranarray(POINTS),
        Frame(POINTS),
        range(6),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_means_the_same_array_is_taken(points):
    if isinstance(points, range):
        points = [points[:2], points[2:4], points[4:]]

    taken = takes(points)["points"]

    np.testing.assert_array_equal(taken, np.arange(6.0).reshape(3, 2))
    assert type(taken) is np.ndarray
    assert taken.dtype == np.float64
    assert taken.dtype.isnative


def test_arrays_that_fit_are_not_touched():
    host, device = np.array(POINTS, dtype=np.float32), jax.numpy.asarray(POINTS)

    assert takes(host)["points"] is host
    assert takes(device)["points"] is device


@pytest.mark.parametrize("labels", [[0, 1, 2], (0.0, 1.0, 2.0), range(3), np.arange(3, dtype=np.uint8)])
def test_whole_numbers_are_taken_from_whatever_holds_them(labels):
    np.testing.assert_array_equal(takes(POINTS, labels)["labels"], [0, 1, 2])


def test_numbers_of_numpy_and_jax_are_plain_numbers():
    found = takes(
        POINTS, weight=np.float32(0.5), count=np.int64(3), bits=np.True_, betas=np.array([1.0, 2.0]), sizes=[2, 3]
    )

    assert (found["weight"], found["count"], found["bits"]) == (0.5, 3, True)
    assert [type(found[key]) for key in ("weight", "count", "bits")] == [float, int, bool]
    assert found["betas"] == (1.0, 2.0)
    assert found["sizes"] == (2, 3)
    assert takes(POINTS, weight=np.array(2.0))["weight"] == 2.0
    assert takes(POINTS, weight=jax.numpy.asarray(2.0))["weight"] == 2.0
    assert takes(POINTS, weight=Fraction(1, 4))["weight"] == 0.25
    assert takes(POINTS, either=3)["either"] == 3
    assert takes(POINTS, either=[1, 2])["either"] == [1, 2]


def test_masks_are_not_lost_on_the_way():
    masked = np.ma.masked_array([1.0, 2.0], [False, True])

    with pytest.raises(ValueError, match=r"^betas has 1 masked value\(s\), the first at index \(1,\)"):
        takes(POINTS, betas=masked)


def test_the_keys_of_a_dictionary_are_names():
    assert takes(POINTS, names={"a": 1, "b": 2})["names"] == ("a", "b")


def test_progress_may_be_left_away_or_asked_for():
    assert takes(POINTS, progress=None)["progress"] is silent
    assert takes(POINTS, progress=False)["progress"] is silent
    assert takes(POINTS, progress=True)["progress"] is bar


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"points": None}, "points is None; it must be an array or a list"),
        ({"points": "digits"}, "points is 'digits'; it must be an array or a list of real numbers"),
        ({"points": [["a", "b"]]}, "points holds text; it must hold real numbers"),
        ({"points": np.ones((2, 2)) * 1j}, "points holds complex128; it must hold real numbers"),
        ({"points": np.ones((2, 2), dtype=np.longdouble)}, "points holds .*give float64"),
        ({"points": np.array([[object(), 1]])}, r"points holds objects \(int, object\)"),
        ({"points": POINTS, "labels": ["a", "b", "c"]}, r"labels holds text; .*number the classes.*numpy.unique"),
        ({"points": POINTS, "weight": "0.1"}, "weight is '0.1'; it must be a number: leave the quotes away"),
        ({"points": POINTS, "weight": True}, "weight is True; it must be a number"),
        ({"points": POINTS, "weight": None}, "weight is None; it must be a number"),
        ({"points": POINTS, "weight": 1j}, "weight is 1j; it must be a number"),
        ({"points": POINTS, "weight": [1.0]}, "weight is a list of 1; it must be a number"),
        ({"points": POINTS, "count": 1e4}, "count is 10000.0; it must be a whole number: write 10000"),
        ({"points": POINTS, "count": False}, "count is False; it must be a whole number"),
        (
            {"points": POINTS, "names": "loss"},
            r"names is 'loss', one text; it must be a list of names: write \['loss'\]",
        ),
        ({"points": POINTS, "names": [1]}, r"names\[0\] is 1; it must be text"),
        ({"points": POINTS, "sizes": 3}, "sizes is 3; it must be a list of whole numbers"),
        ({"points": POINTS, "sizes": [1, "2"]}, r"sizes\[1\] is '2'; it must be a whole number: leave the quotes"),
        ({"points": POINTS, "either": {}}, "either is an empty dict; it must be a number, a list of numbers or None"),
        ({"points": POINTS, "table": [1]}, "table is a list of 1; it must be a dictionary, or None"),
        ({"points": POINTS, "bits": "yes"}, "bits is 'yes'; it must be True or False"),
        ({"points": POINTS, "bits": 1}, "bits is 1; it must be True or False"),
        ({"points": POINTS, "title": 3}, "title is 3; it must be text"),
        ({"points": POINTS, "progress": 3}, "progress is 3; it must be a function .* or None for silence"),
        ({}, r"takes\(\): missing a required argument: 'points'; takes\(\) takes points, labels"),
        ({"points": POINTS, "wieght": 1.0}, r"takes\(\) has no argument 'wieght' \(did you mean 'weight'\?\); takes"),
    ],
)
def test_what_cannot_be_meant_is_named(arguments, message):
    with pytest.raises(TypeError, match=f"^{message}"):
        takes(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"points": [1.0, 2.0]}, r"points has shape \(2,\); it must be \(n, d\): one row for each entry"),
        ({"points": [[1.0], [1.0, 2.0]]}, "points holds rows of different lengths"),
        ({"points": np.ma.masked_array([[1.0]], [[True]])}, "points has 1 masked value"),
        ({"points": [[1.0, None]]}, r"points holds 1 missing value\(s\), the first at index \(0, 1\)"),
        ({"points": POINTS, "labels": [0, 1]}, r"labels has shape \(2,\) and points says that n is 3; labels must be"),
        ({"points": POINTS, "labels": [[0], [1], [2]]}, r"labels has shape \(3, 1\); it must be \(n,\): .*numpy.ravel"),
        (
            {"points": POINTS, "labels": [0.0, 0.5, 1.0]},
            r"labels holds 0.5 at index \(1,\); it must hold whole numbers",
        ),
        ({"points": POINTS, "labels": [0.0, np.nan, 1.0]}, "labels holds 1 NaN or infinite"),
    ],
)
def test_shapes_and_values_that_do_not_fit_are_named(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        takes(**arguments)


def test_records_are_told_apart_by_what_they_are():
    network = FullyConnected()
    assert uses(network, DATA) == (network, DATA)

    with pytest.raises(TypeError, match=r"^network is a Dataset; .* \(network and data are exchanged: give uses\(netw"):
        uses(DATA, network)
    with pytest.raises(TypeError, match=r"^network is the class FullyConnected; .*: give an object of it, FullyConn"):
        uses(FullyConnected, DATA)
    with pytest.raises(TypeError, match=r"^data is a tuple of 2; it must be a Dataset, from ni\.data or ni\.Dataset\("):
        uses(network, (1, 2))
    with pytest.raises(TypeError, match=r"^uses\(\) got 4 arguments by place and takes 3"):
        uses(network, DATA, 1.0, 2.0)


def test_records_check_what_they_are_made_of():
    assert Settings(steps=np.int32(3)).steps == 3
    np.testing.assert_array_equal(Settings(start=[1, 2]).start, [1.0, 2.0])
    with pytest.raises(TypeError, match=r"^rate is '0.1'; it must be a number: leave the quotes away"):
        Settings(rate="0.1")
    with pytest.raises(TypeError, match=r"^Settings\(\) has no argument 'step' \(did you mean 'steps'\?\)"):
        Settings(step=1)


def test_what_came_is_shown_short_and_inert():
    with pytest.raises(TypeError) as caught:
        takes(POINTS, weight="\x1b[31m" + "x" * 1000)

    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 120
