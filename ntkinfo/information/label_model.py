"""Gaussian label models: the law from which the training targets are taken to be drawn, given the inputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array, float64, namespace
from ntkinfo.core.linear_algebra import NotDefiniteError, cholesky, congruence, spectrum
from ntkinfo.core.records import Estimate
from ntkinfo.training.output_distribution import OutputDistribution
from ntkinfo.training.output_law import OutputLaw

_CHUNK_ELEMENTS = 100_000  # of (times, inputs): a block of them stays in a processor's cache
_SAME = 1e-8


@checked
@dataclass(frozen=True, eq=False)
class LabelModel:
    """Training targets drawn from N(0, S) given the training inputs, independently for every output.

    S is the covariance of a teacher plus noise. The default teacher is drawn from the prior of the network that is
    trained (the procedure's prior: the NNGP kernel, or the NTK for randomised priors), without noise: what the student
    can say about such labels is all there is to learn from them. `ntkinfo.data.teacher_gp` draws data from this model.

    Args:
        noise_variance: σ² ≥ 0, in target², of independent noise on every target, added to the teacher's covariance.
        covariance: (n, n) of the teacher on the training inputs, symmetric positive semidefinite, of rank 2 at least;
            None for the prior.

    Raises:
        ValueError: a covariance that is not square, finite, symmetric or positive semidefinite, or of rank below 2;
            a noise variance that is negative or not finite.

    Source: theory §4.
    """

    noise_variance: float = 0.0
    covariance: Float[Array, "n k"] | None = None

    def __post_init__(self):
        checks.non_negative("noise_variance", self.noise_variance)
        if self.covariance is not None:
            _check_covariance(self.covariance)

    @property
    def description(self) -> str:
        """The model in a few words."""
        teacher = "the network's prior" if self.covariance is None else "a given covariance"
        return f"targets from {teacher}, noise variance {self.noise_variance:g}"

    def check(self, distribution: OutputDistribution) -> None:
        """Raise ValueError unless the model fits the training set.

        The covariance must have its size, and must not be made of its targets: Y Yᵀ, of rank C at most, says that the
        labels are known up to C numbers, and the information under it means nothing.
        """
        if self.covariance is None:
            return
        n = distribution.data.y_train.shape[0]
        checks.shape("covariance", self.covariance, (n, n), "one row and column for each training input")
        given = np.asarray(self.covariance)
        product = np.asarray(distribution.data.y_train) @ np.asarray(distribution.data.y_train).T
        scaled = product * (np.trace(given) / np.trace(product))
        if np.linalg.norm(given - scaled) <= _SAME * np.linalg.norm(given):
            raise ValueError(
                "covariance is Y Yᵀ of the training targets themselves up to a factor; give the covariance of the law "
                "that targets are drawn from, for instance a kernel on the training inputs"
            )

    def rotated(self, distribution: OutputDistribution) -> Float[Array, "n n"]:
        """UᵀSU, noise included, in the eigenbasis of the tangent kernel."""
        with float64():
            teacher, xp = self.teacher(distribution), namespace(distribution.eigenvalues)
            if teacher is None:
                prior = distribution.prior
                teacher = prior if prior.ndim == 2 else xp.diag(prior)
            if self.noise_variance == 0:
                return teacher
            return teacher + self.noise_variance * xp.eye(teacher.shape[0], dtype=teacher.dtype)

    def teacher(self, distribution: OutputDistribution) -> Float[Array, "n n"] | None:
        """Covariance of the noise-free targets in the eigenbasis, or None where it is the prior."""
        self.check(distribution)
        if self.covariance is None:
            return None
        vectors = distribution.spectrum.eigenvectors
        with float64():
            return congruence(vectors, namespace(vectors).asarray(self.covariance))

    def draw(self, distribution: OutputDistribution, seed: int, count: int) -> Float[np.ndarray, "n s c"]:
        """Draw `count` sets of training targets in the eigenbasis (UᵀY), outputs independent."""
        checks.whole("count", count)
        with float64():
            lower = np.asarray(root(self.rotated(distribution), "the covariance of the labels"))
        noise = np.random.default_rng(seed).standard_normal((lower.shape[1], count, distribution.n_outputs))
        return np.einsum("nk,ksc->nsc", lower, noise, optimize=True)


def root(matrix: Float[Array, "n n"], name: str) -> Float[Array, "n n"]:
    """R with R Rᵀ = `matrix`: the lower Cholesky factor, or by the spectrum where the matrix is singular."""
    try:
        return cholesky(matrix, name)
    except NotDefiniteError:
        decomposition = spectrum(matrix, name)
        return decomposition.eigenvectors * namespace(matrix).sqrt(decomposition.eigenvalues)[None, :]


@checked
def information_labels_per_input(law: OutputLaw, model: LabelModel) -> Estimate:
    """I(Z; Y_train | X, x) = ½ C log(1 + a S aᵀ/v_t(x)) in nats at every time and input, a = Θ(x, X) A_t.

    Exact I(Z;D|X=x) under the label model: the output's mean is linear in the training targets, its variance the same
    for all of them. It goes on growing where the variance is too small for a floating-point number.

    Args:
        law: of the outputs at p inputs: `distribution.train`, `.test` or `.at(inputs)`.
        model: of the training targets. With the default teacher it costs next to nothing beyond the variance.

    Returns:
        (T, p); infinite where training has left no variance but a mean that depends on the targets, 0 where the
        function never varied. The error bounds what the truncated time factorisation and rounding leave.

    Raises:
        ValueError: a covariance that does not fit the training set.

    Source: theory §4.
    """
    xp = namespace(law.initial_variance)
    parts = [part for _, part in information_labels_chunks(law, model)]
    with float64():
        value, error = (xp.concatenate([getattr(p, name) for p in parts]) for name in ("value", "standard_error"))
    return Estimate(value, error, parts[0].meaning, parts[0].method)


def information_labels_chunks(law: OutputLaw, model: LabelModel) -> Iterator[tuple[slice, Estimate]]:
    """Stream (slice of the times, `information_labels_per_input` there), so that few arrays are (T, p) whole."""
    xp, outputs = namespace(law.initial_variance), law.n_outputs
    with float64():
        teacher = model.teacher(law.distribution)
        learned = law.label_variance(teacher)
    size = max(1, _CHUNK_ELEMENTS // law.n_inputs)
    for start in range(0, len(law.times), size):
        chosen = slice(start, min(start + size, len(law.times)))
        with float64():
            signal = learned(chosen)
            if model.noise_variance > 0:
                signal = signal + model.noise_variance * law.label_noise_variance(chosen)
            # An input whose function is 0 before and after training has no variance and no signal.
            some = (signal > 0) & (law.initial_variance > 0)[None, :]
            log_variance = xp.where(some, law.log_variance_at(chosen), 0.0)
            ratio = xp.where(some, xp.log(xp.where(some, signal, 1.0)) - log_variance, -xp.inf)
            # log(1 + e^ratio), which is the ratio itself where e^ratio is past float precision.
            value = 0.5 * outputs * xp.where(ratio > 40, ratio, xp.log1p(xp.exp(xp.minimum(ratio, 40.0))))
            error = _error((law, chosen), model, teacher, signal, ratio)
        yield chosen, Estimate(value, error, "exact", f"closed form; {model.description}")


def _error(
    place: tuple[OutputLaw, slice], model: LabelModel, teacher: Array | None, signal: Array, ratio: Array
) -> Array:
    """½C (δm + (m/v) δv)/(m + v), written with the share w = m/(m + v) of the signal: ½C w (δm/m + δv/v)."""
    (law, chosen), xp = place, namespace(signal)
    epsilon = 32 * np.finfo(np.float64).eps
    prior = law.initial_variance[None, :]
    size = 1.0
    if teacher is not None:
        size = float(xp.max(xp.diagonal(teacher)) / xp.max(law.distribution.prior_variance))
    variance_error = law.variance_error_at(chosen) + epsilon * prior
    absolute = (size + model.noise_variance / float(xp.max(prior))) * variance_error
    share = 1 / (1 + xp.exp(xp.minimum(-ratio, 700.0)))
    relative = absolute / xp.where(signal > 0, signal, 1.0) + law.log_variance_error_at(chosen)
    bound = 0.5 * law.n_outputs * (share * relative)
    # A ratio of −∞ is no signal, one of ∞ an infinite value, whose error is never finite.
    return xp.where(xp.isfinite(ratio), bound, xp.where(ratio > 0, xp.inf, 0.0))


def _check_covariance(covariance: Array) -> None:
    checks.shape("covariance", covariance, (None, None), "one row and column for each training input")
    if covariance.shape[0] != covariance.shape[1]:
        raise ValueError(f"covariance has shape {tuple(covariance.shape)}; it must be square")
    checks.finite("covariance", covariance)
    host = np.asarray(covariance, dtype=np.float64)
    largest = float(np.abs(host).max())
    if float(np.abs(host - host.T).max()) > 1e-10 * largest:
        raise ValueError("covariance is not symmetric; give (S + Sᵀ)/2 if the difference is rounding")
    try:
        np.linalg.cholesky(host)
        return  # positive definite
    except np.linalg.LinAlgError:
        decomposition = spectrum(host, "covariance")
    if len(host) > 1 and decomposition.rank < 2:
        raise ValueError(
            f"covariance has rank {decomposition.rank}: it says that all the labels are known up to one number, as "
            "Y Yᵀ of one output does, and the information under it means nothing; give the covariance of a law that "
            "labels are drawn from, for instance a kernel on the training inputs, or leave it out for the prior"
        )
