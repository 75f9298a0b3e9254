"""What the Gaussian process whose covariance is the kernel says of the targets: evidence, information, bounds."""

from __future__ import annotations

import numpy as np

from ntkinfo.core import checks
from ntkinfo.generalization.bisection import bisect
from ntkinfo.generalization.measure import Measure, NotComputable
from ntkinfo.generalization.views import LawView, RidgeView

_LOG_2PI = float(np.log(2 * np.pi))
_UNKNOWN_RELATIVE_ENTROPY = (
    "the function at the start has another covariance than the kernel that trains it: the relative entropy of the "
    "trained function to it is known on finitely many inputs only, which is not enough for a bound"
)


def evidence(view: RidgeView) -> float:
    """−log N(Y; 0, G_s), each output on its own: ½ tr Yᵀα + ½ C log|G_s| + ½ n C log 2π."""
    kernel, inverse = view.kernel, view.inverse
    fit = float(kernel.energies @ inverse)
    return 0.5 * (fit - kernel.outputs * float(np.sum(np.log(inverse))) + kernel.n * kernel.outputs * _LOG_2PI)


def information_gain(view: RidgeView) -> float:
    """½ C log|I + G/s|: information between the function and noisy targets."""
    return 0.5 * view.kernel.outputs * view.log_gain


def posterior_relative_entropy(view: RidgeView) -> float:
    """KL(posterior ‖ prior) of the whole function: ½ C (log|I + G/s| − tr H) + ½ tr αᵀGα; infinite for s = 0.

    Given its values at the training inputs the function has the same law under both, so that these decide.
    """
    kernel = view.kernel
    if view.ridge == 0:
        return float("inf")
    moved = float(kernel.energies @ (kernel.eigenvalues * view.inverse**2))
    # log(1 + x) − x/(1 + x), summed: each term is never negative.
    spread = float(np.sum(np.log1p(kernel.eigenvalues / view.ridge) - view.shrink))
    return 0.5 * (kernel.outputs * spread + moved)


def pac_bayes_posterior(view: RidgeView) -> float:
    """PAC-Bayes-kl bound on the error of a draw from the posterior."""
    kernel = view.kernel
    error = float(np.mean(kernel.classes.member_error(view.fitted, view.posterior_variance)))
    relative_entropy = posterior_relative_entropy(view)
    return pac_bayes_bound(error, relative_entropy, kernel.n, kernel.settings.failure_probability)


def pac_bayes_trained(view: LawView) -> tuple[np.ndarray, np.ndarray]:
    """PAC-Bayes-kl bound on the error of a member, where the function is linear in its parameters (P = Θ)."""
    procedure = view.law.procedure
    if procedure.prior != procedure.tangent:
        raise NotComputable(_UNKNOWN_RELATIVE_ENTROPY)
    classes = view.classes
    entropies, _ = view.curve("information_parameters_linear")
    errors = view.over_train(lambda mean, variance: np.mean(classes.member_error(mean, variance), axis=1))
    n, delta = len(view.law.data.y_train), view.settings.failure_probability
    bounds = [pac_bayes_bound(float(r), float(kl), n, delta) for r, kl in zip(errors, entropies, strict=True)]
    return np.array(bounds), np.zeros(len(bounds))


def pac_bayes_bound(error: float, relative_entropy: float, n: int, failure_probability: float) -> float:
    """Largest R with kl(error ‖ R) ≤ (KL + log(2 √n/δ))/n.

    With probability 1 − δ over n independent examples it is above the true error of the random classifier, at once for
    all posteriors; `relative_entropy` is that of the posterior to a prior chosen without the data.

    Args:
        error: mean error of the random classifier on the training set, 0 to 1, or an upper bound of it.
        relative_entropy: KL, in nats; infinite gives the bound 1.
        n: examples.
        failure_probability: δ.

    Source: Seeger 2002; Maurer 2004 (the 2 √n).
    """
    checks.probability("error", error)
    checks.whole("n", n)
    checks.positive("failure_probability", failure_probability)
    return invert_bernoulli_entropy(error, (relative_entropy + float(np.log(2 * n**0.5 / failure_probability))) / n)


def invert_bernoulli_entropy(error: float, limit: float) -> float:
    """Largest R in [error, 1] with kl(error ‖ R) ≤ limit, rounded up; by bisection to the last digit."""
    if np.isnan(limit):
        return float("nan")
    return bisect(lambda rate: bernoulli_entropy(error, rate) <= limit, error, 1.0)[1]


def bernoulli_entropy(p: float, q: float) -> float:
    """kl(p ‖ q) between Bernoulli laws, in nats."""
    return _part(p, q) + _part(1 - p, 1 - q)


def _part(p: float, q: float) -> float:
    if p == 0:
        return 0.0
    return p * float(np.log(p / q)) if q > 0 else float("inf")


MEASURES = (
    Measure(
        name="evidence",
        symbol="−log p(Y|X)",
        unit="nat",
        formula="½ tr Yᵀα + ½ C log|G_s| + ½ nC log 2π",
        source="Rasmussen & Williams 2006, 5.4.1",
        needs=("kernel", "ridge", "targets"),
        direction="lower",
        place="ridge",
        function=evidence,
    ),
    Measure(
        name="information_gain",
        symbol="I(f;Y|X)",
        unit="nat",
        formula="½ C log|I + G/s|",
        source="Seeger, Kakade & Foster 2008",
        needs=("kernel", "ridge"),
        direction="lower",
        place="ridge",
        function=information_gain,
    ),
    Measure(
        name="posterior_relative_entropy",
        symbol="KL(posterior‖prior)",
        unit="nat",
        formula="½ C (log|I + G/s| − tr H) + ½ tr αᵀGα",
        source="Seeger 2002",
        needs=("kernel", "ridge", "targets"),
        direction="lower",
        place="ridge",
        function=posterior_relative_entropy,
    ),
    Measure(
        name="pac_bayes_posterior",
        symbol="R̄",
        unit="1",
        formula="kl(R̂‖R̄) = (KL(posterior‖prior) + log(2√n/δ))/n, R̂ the error of a draw from the posterior",
        source="Seeger 2002; Maurer 2004",
        needs=("kernel", "ridge", "targets", "classes"),
        direction="lower",
        place="ridge",
        function=pac_bayes_posterior,
        meaning="upper bound",
        outputs="R̂ exact for one and two outputs, the union bound over wrong classes for more",
    ),
    Measure(
        name="pac_bayes_trained",
        symbol="R̄_t",
        unit="1",
        formula="kl(R̂_t‖R̄_t) = (KL(θ_t‖θ_0) + log(2√n/δ))/n, R̂_t the error of a member, KL of the linear model",
        source="Seeger 2002; Maurer 2004; theory §5.2",
        needs=("law", "targets", "classes", "curves"),
        direction="lower",
        place="curve",
        function=pac_bayes_trained,
        meaning="upper bound",
        outputs="R̂ exact for one and two outputs, the union bound over wrong classes for more",
    ),
)
