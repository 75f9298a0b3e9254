"""Plans: what is shared is counted once, and what does not fit is refused."""

import math
import time

import pytest

from ntkinfo.search import plan as plan_module
from ntkinfo.search.plan import Rates, measured_rates, plan_trials
from ntkinfo.search.space import Space
from ntkinfo.search.trial_description import Outcome, Trial, TrialOptions


def trials(**axes):
    given = {"data": ["wine", "digits"], "n": [16, 32], "depth": [1, 3], "w_std": [1.0, 1.5], "noise": [0.0, 0.2]}
    return Space({**given, "ridge": [0.1, 1.0], "time": [1.0, math.inf], "seed": [0, 1, 2], **axes}).trials()


def test_groups_hold_every_trial_once_and_share_what_can_be_shared():
    some = trials()
    made = plan_trials([*some, *some])
    assert made.trials == len(some) == 2 * 2 * 2 * 2 * 2 * 2 * 2 * 3
    assert len(made.groups) == 2 * 2 * 2 * 3  # data sets, sizes, deviations, seeds
    assert made.kernels == 2 * len(made.groups)  # depths
    assert made.decompositions == 2 * made.kernels
    found = [trial.fingerprint for group in made.groups for trial in group.trials]
    assert sorted(found) == sorted(trial.fingerprint for trial in some)
    for group in made.groups:
        assert {(t.data, t.n, t.w_std, t.seed) for t in group.trials} == {
            (group.trials[0].data, group.trials[0].n, group.trials[0].w_std, group.trials[0].seed)
        }
        depths = [trial.depth for trial in group.trials]
        assert depths == sorted(depths, reverse=True)
        assert group.key == group.trials[0].group
    assert [g.seconds for g in made.groups] == sorted((g.seconds for g in made.groups), reverse=True)


def test_estimates_add_up_and_grow():
    made = plan_trials(trials())
    assert made.seconds == pytest.approx(made.compiling + sum(group.seconds for group in made.groups))
    assert made.elapsed(2) < made.elapsed(1) == pytest.approx(made.seconds)
    larger = plan_trials(trials(n=[32, 64]))
    assert larger.seconds > made.seconds
    assert larger.memory > made.memory
    slower = plan_trials(trials(), Rates().faster(2.0, 3.0))
    assert slower.seconds - slower.compiling > 2 * (made.seconds - made.compiling)
    drawn = Space({"n": [32]}, TrialOptions(quantities="all")).trials()
    assert plan_trials(drawn).seconds > plan_trials(Space({"n": [32]}).trials()).seconds


def test_what_is_printed():
    text = plan_trials(trials()).summary(2)
    assert "384 trials in 24 groups: 48 networks, 96 eigen-decompositions" in text
    assert "on 2 workers" in text
    assert "GiB a worker" in text


def test_rates_are_those_of_this_machine(monkeypatch):
    clock = iter([0.0, 9.0, 10.0, 14.0, 20.0, 23.0])
    monkeypatch.setattr(plan_module.time, "process_time", lambda: next(clock))
    seen = []

    def measure(some):
        seen.append(list(some))
        return [Outcome(trial.fingerprint, {}, None, 0.0) for trial in some]

    some = trials(data=["wine"], n=[16])
    rates = measured_rates(some, measure)
    assert len(seen) == 3
    assert len({trial.depth for trial in seen[0]}) == 1
    # The third run has the trials alone: 3 s. The second one adds what is shared: 1 s.
    timed = plan_trials(seen[0], rates).groups[0]
    assert timed.trial_seconds * len(seen[0]) == pytest.approx(3.0)
    assert timed.shared_seconds == pytest.approx(1.0)


def test_the_timing_is_short_where_trials_are_long():
    seen = []

    def measure(some):
        seen.append(len(some))
        return []

    given = Space({"data": ["wine"], "n": [64], "noise": [0.0, 0.1, 0.2, 0.3]}, TrialOptions(finite_width=512)).trials()
    measured_rates(given, measure)
    assert seen == [1, 1, 1]


def test_what_does_not_fit_is_refused_with_a_remedy(monkeypatch):
    made = plan_trials(trials(data=["digits"], n=[256]))
    made.require_memory(1)
    monkeypatch.setattr(plan_module, "available_memory", lambda: 1e-3)
    with pytest.raises(MemoryError, match="the largest has 256 inputs of digits: take fewer inputs, n_test or workers"):
        made.require_memory(2)


def test_no_trials():
    with pytest.raises(ValueError, match="no trials"):
        plan_trials([])


def test_many_laws_are_planned_in_time_that_grows_with_the_trials():
    """4,000 ridges: 8 s where the times of each law are looked for among all trials."""
    trials = [Trial(ridge=0.1 + 1e-4 * i, time=1.0) for i in range(4000)]
    start = time.process_time()
    assert plan_trials(trials).trials == 4000
    assert time.process_time() - start < 3
