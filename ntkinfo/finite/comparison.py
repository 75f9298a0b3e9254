"""Trained members against the law of infinite width: moments, divergence and shape, each beside what chance alone does.

Hundreds of values are compared at once, so what counts is the largest of them. Ensembles drawn from the law itself
(`comparison_members`) go through the same functions; the largest value at any time, input and output of each such
ensemble makes up the null law that the members' own is held against (Westfall & Young's max-statistic). That keeps the
chance of any false alarm within a family at its level, however strongly inputs and times depend on each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import to_numpy
from ntkinfo.core.linear_algebra import cholesky
from ntkinfo.core.progress import Track, silent
from ntkinfo.finite import gaussianity
from ntkinfo.finite.comparison_divergence import Chance, chance, divergence_joint, divergence_per_input, inputs_together
from ntkinfo.finite.comparison_members import LawMembers, Outputs, member_count
from ntkinfo.finite.comparison_moments import (
    Moments,
    mean_scores,
    sample_moments,
    variance_scores,
    variance_scores_any_shape,
)
from ntkinfo.training.output_distribution import OutputDistribution

AGREEMENT = {
    "mean": "mean over the members, in units of √(v/M)",
    "variance": "variance over the members, in units of v √(2/(C(M − 1)))",
    "divergence": "KL(fitted Gaussian ‖ law) per input, less its mean by chance, in standard deviations",
    "joint divergence": "the same for several test inputs together",
}
SHAPE = {
    "skewness": "skewness per input, in units of √(6/(MC))",
    "kurtosis": "excess kurtosis per input, in units of √(24/(MC))",
    "joint kurtosis": "Mardia's kurtosis of several test inputs and all outputs together, in its standard deviations",
    "projected skewness": "skewness along random directions of the same, in units of √(6/M)",
    "projected kurtosis": "excess kurtosis along random directions of the same, in units of √(24/M)",
}

# Of an output's variance, what other outputs have to leave open for it to be looked at together with them: below this
# the differences are those of rounding. Where many inputs repeat, so many times as many are looked through.
_OPEN, _MORE = 1e-10, 8


def least_replicates(level: float) -> int:
    """Ensembles from the law that it takes for the smallest probability of all to count among all tests of shape."""
    return int(np.ceil(len(SHAPE) / level * (1 - 1e-12))) - 1


@checked
@dataclass(frozen=True)
class ComparisonSettings:
    """How members are compared with the law.

    Args:
        level: chance of any false alarm within a family of values, below 1.
        replicates: ensembles drawn from the law; no probability below 1/(replicates + 1) can be stated.
        null_members: most members of such an ensemble. Where there are more members the null law of this many is used:
            the values are scaled by their standard errors, and the tails of fewer members are the wider ones.
        joint_inputs: test inputs that are taken together, spread evenly over them.
        directions: random directions on which their shape is looked at.
        seed: of the ensembles drawn from the law, and of the directions.
        rounding: size of the rounding errors of an output (about 1e-5 of its size after training in float32). Times and
            inputs where √(v/M) is not ten times as large are left out, and counted in the notes.

    Raises:
        TypeError, ValueError: a number out of range.
    """

    level: float = 0.05
    replicates: int = 199
    null_members: int = 128
    joint_inputs: int = 6
    directions: int = 16
    seed: int = 0
    rounding: float = 0.0

    def __post_init__(self):
        checks.probability("level", self.level)
        for name, least in (("replicates", 1), ("null_members", 20), ("joint_inputs", 1), ("directions", 1)):
            checks.whole(name, getattr(self, name), least=least)
        checks.whole("seed", self.seed, least=0)
        checks.non_negative("rounding", self.rounding)
        if self.replicates < least_replicates(self.level):
            raise ValueError(
                f"replicates is {self.replicates}, too few to judge at the level {self.level:g}; take at least "
                f"{least_replicates(self.level)}, or a higher level"
            )


@dataclass(frozen=True)
class Family:
    """Many values of one kind, judged by the largest.

    Args:
        name: of the kind.
        meaning: what the values are and their unit.
        largest: (T,), the largest size over inputs, outputs and splits at each time; NaN where none is resolved.
        null: (R, T), the same of ensembles drawn from the law.
        count: number of values that were compared.
        level: chance that the largest of all is above `limit` where the members are drawn from the law.
    """

    name: str
    meaning: str
    largest: Float[np.ndarray, " t"]
    null: Float[np.ndarray, "r t"]
    count: int
    level: float

    @cached_property
    def _null_maxima(self) -> np.ndarray:
        return np.sort(np.nanmax(self.null, axis=1))

    @property
    def limit(self) -> float:
        """Exceeded by the largest value of all with probability `level` under the law (a quantile of the null)."""
        place = int(np.ceil((1 - self.level) * (len(self._null_maxima) + 1))) - 1
        return float(self._null_maxima[min(place, len(self._null_maxima) - 1)])

    @property
    def expected(self) -> float:
        """Median of the largest value of all under the law."""
        return float(np.median(self._null_maxima))

    @property
    def p_values(self) -> Float[np.ndarray, " t"]:
        """Probability under the law of a value this large at any time: at least 1/(R + 1); NaN where none is."""
        above = len(self._null_maxima) - np.searchsorted(self._null_maxima, self.largest, side="left")
        return np.where(np.isnan(self.largest), np.nan, (1 + above) / (1 + len(self._null_maxima)))

    @property
    def p_value(self) -> float:
        """Probability under the law of the largest value of all, or a larger one."""
        return float(np.nanmin(self.p_values))


@dataclass(frozen=True)
class SplitComparison:
    """One split at every time and input; NaN where the variance is too small for the precision of the members.

    Args:
        moments: of the members.
        mean_score: (T, p, C), mean minus the law's in units of √(v/M).
        variance_score: (T, p), variance minus the law's in units of its Gaussian standard error.
        variance_score_any_shape: (T, p), the same by the members' own spread.
        divergence: (T, p), KL(fitted Gaussian ‖ law) in nats less its mean by chance; below 0 where chance was kind.
        divergence_std: its standard deviation by chance, the same everywhere.
        resolved: (T, p), where the comparison was made.
    """

    moments: Moments
    mean_score: Float[np.ndarray, "t p c"]
    variance_score: Float[np.ndarray, "t p"]
    variance_score_any_shape: Float[np.ndarray, "t p"]
    divergence: Float[np.ndarray, "t p"]
    divergence_std: float
    resolved: Bool[np.ndarray, "t p"]


@dataclass(frozen=True)
class Comparison:
    """An ensemble against the law.

    Args:
        times: (T,), in the caller's unit.
        members: number of members M.
        splits: "train" and "test".
        joint_divergence: (T,), KL of the jointly fitted Gaussian from the law in nats, less its mean by chance.
        joint_chance: its mean, which is taken off, and its standard deviation by chance.
        joint_inputs: indices of the test inputs that were taken together.
        agreement: families of mean, variance and divergence.
        shape: families that tell whether the outputs are normal.
        notes: what was left out or approximated.
    """

    times: Float[np.ndarray, " t"]
    members: int
    splits: Mapping[str, SplitComparison]
    joint_divergence: Float[np.ndarray, " t"]
    joint_chance: Chance
    joint_inputs: tuple[int, ...]
    agreement: Mapping[str, Family]
    shape: Mapping[str, Family]
    notes: tuple[str, ...] = field(default=())


@checked
class Comparator:
    """Compares ensembles with one law; null laws are simulated once for each number of members.

    Args:
        law: at the recorded times.
        settings: level, replicates, what is taken together.

    Raises:
        ValueError: infinite times, where no trained network gets; blocks without a source.
    """

    def __init__(self, law: OutputDistribution, settings: ComparisonSettings | None = None):
        if np.isinf(law.times[-1]):
            raise ValueError("times holds infinity, which no trained network reaches; leave it out")
        self.law, self.settings = law, settings or ComparisonSettings()
        self._members = LawMembers(law)
        laws = {"train": law.train, "test": law.test}
        self._mean = {split: to_numpy(one.mean) for split, one in laws.items()}
        self._variance = {split: to_numpy(one.variance) for split, one in laws.items()}
        self._chosen, self._lower = self._taken_together()
        self._nulls: dict[tuple[int, bytes], dict[str, np.ndarray]] = {}

    def compare(self, outputs: Outputs, progress: Track = silent) -> Comparison:
        """Hold members' outputs against the law.

        Args:
            outputs: (T, M, p, C) by split, "train" and "test".
            progress: shown over the ensembles drawn from the law.

        Raises:
            ValueError: shapes that do not fit the law, NaN or infinite outputs, fewer than 20 members.
        """
        members = member_count(outputs)
        if members < gaussianity.LEAST_MEMBERS:
            raise ValueError(f"{members} members are too few; fourth moments take at least {gaussianity.LEAST_MEMBERS}")
        resolved = {split: self._resolved(split, members) for split in self._mean}
        splits = {split: self._split(split, outputs[split], resolved[split]) for split in self._mean}
        found = self._values(splits, outputs["test"][:, :, self._chosen])
        null = self._null(min(members, self.settings.null_members), resolved, progress)
        families = {
            name: Family(name, text, _largest(found[name]), null[name], _count(found[name]), self.settings.level)
            for name, text in {**AGREEMENT, **SHAPE}.items()
        }
        joint = chance(members, self.law.n_outputs, len(self._chosen))
        return Comparison(
            times=self.law.times,
            members=members,
            splits=splits,
            joint_divergence=self._joint(outputs["test"][:, :, self._chosen]) - joint.mean,
            joint_chance=joint,
            joint_inputs=tuple(int(index) for index in self._chosen),
            agreement={name: families[name] for name in AGREEMENT},
            shape={name: families[name] for name in SHAPE},
            notes=self._notes(members, resolved),
        )

    def _resolved(self, split: str, members: int) -> np.ndarray:
        return np.sqrt(self._variance[split] / members) > 10 * self.settings.rounding

    def _split(self, split: str, outputs: np.ndarray, resolved: np.ndarray) -> SplitComparison:
        moments, variance = (
            sample_moments(outputs, self._mean[split]),
            np.where(resolved, self._variance[split], np.nan),
        )
        by_chance = chance(moments.members, moments.outputs)
        return SplitComparison(
            moments,
            mean_scores(moments, variance),
            variance_scores(moments, variance),
            variance_scores_any_shape(moments, variance),
            divergence_per_input(moments, variance) - by_chance.mean,
            by_chance.std,
            resolved,
        )

    def _values(self, splits: Mapping[str, SplitComparison], together: np.ndarray) -> dict[str, list[np.ndarray]]:
        """Every family's values, scaled, as arrays whose first axis is time."""
        both, members = list(splits.values()), together.shape[1]
        joint = chance(members, self.law.n_outputs, len(self._chosen))
        white = gaussianity.whitened(together)
        along = gaussianity.directions(white.shape[2], self.settings.directions, self.settings.seed)
        skewness, kurtosis = gaussianity.projection_scores(white, along)
        shapes = [np.where(one.resolved, 1.0, np.nan) for one in both]
        return {
            "mean": [np.abs(one.mean_score) for one in both],
            "variance": [np.abs(one.variance_score) for one in both],
            "divergence": [one.divergence / one.divergence_std for one in both],
            "joint divergence": [(self._joint(together) - joint.mean) / joint.std],
            "skewness": [
                np.abs(gaussianity.skewness_scores(one.moments)) * kept for one, kept in zip(both, shapes, strict=True)
            ],
            "kurtosis": [
                np.abs(gaussianity.kurtosis_scores(one.moments)) * kept for one, kept in zip(both, shapes, strict=True)
            ],
            "joint kurtosis": [np.abs(gaussianity.joint_kurtosis_scores(white, self.law.n_outputs))],
            "projected skewness": [np.abs(skewness)],
            "projected kurtosis": [np.abs(kurtosis)],
        }

    def _joint(self, together: np.ndarray) -> np.ndarray:
        return divergence_joint(together, self._mean["test"][:, self._chosen], self._lower)

    def _taken_together(self) -> tuple[np.ndarray, np.ndarray]:
        """Test inputs that are taken together, and Cholesky factors of the law's covariance of them at every time.

        Spread evenly over the rows that differ; where the others determine an output, as at inputs that nearly repeat,
        the next one takes its place.
        """
        count, test = self.settings.joint_inputs, self.law.test
        _, first = np.unique(self.law.data.x_test.reshape(len(self.law.data.x_test), -1), axis=0, return_index=True)
        rows = np.sort(first)
        order = np.concatenate([_spread(len(rows), count), _spread(len(rows), _MORE * count)])
        rows = rows[list(dict.fromkeys(order.tolist()))]
        parts = [to_numpy(test.covariance(float(time)))[np.ix_(rows, rows)] for time in self.law.times]
        variance = max(float(np.mean(np.diagonal(part))) for part in parts)
        least = max(_OPEN, (10 * self.settings.rounding) ** 2 / variance) if variance > 0 else _OPEN
        kept, lower = inputs_together(np.stack(parts), count, least)
        if not kept:
            for part in parts:
                cholesky(part[:1, :1], "the covariance of the inputs taken together")
        # In the order of the rows, for whoever reads the indices.
        order = np.argsort(rows[kept])
        chosen = rows[kept][order]
        if not np.array_equal(order, np.arange(len(order))):
            places = np.array(kept)[order]
            lower = np.stack([cholesky(part[np.ix_(places, places)], "the covariance") for part in parts])
        return chosen, lower

    def _null(self, members: int, resolved: Mapping[str, np.ndarray], progress: Track) -> dict[str, np.ndarray]:
        """The largest values (R, T) of every family in ensembles of this many members from the law."""
        key = (members, b"".join(np.packbits(one).tobytes() for one in resolved.values()))
        if key not in self._nulls:
            seeds = np.random.SeedSequence(self.settings.seed).spawn(self.settings.replicates)
            rows = [self._largest_of(seed, members, resolved) for seed in progress(seeds, "ensembles from the law")]
            self._nulls[key] = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        return self._nulls[key]

    def _largest_of(
        self, seed: np.random.SeedSequence, members: int, resolved: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        drawn = self._members.draw(seed, members)
        splits = {split: self._split(split, drawn[split], resolved[split]) for split in self._mean}
        return {name: _largest(v) for name, v in self._values(splits, drawn["test"][:, :, self._chosen]).items()}

    def _notes(self, members: int, resolved: Mapping[str, np.ndarray]) -> tuple[str, ...]:
        notes = list(self.law.notes)
        for split, kept in resolved.items():
            if not np.all(kept):
                notes.append(
                    f"{np.sum(~kept)} of {kept.size} times and {split} inputs left out: √(v/M) is below ten times the "
                    f"rounding {self.settings.rounding:.1e} of the members"
                )
        if members > self.settings.null_members:
            notes.append(f"null law of {self.settings.null_members} members used for {members}")
        wanted = min(self.settings.joint_inputs, len(self.law.data.x_test))
        if len(self._chosen) < wanted:
            notes.append(
                f"{len(self._chosen)} test inputs taken together instead of {wanted}: the outputs at the others are "
                "determined by these, as where inputs repeat"
            )
        if not self._members.joint:
            notes.append("with gradient noise the null law takes times and splits as independent of each other")
        return tuple(notes)


def _spread(length: int, count: int) -> np.ndarray:
    """At most `count` places, spread evenly over so many."""
    return np.unique(np.linspace(0, length - 1, min(count, length)).round().astype(int))


def _largest(values: list[np.ndarray]) -> np.ndarray:
    """(T,), the largest at each time; NaN where there is none."""
    rows = np.concatenate([one.reshape(len(one), -1) for one in values], axis=1)
    return np.where(np.all(np.isnan(rows), axis=1), np.nan, np.max(np.where(np.isnan(rows), -np.inf, rows), axis=1))


def _count(values: list[np.ndarray]) -> int:
    return int(sum(np.sum(~np.isnan(one)) for one in values))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's correction: the chance of any false rejection among all of these at once stays at the level."""
    ordered = sorted(p_values, key=lambda name: p_values[name])
    adjusted, worst = {}, 0.0
    for rank, name in enumerate(ordered):
        worst = max(worst, min(1.0, (len(ordered) - rank) * p_values[name]))
        adjusted[name] = worst
    return {name: adjusted[name] for name in p_values}
