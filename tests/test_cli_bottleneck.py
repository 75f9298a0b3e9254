from __future__ import annotations

import re

import numpy as np
import pytest
import xarray as xr
from scipy.optimize import brentq
from scipy.special import xlogy

from ntkinfo import bottleneck_run
from ntkinfo.bottleneck import discrete_curve
from ntkinfo.bottleneck.gaussian import GaussianBottleneck
from ntkinfo.bottleneck_run import run_bottleneck
from ntkinfo.data.synthetic import GaussianPair
from ntkinfo.information.curve_files import load_curves
from ntkinfo.report.page import write_page
from ntkinfo.running import Switches
from tests.cli_helpers import files

BIT = np.log(2)


@pytest.fixture
def bottleneck(tmp_path, capsys, monkeypatch):
    """Run `ntkinfo bottleneck` in an empty folder; returns exit code, output and messages."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "130")

    def call(config=None, /, *, overwrite=False, **given):
        flags = {f"--{name.replace('_', '-')}": value for name, value in given.items()}
        code = run_bottleneck(config, flags, [], Switches(overwrite=overwrite))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def result(folder):
    with xr.open_dataset(f"{folder}/bottleneck.nc", engine="h5netcdf") as opened:
        return opened.load()


def mrs_gerber(given, flip=0.1):
    """The curve of the binary symmetric channel, in nats."""

    def entropy(p):
        return -xlogy(p, p) - xlogy(1 - p, 1 - p)

    out = []
    for value in np.atleast_1d(given):
        p = brentq(lambda q, left=BIT - value: entropy(q) - left, 0, 0.5)
        out.append(BIT - entropy(p * (1 - flip) + (1 - p) * flip))
    return np.array(out)


def test_default_run_brackets_the_closed_form_and_writes_everything(bottleneck, tmp_path):
    code, out, err = bottleneck(out="results", format="png,svg", betas="2", bits=True)
    assert (code, err) == (0, "")
    assert files(tmp_path / "results") == ["bottleneck.nc", "bottleneck.png", "bottleneck.svg", "config.toml"]
    found = result("results")
    inner = found["grid"].values[(found["grid"].values > 1e-6) & (found["grid"].values < BIT - 1e-6)]
    exact = mrs_gerber(inner)
    assert np.all(found["achieved"].sel(grid=inner).values <= exact + 1e-12)
    assert np.all(found["certified"].sel(grid=inner).values >= exact - 1e-12)
    assert found.attrs["largest_gap"] <= 1e-3
    # beta = 2: 0.69643 and 0.40723 bits; dual critical beta 0.82854.
    assert re.search(r"^ *2 +0\.69643 +0\.40723 ", out, re.MULTILINE), out
    assert "0.828535" in out
    assert "I(X;Y) = 0.531004 bit" in out
    np.testing.assert_allclose(found.attrs["dual_critical_beta"], 4 / np.log(9) ** 2)
    assert found.attrs["configuration"] == (tmp_path / "results" / "config.toml").read_text()


def test_the_written_configuration_reruns_to_the_same_numbers(bottleneck, tmp_path):
    options = {"problem": "random", "inputs": "6", "targets": "2", "seed": "3", "accuracy": "0.01", "dual_points": "3"}
    assert bottleneck(**options, out="first")[0] == 0
    code, _, err = bottleneck("first/config.toml")
    assert code == 2
    assert "--overwrite" in err
    assert bottleneck("first/config.toml", overwrite=True, out="second")[0] == 0
    one, two = result("first"), result("second")
    assert one.drop_attrs().identical(two.drop_attrs())
    text = (tmp_path / "first" / "config.toml").read_text()
    assert text.replace("first", "second") == (tmp_path / "second" / "config.toml").read_text()
    assert "concentration = 1.0" in text


def test_joint_laws_from_files(bottleneck, tmp_path):
    joint = np.array([[0.45, 0.05], [0.05, 0.45], [0.0, 0.0]])
    np.savetxt(tmp_path / "table.csv", 200 * joint, delimiter=",")
    np.savez(tmp_path / "table.npz", joint=joint)
    rng = np.random.default_rng(0)
    x = rng.integers(2, size=500)
    y = np.where(rng.random(500) < 0.1, 1 - x, x)
    np.savez(tmp_path / "pairs.npz", x=x + 5, y=y)
    options = {"problem": "joint", "accuracy": "0.01", "dual": False}
    for name, out in (("table.csv", "a"), ("table.npz", "b"), ("pairs.npz", "c")):
        assert bottleneck(**options, path=name, out=out)[0] == 0
    assert bottleneck(flip="0.1", accuracy="0.01", dual=False, out="d")[0] == 0
    for folder in "ab":
        np.testing.assert_allclose(result(folder)["achieved"], result("d")["achieved"], atol=1e-12)
        assert "dual_solution" not in result(folder).dims
    table = np.array([[np.sum((x == i) & (y == j)) for j in (0, 1)] for i in (0, 1)]) / 500
    information = np.sum(xlogy(table, table)) - sum(np.sum(xlogy(m, m)) for m in (table.sum(0), table.sum(1)))
    assert result("c").attrs["mutual_information"] == pytest.approx(information)


def test_gaussian_laws_from_correlations_covariances_and_samples(bottleneck, tmp_path):
    code, out, _ = bottleneck(problem="gaussian", correlations="0.8", out="a")
    assert code == 0
    found = result("a")
    law = GaussianBottleneck(np.eye(1), np.eye(1), np.array([[0.8]]))
    np.testing.assert_allclose(found["achieved"], law.frontier(found["grid"].values), rtol=1e-12)
    assert float(found["gap"].max()) < 1e-13
    assert "critical β = 0.5625" in out
    np.savez(tmp_path / "law.npz", covariance_x=4 * np.eye(1), covariance_y=np.eye(1), cross_covariance=[[1.6]])
    assert bottleneck(problem="covariance", path="law.npz", out="b")[0] == 0
    np.testing.assert_allclose(result("b")["achieved"], found["achieved"], rtol=1e-12)
    pair = GaussianPair.random((0.8,), (2, 1), seed=0)
    rows = np.random.default_rng(0).multivariate_normal(np.zeros(3), pair.covariance, size=400)
    np.savez(tmp_path / "samples.npz", x=rows[:, :2], y=rows[:, 2])
    code, out, _ = bottleneck(problem="samples", path="samples.npz", confidence="0.99", out="c")
    assert code == 0
    sampled = result("c")
    truth = law.frontier(sampled["grid"].values)
    assert np.all(sampled["interval_lower"] <= truth + 1e-9)
    assert np.all(sampled["interval_upper"] >= truth - 1e-9)
    assert "99 % interval" in out


def test_an_accuracy_that_is_not_reached_is_said_with_code_3(bottleneck):
    code, out, err = bottleneck(accuracy="1e-4", points="2", dual=False)
    assert code == 3
    assert "not to the 0.0001" in err
    assert "2 solutions" in out


def test_zeros_in_the_law_leave_the_dual_out_and_say_so(bottleneck):
    code, out, _ = bottleneck(problem="erasure", loss="0.25", accuracy="0.01")
    assert code == 0
    assert "distortion is infinite" in out
    found = result("ntkinfo-results/bottleneck")
    np.testing.assert_allclose(found["achieved"], 0.75 * np.minimum(found["grid"], BIT), atol=0.01)


def test_curves_that_are_certified_without_any_solution(bottleneck, tmp_path):
    """Weak dependence, independence and a generous accuracy: the ends of the curve are all there is."""
    (tmp_path / "weak.csv").write_text("260,240\n240,260\n")
    (tmp_path / "near.csv").write_text("0.5,1e-6\n1e-6,0.5\n")
    (tmp_path / "nothing.csv").write_text("1,3\n2,6\n")
    weak = BIT + xlogy(0.48, 0.48) + xlogy(0.52, 0.52)
    for number, (right, given) in enumerate(
        [
            (weak, {"flip": "0.48"}),
            (weak, {"problem": "joint", "path": "weak.csv"}),
            (BIT + xlogy(0.1, 0.1) + xlogy(0.9, 0.9), {"accuracy": "0.2"}),
            (1e-3 * BIT, {"problem": "erasure", "loss": "0.999"}),
            (BIT, {"problem": "joint", "path": "near.csv"}),
            (0.0, {"problem": "joint", "path": "nothing.csv"}),
        ]
    ):
        code, out, err = bottleneck(**given, dual=False, out=f"{number}")
        assert (code, err) == (0, ""), given
        assert files(tmp_path / f"{number}") == ["bottleneck.nc", "bottleneck.png", "config.toml"]
        found = result(f"{number}")
        assert found.sizes["solution"] == 0
        assert found.attrs["mutual_information"] == pytest.approx(right, rel=1e-9, abs=5e-5)
        assert ("no solution was needed" in out) == (right > 0)
        (page := write_page(tmp_path / f"{number}")).unlink()
        assert page.name == "report.html"


def test_ctrl_c_writes_what_is_finished(bottleneck, monkeypatch):
    real, count = bottleneck_run.solve_dual, []

    def stopping(*arguments, **named):
        count.append(1)
        if len(count) == 3:
            raise KeyboardInterrupt
        return real(*arguments, **named)

    monkeypatch.setattr(bottleneck_run, "solve_dual", stopping)
    code, _, err = bottleneck(accuracy="0.01")
    assert code == 130
    assert "What was finished is written" in err
    found = result("ntkinfo-results/bottleneck")
    assert found.sizes["dual_solution"] == 2
    assert found.attrs["complete"] == "no, interrupted"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"problem": "bcs"}, "did you mean 'bsc'"),
        ({"problem": "bsc", "loss": "0.1"}, "loss does not apply to the problem 'bsc'; it belongs to erasure"),
        ({"problem": "joint"}, "needs a file; give --path"),
        ({"problem": "joint", "path": "absent.csv"}, "absent.csv does not exist"),
        ({"problem": "joint", "path": "text.csv"}, "line 2, cell 1 is 'a'"),
        ({"problem": "joint", "path": "ragged.csv"}, "rows of [1, 2] cells"),
        ({"problem": "joint", "path": "real.npz"}, "take --problem samples"),
        ({"problem": "covariance", "path": "real.npz"}, "lacks the field(s) covariance_x"),
        ({"problem": "joint", "path": "pickled.npz"}, "plain arrays"),
        ({"problem": "gaussian", "correlations": "0.5,1.2"}, "each must lie between -1 and 1"),
        ({"problem": "gaussian", "correlations": "0"}, "uncorrelated"),
        ({"accuracy": "0"}, "greater than 0"),
        ({"betas": "-1"}, "each must be greater than 0"),
    ],
)
def test_bad_input_is_named_and_writes_nothing(bottleneck, tmp_path, given, message):
    (tmp_path / "text.csv").write_text("1,2\na,3\n")
    (tmp_path / "ragged.csv").write_text("1,2\n3\n")
    np.savez(tmp_path / "real.npz", x=np.ones(3), y=np.ones(3))
    np.savez(tmp_path / "pickled.npz", joint=np.array([{}], dtype=object))
    before = files(tmp_path)
    code, _, err = bottleneck(**given)
    assert code == 2
    assert message in err
    assert files(tmp_path) == before


def test_an_interrupted_curve_goes_on_with_its_solutions_by_flags_and_by_its_configuration(
    bottleneck, tmp_path, monkeypatch
):
    given = {"problem": "random", "inputs": "6", "targets": "3", "accuracy": "1e-3", "dual_points": "3"}
    assert bottleneck(**given, out="undisturbed")[0] == 0
    solved, stops = [], [3, 6, 9, 12, None]
    for name in ("solve", "solve_dual"):
        module = bottleneck_run if name == "solve_dual" else discrete_curve
        real = getattr(module, name)

        def counted(law, beta, *rest, real=real, name=name, **options):
            if len(solved) == stops[0]:
                stops.pop(0)
                raise KeyboardInterrupt
            solved.append((name, beta))
            return real(law, beta, *rest, **options)

        monkeypatch.setattr(module, name, counted)
    codes = [bottleneck(**given, out="results")[0]]
    while codes[-1] == 130:
        written = tmp_path / "results" / "config.toml"
        again = bottleneck(str(written)) if written.exists() and len(codes) % 2 else bottleneck(**given, out="results")
        codes.append(again[0])
    assert codes[-1] == 0
    assert codes.count(130) >= 3
    assert len(solved) == len(set(solved))
    assert files(tmp_path / "results") == ["bottleneck.nc", "bottleneck.png", "config.toml"]
    found, other = (load_curves(tmp_path / name / "bottleneck.nc") for name in ("results", "undisturbed"))
    assert found.drop_attrs().identical(other.drop_attrs())
