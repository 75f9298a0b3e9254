"""What the variational forms predict: class probabilities or real numbers, with their losses for one input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import log_softmax
from jax.scipy.special import logsumexp, xlogy
from jaxtyping import Float, Int

from ntkinfo.bottleneck.variational_modules import Gaussian, VariationalModel, log_density, relative_entropy
from ntkinfo.core import checks
from ntkinfo.core.arrays import Array, to_numpy

Row = Mapping[str, jax.Array]


@dataclass(frozen=True)
class ClassTargets:
    """Inputs with the law of their class.

    Args:
        inputs: (n, ...), finite.
        probabilities: p(y|x), (n, C), rows that sum to 1; one-hot rows for labels. Losses are averages over it.
        noisy: the p(y|x) > 0 that the dual form's distortion compares with, (n, C); None where it is not needed. For
            labels that are a function of the input: `LabelNoise.soften`.

    Raises:
        ValueError: shapes that do not fit, NaN or infinite values, rows that are no probabilities, a `noisy` of 0.
    """

    inputs: Array
    probabilities: Float[Array, "n c"]
    noisy: Float[Array, "rows k"] | None = None

    def __post_init__(self):
        object.__setattr__(self, "inputs", _checked_inputs(self.inputs))
        shape = (len(self.inputs), None)
        object.__setattr__(self, "probabilities", _checked_rows("probabilities", self.probabilities, shape))
        if self.noisy is not None:
            noisy = _checked_rows("noisy", self.noisy, self.probabilities.shape)
            if np.any(noisy == 0):
                raise ValueError("noisy holds a probability of 0, where the distortion is infinite; soften the labels")
            object.__setattr__(self, "noisy", noisy)

    @classmethod
    def of_labels(cls, inputs: Array, labels: Int[Array, " n"], classes: int, noisy: Array | None = None):
        """Targets of labels from 0 to classes - 1, each certain."""
        given = np.asarray(labels)
        checks.whole("classes", classes, least=2)
        if given.ndim != 1 or not np.issubdtype(given.dtype, np.integer):
            raise ValueError(f"labels is an array of shape {given.shape} of {given.dtype}; give one integer an input")
        if given.size and (given.min() < 0 or given.max() >= classes):
            raise ValueError(f"labels run from {given.min()} to {given.max()}; they are 0 to {classes - 1}")
        return cls(inputs, np.eye(classes)[given], noisy)

    @property
    def width(self) -> int:
        """Number of classes."""
        return int(self.probabilities.shape[1])

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Arrays with one row an input, as batches hold them."""
        rows = {"inputs": to_numpy(self.inputs), "target": to_numpy(self.probabilities)}
        return rows if self.noisy is None else {**rows, "noisy": to_numpy(self.noisy)}

    @property
    def prior(self) -> np.ndarray:
        """Average p(y), (C,)."""
        return to_numpy(self.probabilities).mean(axis=0)

    @property
    def entropy(self) -> float:
        """H(Y) of the average p(y), in nats."""
        return float(-np.sum(xlogy(self.prior, self.prior)))

    def cross_entropy(self, decoded: Any, row: Row) -> jax.Array:
        """E_y -log q(y|z) for one input."""
        return -jnp.sum(row["target"] * log_softmax(decoded))

    def distortion(self, decoded: Any, row: Row) -> jax.Array:
        """KL[q(y|z) ‖ p(y|x)] for one input."""
        logs = log_softmax(decoded)
        return jnp.sum(jnp.exp(logs) * (logs - jnp.log(row["noisy"])))

    def residual(self, model: VariationalModel, law: Gaussian, row: Row) -> jax.Array:
        """E_y KL[e(z|x) ‖ b(z|y)] for one input."""
        reverse = jax.vmap(model.reverse)(jnp.eye(self.width, dtype=row["target"].dtype))
        return jnp.sum(row["target"] * relative_entropy(law, reverse))

    def log_marginal(self, model: VariationalModel, z: jax.Array, prior: jax.Array) -> jax.Array:
        """Log Σ_y p(y) b(z|y), with the p(y) of the training inputs: a density of z that knows nothing of x."""
        reverse = jax.vmap(model.reverse)(jnp.eye(self.width, dtype=z.dtype))
        return logsumexp(log_density(z, reverse), b=prior)


@dataclass(frozen=True)
class RealTargets:
    """Inputs with real targets.

    Args:
        inputs: (n, ...), finite.
        values: y, (n, D).
        entropy: h(Y) in nats where the law of Y is known: without it there is no bound on I(Z;Y).
        mean: of p(y|x) where it is known, (n, D); needed by the dual form's distortion.
        std: of p(y|x), (D,), with `mean` or not at all.

    Raises:
        ValueError: shapes that do not fit, NaN or infinite values, deviations that are not above 0.
    """

    inputs: Array
    values: Float[Array, "n d"]
    entropy: float | None = None
    mean: Float[Array, "rows k"] | None = None
    std: Float[Array, " k"] | None = None

    def __post_init__(self):
        object.__setattr__(self, "inputs", _checked_inputs(self.inputs))
        checks.shape("values", to_numpy(self.values), (len(self.inputs), None), "one row of targets an input")
        checks.finite("values", to_numpy(self.values))
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std of p(y|x) go together: give both, or neither")
        if self.mean is not None and self.std is not None:
            checks.shape("mean", to_numpy(self.mean), self.values.shape, "the mean of each target given its input")
            checks.shape("std", to_numpy(self.std), (self.width,), "one standard deviation a target")
            for name, array in (("mean", self.mean), ("std", self.std)):
                checks.finite(name, array)
            if np.any(to_numpy(self.std) <= 0):
                raise ValueError("std holds a number that is not above 0, where the distortion is infinite")

    @property
    def width(self) -> int:
        """Number of targets D."""
        return int(self.values.shape[1])

    @property
    def noisy(self) -> Array | None:
        """Whether p(y|x) is known: its mean, or None."""
        return self.mean

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Arrays with one row an input, as batches hold them."""
        rows = {"inputs": to_numpy(self.inputs), "target": to_numpy(self.values)}
        return rows if self.mean is None else {**rows, "noisy": to_numpy(self.mean)}

    @property
    def prior(self) -> np.ndarray:
        """The targets themselves, (n, D): the marginal r(z) is the average of b(z|y) over them."""
        return to_numpy(self.values)

    def cross_entropy(self, decoded: Any, row: Row) -> jax.Array:
        """-log q(y|z) for one input."""
        return -log_density(row["target"], decoded)

    def distortion(self, decoded: Any, row: Row) -> jax.Array:
        """KL[q(y|z) ‖ p(y|x)] for one input."""
        return relative_entropy(decoded, (row["noisy"], jnp.asarray(self.std, dtype=row["noisy"].dtype)))

    def residual(self, model: VariationalModel, law: Gaussian, row: Row) -> jax.Array:
        """KL[e(z|x) ‖ b(z|y)] for one input."""
        return relative_entropy(law, model.reverse(row["target"]))

    def log_marginal(self, model: VariationalModel, z: jax.Array, prior: jax.Array) -> jax.Array:
        """Log of the average of b(z|y) over the training targets."""
        reverse = jax.vmap(model.reverse)(prior)
        return logsumexp(log_density(z, reverse)) - np.log(prior.shape[0])


Targets = ClassTargets | RealTargets


def _checked_inputs(inputs: Array) -> np.ndarray:
    array = to_numpy(inputs).astype(np.float64)
    if array.ndim < 2 or len(array) == 0:
        raise ValueError(f"inputs has shape {array.shape}; give one row an input, at least one")
    checks.finite("inputs", array)
    return array


def _checked_rows(name: str, rows: Array, shape: tuple[int | None, ...]) -> np.ndarray:
    array = to_numpy(rows).astype(np.float64)
    checks.shape(name, array, shape, "one row of class probabilities an input")
    checks.finite(name, array)
    if array.shape[1] < 2:
        raise ValueError(f"{name} has {array.shape[1]} column; there are at least two classes")
    if np.any(array < 0) or not np.allclose(array.sum(axis=1), 1, rtol=0, atol=1e-9):
        raise ValueError(f"{name} holds rows that are not probabilities: each row is 0 or greater and sums to 1")
    return array
