import itertools
from collections import defaultdict

import numpy as np
import pytest
from scipy.stats import binom, kendalltau, spearmanr

from ntkinfo.core.progress import silent
from ntkinfo.search.environments import TrialTable, environments, neighbours
from ntkinfo.search.scores import ScoreSettings, granulated_draws, granulated_kendall, kendall
from ntkinfo.search.scores_cells import Cells
from ntkinfo.search.scores_conditional import conditional_information
from ntkinfo.search.scores_partial import partial_correlation
from ntkinfo.search.scores_sign_error import PERCENTILE, sign_error
from ntkinfo.search.scores_significance import permutation_p_values, permuted_rows, step_down
from tests.known_scores import HAND, PLANTED, grid_trials

QUICK = ScoreSettings(resamples=100, permutations=49)


def planted(repeats=2, data_sets=("one", "two")):
    trials = grid_trials((4, 3, 3), repeats, data_sets)
    random = np.random.default_rng(7)
    return trials.with_measures({known.name: known.measure(trials.gap, random) for known in PLANTED})


def tied(seed=3, m=40, measures=3):
    """Trials on two data sets with tied measures and gaps, one measure infinite in places."""
    random = np.random.default_rng(seed)
    columns = {"a": random.integers(0, 3, m), "b": random.integers(0, 2, m), "c": random.integers(0, 2, m)}
    names = np.where(np.arange(m) < m // 2, "one", "two")
    values = {f"u{k}": np.round(random.normal(size=m), 0 if k else 1) for k in range(measures)}
    values["u0"][::9] = np.inf
    return TrialTable(values, np.round(random.normal(size=m), 1), columns, names)


def test_planted_measures_have_their_scores():
    trials = planted()
    tau, psi = kendall(trials, QUICK), granulated_kendall(trials, QUICK)
    wrong = sign_error(trials, QUICK)
    information = conditional_information(trials, QUICK, progress=silent)
    for k, known in enumerate(PLANTED):
        np.testing.assert_allclose(tau.value[k], known.tau, atol=1e-14)
        np.testing.assert_allclose(psi.psi[k], known.tau, atol=1e-14)
        np.testing.assert_allclose(psi.score.value[k], known.tau, atol=1e-14)
        np.testing.assert_allclose(psi.by_data_set[k], known.tau, atol=1e-14)
        np.testing.assert_allclose(wrong.errors[k], known.sign_error, atol=1e-14)
        np.testing.assert_allclose([wrong.worst[k], wrong.percentile[k]], known.sign_error, atol=1e-14)
        np.testing.assert_allclose(information.score.value[k], known.information, atol=1e-10)
        np.testing.assert_allclose(information.adjusted[k], known.direction * known.information, atol=1e-10)
        assert information.direction[k] == known.direction
        worthless = known.direction == 0
        for score in (tau, psi.score, wrong.score, information.score):
            assert score.p_corrected[k] == 1 if worthless else score.p_corrected[k] < 0.03, score.name
    assert tau.ceiling == pytest.approx(1)
    assert psi.score.ceiling == pytest.approx(1)
    assert wrong.score.ceiling == 0


def test_four_trials_counted_by_hand():
    columns = {"h0": np.array(HAND.h0), "h1": np.array(HAND.h1)}
    trials = TrialTable({"u": np.array(HAND.measure)}, np.array(HAND.gap), columns, np.full(4, "d"))
    assert kendall(trials).value[0] == pytest.approx(HAND.tau, abs=1e-15)
    assert granulated_kendall(trials, QUICK).score.value[0] == pytest.approx(HAND.psi, abs=1e-15)


def test_kendall_with_ties_is_scipys():
    trials = tied()
    b, a = kendall(trials, ties="b"), kendall(trials, ties="a")
    for k, values in enumerate(trials.measures.values()):
        parts = [kendalltau(values[r], trials.gap[r])[0] for r in trials.parts]
        assert b.value[k] == pytest.approx(np.mean(parts), abs=1e-14)
        counted = []
        for r in trials.parts:
            v, g = np.nan_to_num(values[r], posinf=1e9), trials.gap[r]
            pairs = itertools.combinations(range(len(r)), 2)
            counted.append(np.mean([np.sign(v[i] - v[j]) * np.sign(g[i] - g[j]) for i, j in pairs]))
        assert a.value[k] == pytest.approx(np.mean(counted), abs=1e-14)
    assert a.ceiling < 1 == pytest.approx(b.ceiling)
    assert np.isnan(kendall(planted(), ties="b").value[-1])


@pytest.mark.parametrize("ties", ["a", "b"])
def test_jackknife_of_kendall_is_leaving_out_each_trial(ties):
    trials = tied().of(["one"])
    score = kendall(trials, ScoreSettings(level=0.6827), ties)
    m = len(trials.gap)
    left = np.array([kendall(trials.select(np.arange(m) != i), ties=ties).value for i in range(m)])
    error = np.sqrt((m - 1) * left.var(axis=0))
    width = (np.arctanh(score.upper) - np.arctanh(score.lower)) / 2
    np.testing.assert_allclose(width * (1 - score.value**2), error, rtol=1e-3)


def test_null_deviation_of_kendall_is_that_of_permutations():
    trials = tied()
    score = kendall(trials)
    rows = permuted_rows(trials.data_set, 400, 5)
    tables = [TrialTable(trials.measures, trials.gap[r], trials.hyperparameters, trials.data_set) for r in rows]
    drawn = np.array([kendall(t).value for t in tables])
    # A standard deviation from n draws is known to about 1/√(2n), four of which are allowed.
    np.testing.assert_allclose(drawn.std(axis=0), score.null_std, rtol=4 / np.sqrt(2 * len(rows)))
    np.testing.assert_array_less(np.abs(drawn.mean(axis=0)), 4 * score.null_std / np.sqrt(len(rows)))


def by_groups(trials, values):
    """ψ of every hyperparameter by loops over groups, one data set after the other, then averaged."""
    columns = list(trials.hyperparameters.values())
    found = []
    for h in range(len(columns)):
        parts = []
        for rows in trials.parts:
            groups = defaultdict(list)
            for i in rows:
                groups[tuple(c[i] for k, c in enumerate(columns) if k != h)].append(i)
            taus = []
            for members in groups.values():
                pairs = [(i, j) for i, j in itertools.combinations(members, 2) if columns[h][i] != columns[h][j]]
                if pairs:
                    signs = [np.sign(values[i] - values[j]) * np.sign(trials.gap[i] - trials.gap[j]) for i, j in pairs]
                    taus.append(np.mean(signs))
            parts.append(np.mean(taus))
        found.append(np.mean(parts))
    return found


def test_granulated_coefficients_by_loops_over_groups():
    trials = tied()
    finite = trials.with_measures({n: np.nan_to_num(v, posinf=1e9) for n, v in trials.measures.items()})
    score = granulated_kendall(trials, QUICK)
    for k, values in enumerate(finite.measures.values()):
        expected = by_groups(trials, values)
        np.testing.assert_allclose(score.psi[k], expected, atol=1e-14)
        assert score.score.value[k] == pytest.approx(np.mean(expected), abs=1e-14)
    pairs = neighbours(trials)
    cells = Cells.of(pairs, 3)
    products = (pairs.signs(trials.ranks) * pairs.signs(trials.gap_ranks))[:, cells.order]
    np.testing.assert_allclose(products @ cells.linear, score.score.value, atol=1e-14)


def test_bootstrap_spread_of_psi_against_the_dyadic_variance():
    """Variance of a mean over pairs by sums over trials (Aronow et al. 2015): pairs matter that share one."""
    trials = grid_trials((4, 4, 4))
    random = np.random.default_rng(2)
    trials = trials.with_measures(
        {f"u{k}": trials.gap + s * random.normal(size=64) for k, s in enumerate((0.03, 0.1, 1.0))}
    )
    settings = ScoreSettings(resamples=2000)
    drawn = granulated_draws(trials, settings).std(axis=1)
    pairs = neighbours(trials)
    cells = Cells.of(pairs, 3)
    products = (pairs.signs(trials.ranks) * pairs.signs(trials.gap_ranks))[:, cells.order].astype(float)
    left = (products - (products @ cells.linear)[:, None]) * cells.linear
    for k in range(3):
        ends = (pairs.first[cells.order], pairs.second[cells.order])
        nodes = sum(np.bincount(end, weights=left[k], minlength=64) for end in ends)
        exact, private = (nodes**2).sum() - (left[k] ** 2).sum(), (left[k] ** 2).sum()
        # Products of weights count what is private to a pair three times: conservative.
        assert drawn[k] ** 2 > exact
        assert drawn[k] ** 2 == pytest.approx(exact + 2 * private, rel=0.25)


def test_sign_errors_by_loops():
    random = np.random.default_rng(4)
    trials = grid_trials((3, 2), repeats=6, data_sets=("one", "two"), noise=2.0)
    trials = TrialTable({"u": random.normal(size=72), "v": trials.gap + random.normal(size=72) / 9}, trials.gap,
                        trials.hyperparameters, trials.data_set, np.full(72, 800))  # fmt: skip
    for by in ("values", "combinations"):
        score = sign_error(trials, QUICK, by, 4.0)
        parts = environments(trials, by, 4.0)
        ends = np.append(parts.start[1:], len(parts.weight))
        for k, values in enumerate(trials.measures.values()):
            for e, (begin, end) in enumerate(zip(parts.start, ends, strict=True)):
                total = weight = 0.0
                for i, j in zip(parts.pairs.first[begin:end], parts.pairs.second[begin:end], strict=True):
                    difference = abs(trials.gap[i] - trials.gap[j])
                    w = max(0.0, max(0.0, 1 - 2 * np.exp(-800 * difference**2 / 2)) ** 2 - 0.5)
                    sign = np.sign(values[i] - values[j]) * np.sign(trials.gap[i] - trials.gap[j])
                    total, weight = total + w * (1 - sign) / 2, weight + w
                assert score.errors[k, e] == pytest.approx(total / weight, abs=1e-12)
        np.testing.assert_allclose(score.percentile, np.quantile(score.errors, PERCENTILE, axis=1))
        assert len(score.labels) == score.errors.shape[1]
        np.testing.assert_array_equal(score.worst, score.errors.max(axis=1))
        assert np.all((score.score.lower <= score.score.value) & (score.score.value <= score.score.upper))
    assert "one: h0 0.0 to 1.0 at h1 0.0" in score.labels


def test_sign_error_of_chance_is_a_half_within_its_null_law():
    trials = grid_trials((4, 3, 3), 4)
    random = np.random.default_rng(8)
    trials = trials.with_measures({f"u{k}": random.normal(size=len(trials.gap)) for k in range(8)})
    score = sign_error(trials, ScoreSettings(resamples=50, permutations=199)).score
    np.testing.assert_allclose(score.null_mean, 0.5, atol=4 * score.null_std.max() / np.sqrt(199))
    np.testing.assert_array_less(np.abs(score.value - 0.5), 4 * score.null_std)


def test_partial_correlation_is_regression_on_indicators():
    trials = tied(m=60)
    finite = trials.with_measures({n: np.nan_to_num(v, posinf=1e9) for n, v in trials.measures.items()})
    score = partial_correlation(trials, ["a", "b"], QUICK)
    for k, values in enumerate(finite.measures.values()):
        parts = []
        for rows in trials.parts:
            cells = trials.codes[0, rows] * 2 + trials.codes[1, rows]
            dummies = (cells[:, None] == np.unique(cells)).astype(float)
            left = []
            for v in (values[rows], trials.gap[rows]):
                ranks = np.argsort(np.argsort(v, kind="stable")).astype(float)
                for value in np.unique(v):
                    ranks[v == value] = ranks[v == value].mean()
                left.append(ranks - dummies @ np.linalg.lstsq(dummies, ranks, rcond=None)[0])
            parts.append(np.corrcoef(left)[0, 1])
        assert score.value[k] == pytest.approx(np.mean(parts), abs=1e-12)


def test_partial_correlation_without_controls_is_spearmans_and_vanishes_for_functions_of_the_controls():
    trials = grid_trials((4, 3, 3))
    random = np.random.default_rng(1)
    function = 3.0 ** trials.hyperparameters["h0"] * (1 + trials.hyperparameters["h1"] % 2)
    trials = trials.with_measures({"u": random.normal(size=36), "function": function})
    plain = partial_correlation(trials, [], QUICK)
    assert plain.value[0] == pytest.approx(spearmanr(trials.measures["u"], trials.gap)[0], abs=1e-12)
    assert abs(plain.value[1]) > 0.3
    given = partial_correlation(trials, ["h0", "h1"], QUICK)
    assert given.value[1] == 0
    assert given.p_corrected[1] == 1
    with pytest.raises(ValueError, match="no two trials agree"):
        partial_correlation(trials, ["h0", "h1", "h2"], QUICK)


def test_holms_correction_of_a_known_example():
    # Holm 1979: sorted p times 4, 3, 2, 1, made monotone.
    np.testing.assert_allclose(step_down(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    corrected = step_down(np.array([0.2, np.nan, 0.01]))
    np.testing.assert_allclose(corrected, [0.2, np.nan, 0.02])


def test_correction_for_the_best_of_many_worthless_measures():
    """Among 15 worthless measures the best is called significant at 0.1 in about a tenth of the studies, not more."""
    studies, found, alone = 150, 0, 0
    base = grid_trials((3, 3, 2), noise=3.0)
    for seed in range(studies):
        random = np.random.default_rng(100 + seed)
        values = {f"u{k}": random.normal(size=18) for k in range(15)}
        trials = TrialTable(values, random.normal(size=18), base.hyperparameters, base.data_set)
        score = granulated_kendall(trials, ScoreSettings(resamples=20, permutations=39, seed=seed)).score
        found += bool(np.any(score.p_corrected <= 0.1))
        alone += int(np.sum(score.p_value <= 0.1))
        assert np.all(score.p_corrected >= score.p_value)
    assert found <= binom.ppf(0.9999, studies, 0.1)
    # And it is not correct by never rejecting; uncorrected p are those of one measure.
    assert found >= binom.ppf(0.0001, studies, 0.1)
    assert abs(alone / (15 * studies) - 0.1) < 0.03


def test_permutation_p_counts_draws_that_reach_the_score():
    null = np.array([[-1.0, 0.0, 1.0, 0.5], [0.0, 0.0, 0.0, 0.0]])
    p, corrected = permutation_p_values(np.array([3.0, 0.0]), null)
    np.testing.assert_allclose(p, [1 / 5, 1])
    np.testing.assert_allclose(corrected, [1 / 5, 1])


def test_permutations_keep_groups():
    groups = np.array([2, 0, 1, 0, 2, 2])
    rows = permuted_rows(groups, 50, 0)
    assert np.all(groups[rows] == groups)
    assert len({tuple(r) for r in rows}) > 8
    assert all(sorted(r) == list(range(6)) for r in rows)


def test_scores_repeat_with_their_seed_and_not_with_another():
    trials = planted().with_measures({"u": np.random.default_rng(0).normal(size=144)})
    first, again = (granulated_kendall(trials, QUICK).score for _ in range(2))
    other = granulated_kendall(trials, ScoreSettings(resamples=100, permutations=49, seed=1)).score
    assert first.lower == again.lower
    assert first.null_std == again.null_std
    assert first.value == other.value
    assert first.lower != other.lower


def coverage(studies, resamples):
    """Shares of studies whose intervals hold the expected score: τ, Ψ, mean sign error, partial correlation."""
    base = grid_trials((3, 3, 3), repeats=2)
    places = np.array(list(base.hyperparameters.values())).T

    def study(seed):
        random = np.random.default_rng(seed)
        signal = 0.1 * (places @ np.linspace(0.5, 1, 3))
        gap = signal + 0.08 * random.normal(size=len(signal))
        # Only noise and a part of the signal in common: pairs agree more often than not.
        values = {"u": 0.5 * gap + 0.08 * random.normal(size=len(gap))}
        return TrialTable(values, gap, base.hyperparameters, base.data_set)

    def scores(trials, settings):
        return (
            granulated_kendall(trials, settings).score,
            sign_error(trials, settings).score,
            partial_correlation(trials, ["h0"], settings),
        )

    fewest = ScoreSettings(resamples=20, permutations=19)
    truth = np.mean([[s.value[0] for s in scores(study(seed), fewest)] for seed in range(10_000, 10_150)], axis=0)
    inside = np.zeros(3)
    for seed in range(studies):
        found = scores(study(seed), ScoreSettings(resamples=resamples, permutations=19, seed=seed))
        inside += [s.lower[0] <= t <= s.upper[0] for s, t in zip(found, truth, strict=True)]
    return inside / studies


def test_intervals_hold_the_expected_score():
    share = coverage(30, 60)
    assert np.all(share >= binom.ppf(0.0005, 30, 0.93) / 30)


@pytest.mark.slow
def test_intervals_hold_the_expected_score_in_the_stated_share_of_studies():
    share = coverage(600, 400)
    # At least the nominal 0.95 for Ψ and sign error, which are conservative, to the error of 600 studies.
    assert np.all(share[:2] >= binom.ppf(0.001, 600, 0.95) / 600)
    assert share[2] >= binom.ppf(0.001, 600, 0.93) / 600


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"level": 1.0}, "coverage"),
        ({"resamples": 3}, "at least 20"),
        ({"permutations": 5}, "at least 19"),
        ({"seed": -1}, "at least 0"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ScoreSettings(**settings)


def test_bad_requests_are_refused():
    trials = planted()
    with pytest.raises(ValueError, match="ties is 'c'"):
        kendall(trials, ties="c")
    with pytest.raises(ValueError, match="at least 4"):
        kendall(trials.select(np.arange(3)))
    with pytest.raises(ValueError, match="did you mean 'h0'"):
        partial_correlation(trials, ["h00"])
    with pytest.raises(ValueError, match="by is 'pairs'"):
        sign_error(trials, QUICK, "pairs")
