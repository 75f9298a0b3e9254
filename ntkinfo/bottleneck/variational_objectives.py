"""The three variational objectives, their weights over training, and the loss of a batch.

All of them are a rate plus weighted errors of the decoder, for an encoder e(z|x), decoder q(y|z), reverse decoder
b(z|y) and r(z) = Σ_y p(y) b(z|y):

    variational bottleneck       E log e/r  +  beta  E[-log q(y|z)]
    conditional entropy          E log e/b  +  gamma E[-log q(y|z)]
    variational dual             E log e/r  +  beta  E KL[q(y|z) ‖ p(y|x)]
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from ntkinfo.bottleneck.variational_modules import VariationalModel, log_density, relative_entropy
from ntkinfo.bottleneck.variational_targets import Row, Targets
from ntkinfo.core import checks
from ntkinfo.core.arguments import checked

Rate = Literal["marginal", "conditional"]


@dataclass(frozen=True)
class Annealed:
    """A weight that goes from `start` to `stop`, up or down, in `steps` steps after `delay` steps, and stays there.

    Args:
        start: at step 0, 0 or greater.
        stop: at step delay + steps and after.
        steps: 1 or more.
        delay: steps at `start` before it moves.
        shape: "linear", or "geometric" (equal factors; both ends above 0).

    Raises:
        ValueError, TypeError: numbers out of range.
    """

    start: float
    stop: float
    steps: int
    delay: int = 0
    shape: str = "linear"

    def __post_init__(self):
        checks.choice("shape", self.shape, ("linear", "geometric"))
        check = checks.positive if self.shape == "geometric" else checks.non_negative
        for name in ("start", "stop"):
            check(name, getattr(self, name))
        checks.whole("steps", self.steps)
        checks.whole("delay", self.delay, least=0)

    def __call__(self, step: Int[jax.Array, ""] | int) -> Float[jax.Array, ""]:
        """The weight that the step number `step`, from 0, is taken with."""
        share = jnp.clip((jnp.asarray(step, dtype=float) - self.delay) / self.steps, 0.0, 1.0)
        if self.shape == "linear":
            return (1 - share) * self.start + share * self.stop
        return jnp.exp((1 - share) * jnp.log(self.start) + share * jnp.log(self.stop))


@dataclass(frozen=True)
class Objective:
    """A rate and the weights of two errors of the decoder; the functions below make the three of the literature.

    Args:
        name: in tables and figures.
        rate: "marginal", E log e(z|x) / r(z), which is at least I(X;Z); or "conditional", E log e(z|x) / b(z|y), which
            is at least I(X;Z|Y).
        prediction: weight of E[-log q(y|z)]; None leaves it out.
        distortion: weight of E KL[q(y|z) ‖ p(y|x)]; None leaves it out.

    Raises:
        ValueError: an unknown rate, or no error of the decoder at all.
    """

    name: str
    rate: str
    prediction: Annealed | None = None
    distortion: Annealed | None = None

    def __post_init__(self):
        checks.choice("rate", self.rate, ("marginal", "conditional"))
        if self.prediction is None and self.distortion is None:
            raise ValueError("prediction and distortion are both left out; the decoder would not be trained")

    def weights(self, step: jax.Array | int) -> dict[str, jax.Array]:
        """The weights in use at a step, by name."""
        named = {"prediction": self.prediction, "distortion": self.distortion}
        return {name: weight(step) for name, weight in named.items() if weight is not None}

    def with_rate(self, rate: Rate) -> Objective:
        """The same with the other rate; the published dual form takes "conditional"."""
        return replace(self, rate=rate)


@checked
def variational_bottleneck(beta: float | Annealed) -> Objective:
    """I(X;Z) - beta I(Z;Y) by bounds on both (Alemi et al. 2017); their weight of the rate is 1 / beta."""
    return Objective("variational bottleneck", "marginal", prediction=_weight("beta", beta))


@checked
def conditional_entropy_bottleneck(gamma: float | Annealed) -> Objective:
    """I(X;Z|Y) - gamma I(Z;Y) by bounds on both (Fischer 2020): the bottleneck at beta = gamma + 1."""
    return Objective("conditional entropy bottleneck", "conditional", prediction=_weight("gamma", gamma))


@checked
def variational_dual_bottleneck(beta: float | Annealed) -> Objective:
    """I(X;Z) + beta E KL[q(y|z) ‖ p(y|x)] (Piran et al. 2020), its rate by r(z), so that it bounds the dual objective.

    The published program takes b(z|y) in the rate (`with_rate("conditional")`), which bounds I(X;Z|Y) instead.
    """
    return Objective("variational dual bottleneck", "marginal", distortion=_weight("beta", beta))


def example_loss(
    objective: Objective,
    targets: Targets,
    model: VariationalModel,
    row: Row,
    noise: Float[jax.Array, "s k"],
    prior: jax.Array,
    weights: dict[str, jax.Array],
) -> jax.Array:
    """Loss of one input, averaged over s draws of z = mean + std · noise.

    Where the relative entropy of the encoder to the other law has a closed form, that is taken instead of draws.
    """
    law = model.encoder(row["inputs"])
    z = law[0][None] + law[1][None] * noise
    decoded = jax.vmap(model.decoder)(z)
    if objective.rate == "conditional":
        total = targets.residual(model, law, row)
    elif model.ignores_target:
        total = relative_entropy(law, model.reverse(row["target"]))
    else:
        marginal = jax.vmap(lambda one: targets.log_marginal(model, one, prior))(z)
        total = jnp.mean(log_density(z, law) - marginal)
    errors = {"prediction": targets.cross_entropy, "distortion": targets.distortion}
    for name, weight in weights.items():
        total = total + weight * jnp.mean(jax.vmap(lambda one, name=name: errors[name](one, row))(decoded))
    return total


def _weight(name: str, value: float | Annealed) -> Annealed:
    if isinstance(value, Annealed):
        return value
    checks.non_negative(name, value)
    return Annealed(float(value), float(value), 1)
