"""The Gaussian law of an infinitely wide network's outputs over training time, in closed form.

Notation (theory §1): K, Θ are the NNGP and the tangent kernel on the training inputs, λ, U the eigenpairs of Θ,
P the covariance of the function at the start (K, or Θ for randomised priors), B = UᵀPU, ŷ = UᵀY, and for inputs x
a = UᵀΘ(X, x), b = UᵀP(X, x). With the procedure's filter g_t and residual r_t = 1 − λ g_t, an output has

    mean_t(x) = Σ_j a_j g_t(λ_j) ŷ_j
    v_t(x)    = P(x, x) − 2 Σ_j a_j b_j g_t(λ_j) + Σ_jk a_j g_t(λ_j) (B + σ_y²)_jk g_t(λ_k) a_k + Langevin term,

and on the training inputs v_t = Σ_jk U_ij r_t(λ_j) B_jk r_t(λ_k) U_ik + …, which loses no digits as it vanishes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array, float64, namespace
from ntkinfo.core.linear_algebra import Spectrum, congruence, spectrum
from ntkinfo.core.records import Dataset
from ntkinfo.kernels.records import CrossBlocks, KernelBlocks, SquareBlocks
from ntkinfo.training.anchors import representatives
from ntkinfo.training.held_out_law import HeldOutLaw
from ntkinfo.training.known_rank import rank_bound
from ntkinfo.training.output_law import OutputLaw
from ntkinfo.training.procedures import Converged, Procedure
from ntkinfo.training.time_factors import TimeFactors, factor
from ntkinfo.training.train_law import TrainLaw

_UNDECIDED = (
    "tangent kernel: float64 does not tell all the null directions from slow ones; without ridge those are learned at "
    "infinite time, which is in the errors there"
)


@dataclass(frozen=True)
class Decomposition:
    """What every law of one set of kernels shares, whatever the targets, ridge, procedure and times.

    Args:
        tangent: "ntk" or "nngp", the kernel that is decomposed.
        start: "nngp" or "ntk", the covariance P of the function before training.
        spectrum: of the tangent kernel on the training inputs.
        prior: (n, n) B = UᵀPU, or its diagonal (n,) where P is the tangent kernel.
    """

    tangent: str
    start: str
    spectrum: Spectrum
    prior: Float[Array, "n n"] | Float[Array, " n"]


def decompose(blocks: KernelBlocks, tangent: str = "ntk", start: str = "nngp") -> Decomposition:
    """Decompose the kernel that drives training, and turn the covariance at the start into its eigenbasis.

    Args:
        blocks: kernels of the network on the data.
        tangent: "ntk" or "nngp", as in the procedure.
        start: "nngp" or "ntk", the procedure's `prior`.

    Raises:
        ValueError: a kernel that is not positive semidefinite, an unknown name.
    """
    checks.choice("tangent", tangent, ("ntk", "nngp"))
    checks.choice("start", start, ("ntk", "nngp"))
    with float64():
        kernel = getattr(blocks.train, tangent)
        # |E_jk| ≤ ε √(Θ_jj Θ_kk) moves an eigenvalue by at most ε times the trace.
        error = blocks.kernel_error * float(abs(kernel.trace()))
        found = spectrum(kernel, f"the {tangent.upper()} of the training inputs", error)
        same, matrix = start == tangent, getattr(blocks.train, start)
        prior = found.eigenvalues if same else congruence(found.eigenvectors, matrix)
    return Decomposition(tangent, start, found, prior)


@dataclass(frozen=True)
class OutputDistribution:
    """Law of the outputs at every time: `.train`, `.test`, or `.at(inputs)`; each an `OutputLaw`.

    Build it with `output_distribution`. `mean`, `variance`, `covariance` and `sample` are those of the test inputs.

    Args:
        times: (T,), in the caller's unit.
        procedure: as given by the caller.
        summed: the same procedure on the summed loss, whose time is `internal_times`.
        spectrum: of the tangent kernel on the training inputs.
        prior: (n, n) B = UᵀPU, or its diagonal (n,) where it is diagonal (P = tangent kernel).
        targets: (n, C) ŷ = UᵀY.
        blocks: the kernels.
        data: inputs and targets.
    """

    times: Float[np.ndarray, " t"]
    internal_times: Float[Array, " t"]
    procedure: Procedure
    summed: Procedure
    spectrum: Spectrum
    prior: Float[Array, "n n"] | Float[Array, " n"]
    targets: Float[Array, "n c"]
    blocks: KernelBlocks
    data: Dataset

    @property
    def eigenvalues(self) -> Float[Array, " n"]:
        """Eigenvalues λ of the tangent kernel, ascending; null ones are exactly 0."""
        return self.spectrum.eigenvalues

    @property
    def time_unit(self) -> float:
        """Time of the summed loss in one unit of `times`."""
        return self.procedure.time_unit(self.data.y_train.size)

    @property
    def n_outputs(self) -> int:
        """The number of outputs C."""
        return self.targets.shape[1]

    @cached_property
    def prior_variance(self) -> Float[Array, " n"]:
        """Diagonal of B: variance of the initial function along each eigenvector."""
        with float64():
            return self.prior if self.prior.ndim == 1 else namespace(self.prior).diagonal(self.prior)

    @cached_property
    def moving(self) -> slice:
        """Directions in which the function can vary: all but the null ones, unless it varies there before training.

        Inputs that repeat leave directions that are null for both kernels, with nothing in them but rounding.
        """
        count, variance = int(np.asarray(self.spectrum.null).sum()), np.asarray(self.prior_variance)
        rounding = len(variance) * np.finfo(np.float64).eps * variance.max()
        # A direction of little variance may still vary together with one of much.
        rows = variance[:count] if self.prior.ndim == 1 else np.abs(np.asarray(self.prior[:count]))
        return slice(count, None) if np.all(rows <= rounding) else slice(None)

    @cached_property
    def undecided(self) -> bool:
        """Whether directions were taken as null for want of digits alone: without ridge they are learned in the end.

        Inputs that repeat, multiples of one another and linear networks have null directions for a reason.
        """
        null = int(np.asarray(self.spectrum.null).sum())
        if not null:
            return False
        names = (self.procedure.tangent, self.procedure.prior)
        with float64():
            return null > len(self.spectrum.null) - rank_bound(self.blocks, names, self.data.x_train)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """Everything that was repaired on the way."""
        notes = self.blocks.notes + self.spectrum.notes("tangent kernel")
        ends = isinstance(self.procedure, Converged) or np.isinf(self.times[-1])
        return (*notes, _UNDECIDED) if ends and self.procedure.ridge == 0 and self.undecided else notes

    @cached_property
    def filter_factors(self) -> TimeFactors:
        """Low-rank factors of g_t(λ) over all times."""
        with float64():
            return factor(self.summed.filter, self.eigenvalues, self.internal_times)

    @cached_property
    def train(self) -> OutputLaw:
        """Law at the training inputs; those that repeat have the very same one."""
        names = (self.procedure.tangent, self.procedure.prior)
        with float64():
            rows = representatives(self.blocks.train, names, self.data.x_train)
        return TrainLaw(self, rows)

    @cached_property
    def test(self) -> OutputLaw:
        """Law at the test inputs."""
        return self._law(self.blocks.test, self.data.x_test)

    def at(self, inputs: Array) -> OutputLaw:
        """Law at new inputs (p, ...).

        Raises:
            ValueError: the blocks were given as arrays without a source, or inputs of another shape than the data's.
        """
        if self.blocks.source is None:
            raise ValueError("the kernel blocks have no source to compute new ones with; make them with kernel_blocks")
        checks.shape("inputs", inputs, (None, *self.data.x_train.shape[1:]), "the shape of the training inputs")
        checks.finite("inputs", inputs)
        return self._law(self.blocks.source.cross(inputs), inputs)

    @property
    def mean(self) -> Float[Array, "t m c"]:
        """Mean at the test inputs at all times; see `OutputLaw.chunks` for a stream of it."""
        return self.test.mean

    @property
    def variance(self) -> Float[Array, "t m"]:
        """Variance at the test inputs at all times, the same for every output."""
        return self.test.variance

    def covariance(self, time: float) -> Float[Array, "m m"]:
        """Covariance between the test inputs at one time, the same for every output."""
        return self.test.covariance(time)

    def sample(self, seed: int, count: int, time: float) -> Float[np.ndarray, "s m c"]:
        """Joint samples at the test inputs at one time."""
        return self.test.sample(seed, count, time)

    def for_targets(self, data: Dataset) -> OutputDistribution:
        """Return the law after training on other targets of the same inputs, as with other label noise.

        Whatever does not depend on the targets and has been computed already is shared: decomposition, variances.

        Args:
            data: the same inputs with other targets, of as many outputs.

        Raises:
            ValueError: other numbers of inputs or outputs.
        """
        checks.shape("y_train", data.y_train, tuple(self.data.y_train.shape), "as many targets as the law's own")
        checks.shape("x_test", data.x_test, tuple(self.data.x_test.shape), "the law's own test inputs")
        vectors = self.spectrum.eigenvectors
        with float64():
            targets = vectors.T @ namespace(vectors).asarray(data.y_train)
        law = replace(self, targets=targets, data=data)
        shared = ("prior_variance", "moving", "undecided", "notes", "filter_factors")
        law.__dict__.update({name: self.__dict__[name] for name in shared if name in self.__dict__})
        law.__dict__.update({name: getattr(self, name).of(law) for name in ("train", "test")})
        return law

    def _law(self, cross: CrossBlocks, inputs: Array) -> OutputLaw:
        source = self.blocks.source
        square: Callable[[], SquareBlocks] | None = None if source is None else lambda: source.square(inputs)
        return HeldOutLaw(self, cross, square, inputs)


@checked
def output_distribution(
    blocks: KernelBlocks,
    data: Dataset,
    procedure: Procedure,
    times: Float[Array, " t"],
    known: Decomposition | None = None,
) -> OutputDistribution:
    """Find the law of the outputs of an ensemble trained by `procedure`, at every one of `times`.

    Args:
        blocks: kernels of the network on the data (`kernel_blocks`).
        data: inputs and targets.
        procedure: `GradientFlow()`, `GradientDescent(step_size=…)`, `HeavyBall(…)`, `Converged()`, `nngp_posterior(…)`.
        times: (T,), strictly rising in [0, ∞].
        known: `decompose(blocks, …)` for this procedure, where it is there already.

    Raises:
        ValueError: times out of order, blocks that do not fit the data, a step size that diverges, a kernel that is
            not positive semidefinite, a variance that is infinite.

    Assumes infinite width and small learning rates: fails to describe networks whose kernel moves in training.
    Source: Lee et al. 2019 (linearised networks of any depth); theory §1.
    """
    checks.times(times)
    n, outputs = data.y_train.shape
    for name in ("nngp", "ntk"):
        checks.shape(f"blocks.train.{name}", getattr(blocks.train, name), (n, n), "training inputs with themselves")
        checks.shape(f"blocks.test.{name}", getattr(blocks.test, name), (len(data.x_test), n), "test with training")
    known = known or decompose(blocks, procedure.tangent, procedure.prior)
    if (known.tangent, known.start) != (procedure.tangent, procedure.prior):
        raise ValueError(
            f"known is of tangent {known.tangent} and prior {known.start}, and the procedure has {procedure.tangent} "
            f"and {procedure.prior}; decompose for these"
        )
    decomposition = known.spectrum
    checks.shape("known.spectrum.eigenvectors", decomposition.eigenvectors, (n, n), "of these blocks")
    xp = namespace(decomposition.eigenvalues)
    with float64():
        procedure.check(float(decomposition.eigenvalues[-1]), np.asarray(times), n * outputs)
        host = np.asarray(times, dtype=np.float64)
        return OutputDistribution(
            times=host,
            internal_times=xp.asarray(host * procedure.time_unit(n * outputs)),
            procedure=procedure,
            summed=procedure.summed(n * outputs),
            spectrum=decomposition,
            prior=known.prior,
            targets=decomposition.eigenvectors.T @ xp.asarray(data.y_train),
            blocks=blocks,
            data=data,
        )
