"""Estimates of the test error of kernel ridge regression from the kernel's spectrum.

`eigenlearning` predicts it from a known spectrum of the kernel as an operator. The measures put in what the training
set shows of it: the capture threshold κ̂, which is all but unbiased, λ_i/n for the operator's eigenvalues and ŷ_i²/n for
the squared coefficients, which are biased from ranks of about n/2 on, so that the predicted error comes out too small.
KARE uses no spectrum of the operator.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from ntkinfo.core import checks
from ntkinfo.generalization.bisection import bisect
from ntkinfo.generalization.measure import Measure, NotComputable
from ntkinfo.generalization.views import RidgeView


@dataclass(frozen=True)
class Eigenlearning:
    """What kernel ridge regression on n random inputs does on average.

    Args:
        threshold: κ: eigenvalues well above it are learned.
        learnabilities: (M,) L_i = λ_i/(λ_i + κ).
        overfitting: E₀ = n/(n − Σ L_i²); infinite where n = Σ L_i².
        test_error: mean squared error on fresh inputs with noisy targets.
        train_error: mean squared error on the training set.
        learnability: share Σ L_i v_i²/Σ v_i² of the function that is learned.
    """

    threshold: float
    learnabilities: Float[np.ndarray, " modes"]
    overfitting: float
    test_error: float
    train_error: float
    learnability: float


def eigenlearning(
    eigenvalues: Float[np.ndarray, " modes"],
    squared_coefficients: Float[np.ndarray, " modes"],
    n: int,
    ridge: float,
    noise_variance: float = 0.0,
) -> Eigenlearning:
    """Mean errors of kernel ridge regression on n independent inputs, from the kernel's spectrum as an operator.

    Args:
        eigenvalues: (M,), of the kernel as an integral operator over the law of the inputs.
        squared_coefficients: (M,), v_i² of the function in the operator's orthonormal eigenfunctions.
        n: training inputs.
        ridge: δ, what is added to the kernel matrix.
        noise_variance: σ² of the targets, on fresh inputs too.

    Raises:
        ValueError: eigenvalues that are all 0 or below 0.

    Fails when n is small or the eigenfunctions are far from independent: it is the limit of many inputs and modes.
    Source: Simon et al. 2021; Jacot et al. 2020; Canatar et al. 2021.
    """
    kappa = threshold(eigenvalues, n, ridge)
    found = _at_threshold(kappa, eigenvalues, squared_coefficients, n, noise_variance)
    # δ/(nκ) = 1 − Σ L_i/n, also where both δ and κ are 0; where it is 0 the targets are met exactly.
    free = ridge / (n * kappa) if ridge > 0 else 0.0
    if ridge == 0 and kappa == 0:
        free = 1 - float(np.sum(found.learnabilities)) / n
    return replace(found, train_error=free**2 * found.test_error if free > 0 else 0.0)


def _at_threshold(
    kappa: float, eigenvalues: np.ndarray, squared_coefficients: np.ndarray, n: int, noise_variance: float = 0.0
) -> Eigenlearning:
    """Everything but the training error."""
    learned = np.where(eigenvalues > 0, eigenvalues / np.where(eigenvalues > 0, eigenvalues + kappa, 1.0), 0.0)
    left = n - float(np.sum(learned**2))
    # Without ridge and with no more modes than inputs the difference is a whole number, 0 but for rounding.
    overfitting = n / left if left > 1e-9 * n else float("inf")
    missed = float(np.sum((1 - learned) ** 2 * squared_coefficients)) + noise_variance
    test = overfitting * missed if missed > 0 else 0.0
    total = float(np.sum(squared_coefficients))
    share = float(np.sum(learned * squared_coefficients)) / total if total > 0 else float("nan")
    return Eigenlearning(kappa, learned, overfitting, test, float("nan"), share)


def threshold(eigenvalues: Float[np.ndarray, " modes"], n: int, ridge: float) -> float:
    """κ ≥ 0 that solves Σ λ_i/(λ_i + κ) + δ/κ = n; 0 without ridge where there are no more modes than inputs.

    Args:
        eigenvalues: (M,), of the kernel as an operator.
        n: training inputs.
        ridge: δ.
    """
    checks.whole("n", n)
    checks.non_negative("ridge", ridge)
    values = np.asarray(eigenvalues, dtype=np.float64)
    if np.any(values < 0) or not np.any(values > 0):
        raise ValueError("eigenvalues must be 0 or greater and not all 0")
    values = values[values > 0]
    if ridge == 0 and len(values) <= n:
        return 0.0

    def excess(log_kappa: float) -> float:
        kappa = float(np.exp(log_kappa))
        return float(np.sum(values / (values + kappa))) + ridge / kappa - n

    # λ/(λ + κ) ≤ λ/κ bounds κ from above; without ridge the sum tends to the number of modes, which is above n.
    high = float(np.log((values.sum() + ridge) / n))
    low = float(np.log(ridge / n)) if ridge > 0 else high
    while excess(low) < 0:
        low -= 2.0
    return float(np.exp(bisect(lambda log_kappa: excess(log_kappa) >= 0, low, high)[0]))


def kare(view: RidgeView) -> float:
    """Kernel alignment risk estimate n |α|²/(tr G_s⁻¹)², the same as generalised cross-validation."""
    inverse = view.inverse
    return view.kernel.n * float(view.kernel.energies @ inverse**2) / float(np.sum(inverse)) ** 2


def capture_threshold(view: RidgeView) -> float:
    """1/tr G_s⁻¹, which estimates κ."""
    return 1 / float(np.sum(view.inverse))


def eigenlearning_error(view: RidgeView) -> float:
    """Predicted test error from the training set's spectrum."""
    return _from_training(view).test_error


def learnability(view: RidgeView) -> float:
    """Predicted share of the function that is learned, from the training set's spectrum."""
    return _from_training(view).learnability


def _from_training(view: RidgeView) -> Eigenlearning:
    kernel = view.kernel
    if kernel.eigenvalues[-1] == 0:
        raise NotComputable("the kernel is 0")
    n = kernel.n
    return _at_threshold(capture_threshold(view), kernel.eigenvalues / n, kernel.energies / n, n)


MEASURES = (
    Measure(
        name="kare",
        symbol="KARE",
        unit="target²",
        formula="n |α|²/(tr G_s⁻¹)²; equals generalised cross-validation",
        source="Jacot et al. 2020; Golub, Heath & Wahba 1979",
        needs=("kernel", "ridge", "targets"),
        direction="lower",
        place="ridge",
        function=kare,
        meaning="estimate",
    ),
    Measure(
        name="capture_threshold",
        symbol="κ̂",
        unit="1",
        formula="1/tr G_s⁻¹",
        source="Jacot et al. 2020",
        needs=("kernel", "ridge"),
        direction="lower",
        place="ridge",
        function=capture_threshold,
        meaning="estimate",
        outputs="does not depend on them",
    ),
    Measure(
        name="eigenlearning_error",
        symbol="E_test",
        unit="target²",
        formula="n/(n − Σ L²) Σ (1 − L)² v², L = λ/(λ + κ); with κ := 1/tr G_s⁻¹, λ := λ/n, v² := |ŷ|²/n",
        source="Simon et al. 2021",
        needs=("kernel", "ridge", "targets"),
        direction="lower",
        place="ridge",
        function=eigenlearning_error,
        meaning="estimate",
    ),
    Measure(
        name="learnability",
        symbol="L(f)",
        unit="1",
        formula="Σ L v²/Σ v², as in eigenlearning_error",
        source="Simon et al. 2021",
        needs=("kernel", "ridge", "targets"),
        direction="higher",
        place="ridge",
        function=learnability,
        meaning="estimate",
    ),
)
