import itertools

import numpy as np
import pytest

from ntkinfo.core.progress import silent
from ntkinfo.search.scores import ScoreSettings, granulated_kendall
from ntkinfo.search.symbolic import RATIOS, Formula, SymbolicSettings, symbolic_search
from tests.known_scores import grid_trials

QUICK = ScoreSettings(resamples=60, permutations=39)


def settings(**more):
    return SymbolicSettings(**({"held_out": ("c",), "scores": QUICK} | more))


def study(planted=True, seed=0):
    trials = grid_trials((3, 3, 3), 2, ("a", "b", "c"), seed=seed)
    random = np.random.default_rng(30 + seed)
    values = {f"r{k}": np.exp(random.normal(size=len(trials.gap))) for k in range(5)}
    if planted:
        values["x"] = np.exp(random.normal(size=len(trials.gap)))
        values["y"] = values["x"] ** -0.5 * np.exp(3 * trials.gap)
    return trials.with_measures(values)


def test_a_planted_product_is_found_and_confirmed():
    trials = study()
    found = symbolic_search(trials, settings(terms=2), silent)
    assert set(found.formulas[1].factors) == {("x", 1.0), ("y", 2.0)}
    assert found.formulas[1].sign == 1
    assert found.selection[1] == pytest.approx(1, abs=1e-12)
    assert found.held_out.value[1] == pytest.approx(1, abs=1e-12)
    assert found.p_corrected[1] == 1 / 40
    assert found.gain_lower[1] > 0
    assert "better" in found.statement
    assert found.tried == (7, 21 * 6)


def test_the_best_is_the_best_of_all_formulas_one_by_one():
    trials = study(planted=False)
    found = symbolic_search(trials, settings(terms=2), silent)
    choosing = trials.of(["a", "b"])
    best = {1: 0.0, 2: 0.0}
    for size in (1, 2):
        for chosen in itertools.combinations(trials.names, size):
            for powers in itertools.product(RATIOS, repeat=size - 1):
                product = np.prod(
                    [choosing.measures[n] ** p for n, p in zip(chosen, (1.0, *powers), strict=True)], axis=0
                )
                alone = choosing.with_measures({"f": product})
                few = ScoreSettings(resamples=20, permutations=19)
                best[size] = max(best[size], abs(granulated_kendall(alone, few).score.value[0]))
    np.testing.assert_allclose(found.selection, [best[1], best[2]], atol=1e-12)


def test_nothing_is_found_in_noise():
    rejected = 0
    for seed in range(12):
        found = symbolic_search(study(planted=False, seed=seed), settings(), silent)
        rejected += bool(np.any(found.p_corrected <= 0.05))
        assert found.selection[1] > 0.04
    # The best of 65 formulas would reach 0.05 nearly always without the correction.
    assert rejected <= 3
    assert "nothing found" in found.statement


def test_formulas_that_cancel_are_ties():
    trials = grid_trials((3, 3), data_sets=("a", "c"))
    h0 = np.exp(trials.hyperparameters["h0"] * np.log(3.0) + 0.1)
    trials = trials.with_measures({"u": h0, "v": h0**2 * 7})
    found = symbolic_search(trials, settings(), silent)
    # u^−2 · v is constant: it must not win by rounding.
    assert found.selection[1] == pytest.approx(found.selection[0], abs=1e-6)


def test_measures_that_have_no_powers_are_named():
    trials = study()
    trials = trials.with_measures(trials.measures | {"negative": -trials.measures["x"]})
    found = symbolic_search(trials, settings(terms=1), silent)
    assert found.notes == ("left out, not positive and finite in every trial: negative",)
    assert found.tried == (7,)
    with pytest.raises(ValueError, match="no measure is positive"):
        symbolic_search(trials.with_measures({"negative": -trials.measures["x"]}), settings(), silent)


def test_a_formula_in_words_and_values():
    formula = Formula((("a", 1.0), ("b", -0.5)), -1)
    assert formula.text == "-a · b^-0.5"
    np.testing.assert_allclose(formula.values({"a": np.array([2.0]), "b": np.array([4.0])}), 0.0, atol=1e-15)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"held_out": ()}, "held_out is empty"),
        ({"held_out": ("z",)}, "held_out is 'z'"),
        ({"held_out": ("a", "b", "c")}, "every data set is held out"),
        ({"most_formulas": 50}, "more than 50"),
        ({"terms": 9}, "cannot make products of 9"),
    ],
)
def test_bad_searches_are_refused(more, message):
    with pytest.raises(ValueError, match=message):
        symbolic_search(study(), settings(**more), silent)
