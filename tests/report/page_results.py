"""Small results of every kind in folders, for the tests of the report page."""

from __future__ import annotations

import functools

import numpy as np
import xarray as xr

import ntkinfo as ni
from ntkinfo.bottleneck.discrete_curve import bottleneck_curve
from ntkinfo.bottleneck.dual import dual_curve
from ntkinfo.bottleneck.problems import DiscreteProblem
from ntkinfo.core.progress import silent
from ntkinfo.core.records import Dataset
from ntkinfo.finite.comparison_information import InformationSettings
from ntkinfo.finite.comparison_study import scaling_of, study_width
from ntkinfo.information.curve_files import save_curves
from ntkinfo.information.curves import CurveSettings, information_curves
from ntkinfo.report.bottleneck_dataset import discrete_dataset
from ntkinfo.report.comparison_dataset import comparison_dataset
from ntkinfo.search.environments import TrialTable
from ntkinfo.search.ranking import RankSettings, rank
from ntkinfo.search.scores import ScoreSettings
from ntkinfo.search.scores_all import AllSettings
from ntkinfo.search.scores_conditional import ConditionalSettings
from tests.finite.test_comparison import LAW
from tests.finite.test_comparison_verdict import COMPARATOR, outputs
from tests.known_scores import grid_trials

HOSTILE = "<script>alert(1)</script>"
_MEASURES = ("good", "bad", "noise", f"{HOSTILE} & 'm'", "flat")


@functools.cache
def curves() -> xr.Dataset:
    """Curves of hostile names from time 0 to infinity."""
    digits = ni.data.digits(n_train=20, n_test=12)
    parts = {key: getattr(digits, key) for key in ("x_train", "y_train", "x_test", "y_test")}
    labels = {key: getattr(digits, key) for key in ("labels_train", "labels_test")}
    named = Dataset(**parts, **labels, name=HOSTILE, provenance={"source": f'"{HOSTILE}"'})
    times = np.concatenate([[0.0], np.geomspace(1e-3, 1e2, 9), [np.inf]])
    network = ni.FullyConnected(depth=1, activation="erf", w_std=1.5, b_std=0.1)
    found = information_curves(network, named, times, settings=CurveSettings(samples_per_input=4), progress=silent)
    text = f'[data]\nname = "{HOSTILE}"\n\n[curves]\nquantities = ["loss_mean"]\n'
    return found.assign_attrs(configuration=text, complete="yes", notes=f"one; {HOSTILE}")


@functools.cache
def comparison() -> xr.Dataset:
    """Three widths with informations and exponents."""
    information = InformationSettings(replicates=4, samples=8)
    results = [study_width(outputs(width, count=48, seed=width), COMPARATOR, information) for width in (8, 16, 32)]
    return comparison_dataset(results, scaling_of(results), LAW, 0.05)


@functools.cache
def bottleneck() -> xr.Dataset:
    """A channel between two values each, with the dual."""
    problem = DiscreteProblem.from_joint(np.array([[0.4, 0.1], [0.1, 0.4]]), HOSTILE)
    curve = bottleneck_curve(problem, accuracy=0.01, progress=silent)
    return discrete_dataset(curve, dual_curve(problem, [1.0, 2.0], progress=silent))


@functools.cache
def ranking() -> xr.Dataset:
    """Five measures on two data sets, one of them held out."""
    trials = grid_trials((3, 3), 2, ("a", HOSTILE), seed=0)
    random = np.random.default_rng(1)
    gap, m = trials.gap, len(trials.gap)
    rows = (gap + 0.01 * random.normal(size=m), -gap, random.normal(size=m), gap + random.normal(size=m), np.ones(m))
    settings = AllSettings(
        score=ScoreSettings(resamples=20, permutations=19),
        conditional=ConditionalSettings(groups=5),
        given=("h0",),
        pgdl_permutations=19,
    )
    table: TrialTable = trials.with_measures(dict(zip(_MEASURES, rows, strict=True)))
    return rank(table, RankSettings(settings, (HOSTILE,)), silent).dataset()


KINDS = {
    "curves.nc": curves,
    "compare.nc": comparison,
    "bottleneck.nc": bottleneck,
    "ranking.nc": ranking,
}


def fill(folder, *names: str):
    """Write results of these file names (all of them, if none is named) into a new folder."""
    folder.mkdir()
    for name in names or KINDS:
        save_curves(KINDS[name](), folder / name)
    return folder
