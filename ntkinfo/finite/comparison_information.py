"""The same informations from the members' samples as from the law, with the bias that the number of members brings.

A mean and a variance are fitted to the members at every input, and the informations of that fitted Gaussian law are
computed as those of the law itself are. Fitted means scatter, so inputs look further apart than they are and every
information comes out too large, the more so the smaller the variance. How much is measured on ensembles of as many
members drawn from the law.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import to_numpy
from ntkinfo.core.progress import Track, silent
from ntkinfo.finite.comparison_members import SPLITS, LawMembers, Outputs, member_count
from ntkinfo.information.output import information_output
from ntkinfo.information.training_set import relative_entropy_per_input
from ntkinfo.training.output_distribution import OutputDistribution
from ntkinfo.training.output_law import OutputLaw

MEANINGS = {
    "information_input": "I(Z;X) of the Gaussian fitted at every input",
    "information_target": "I(Z;Y) of the same",
    "information_training_set": "KL of the same from the law at the start, averaged over the inputs: bounds I(Z;D|X)",
}


@checked
@dataclass(frozen=True)
class InformationSettings:
    """How informations of members are computed.

    Args:
        replicates: ensembles from the law, for bias and standard deviation by chance.
        samples: Monte Carlo draws an input where there is no quadrature; None for the default of `information_input`.
        seed: of the draws (the same for members and law, so that their noise cancels) and of the ensembles.

    Raises:
        TypeError, ValueError: a number out of range.
    """

    replicates: int = 12
    samples: int | None = None
    seed: int = 0

    def __post_init__(self):
        checks.whole("replicates", self.replicates, least=4)
        checks.whole("seed", self.seed, least=0)


@dataclass(frozen=True)
class MemberInformation:
    """One information on one split over time, in nats.

    Args:
        name: of the quantity, as in the curves.
        split: "train" or "test".
        law: (T,), of the law.
        fitted: (T,), of the Gaussian fitted to the members, as it comes out.
        bias: (T,), mean of the same over ensembles drawn from the law, less `law`.
        std: (T,), its standard deviation over them: what chance does at this number of members.
        replicates: how many such ensembles.
    """

    name: str
    split: str
    law: Float[np.ndarray, " t"]
    fitted: Float[np.ndarray, " t"]
    bias: Float[np.ndarray, " t"]
    std: Float[np.ndarray, " t"]
    replicates: int

    @property
    def corrected(self) -> Float[np.ndarray, " t"]:
        """The members' value less the bias under the law."""
        return self.fitted - self.bias

    @property
    def score(self) -> Float[np.ndarray, " t"]:
        """Corrected value minus the law's in standard deviations, Student's t with replicates − 1 under the law."""
        error = self.std * np.sqrt(1 + 1 / self.replicates)
        return (self.corrected - self.law) / np.where(error > 0, error, np.nan)


@checked
def information_of_members(
    outputs: Outputs,
    law: OutputDistribution,
    settings: InformationSettings | None = None,
    progress: Track = silent,
) -> list[MemberInformation]:
    """Informations from the members' samples beside those of the law.

    Args:
        outputs: (T, M, p, C) by split, at the times of the law.
        law: of infinite width.
        settings: replicates and draws.
        progress: shown over the ensembles from the law.

    Returns:
        I(Z;X), I(Z;Y) where there are classes, and the relative entropy behind the bound on I(Z;D|X), for each split.

    Raises:
        ValueError: shapes that do not fit, fewer than two members.

    Fails when the members are far from Gaussian: what is computed is the information of the Gaussian with their means
    and variances, no bound on that of the members. Bias and deviation are those under the law.
    """
    settings = settings or InformationSettings()
    members = member_count(outputs)
    known = _of_law(law, settings)
    found = _of_outputs(outputs, law, settings)
    drawn, source = [], LawMembers(law)
    seeds = np.random.SeedSequence([settings.seed, 1]).spawn(settings.replicates)
    for seed in progress(seeds, "informations of ensembles from the law"):
        drawn.append(_of_outputs(source.draw(seed, members), law, settings))
    return [_record(key, known[key], found[key], [one[key] for one in drawn]) for key in known]


Values = dict[tuple[str, str], np.ndarray]


def _record(key: tuple[str, str], law: np.ndarray, fitted: np.ndarray, drawn: list[np.ndarray]) -> MemberInformation:
    rows = np.stack(drawn)
    return MemberInformation(*key, law, fitted, rows.mean(axis=0) - law, rows.std(axis=0, ddof=1), replicates=len(rows))


def _of_law(law: OutputDistribution, settings: InformationSettings) -> Values:
    parts = {split: (to_numpy(one.mean), to_numpy(one.variance)) for split, one in _laws(law).items()}
    return _all(parts, law, settings)


def _of_outputs(outputs: Outputs, law: OutputDistribution, settings: InformationSettings) -> Values:
    parts = {}
    for split in SPLITS:
        given = np.asarray(outputs[split], dtype=np.float64)
        parts[split] = given.mean(axis=1), given.var(axis=1, ddof=1).mean(axis=-1)
    return _all(parts, law, settings)


def _laws(law: OutputDistribution) -> Mapping[str, OutputLaw]:
    return {"train": law.train, "test": law.test}


def _all(parts: Mapping[str, tuple[np.ndarray, np.ndarray]], law: OutputDistribution, settings: InformationSettings):
    labels = {"train": law.data.labels_train, "test": law.data.labels_test}
    found: Values = {}
    for split, (mean, variance) in parts.items():
        rows = [_at_one_time(m, v, labels[split], settings) for m, v in zip(mean, variance, strict=True)]
        for name in rows[0]:
            found[name, split] = np.array([row[name] for row in rows])
        with np.errstate(divide="ignore"):
            logs = np.log(variance)
        start = to_numpy(_laws(law)[split].initial_variance)
        entropy = to_numpy(relative_entropy_per_input(mean, logs, start))
        found["information_training_set", split] = entropy.mean(axis=1)
    return found


def _at_one_time(
    mean: Float[np.ndarray, "p c"],
    variance: Float[np.ndarray, " p"],
    labels: Int[np.ndarray, " p"] | None,
    settings: InformationSettings,
) -> dict[str, float]:
    # For two outputs quadrature would take longer than all the rest; the same draws serve members and law instead.
    tolerance = 1e-9 if mean.shape[1] == 1 else None
    given, target = information_output(
        mean, variance, labels, seed=settings.seed, samples=settings.samples, tolerance=tolerance
    )
    found = {"information_input": float(given.value.value)}
    if target is not None:
        found["information_target"] = float(target.value.value)
    return found
