"""Bounds on I(X;Z) and I(Z;Y) of a stochastic encoder, and how well its decoder predicts, on a split's inputs.

X is uniform on the split's inputs: for that law the average log e(z|x) over the log of the average density of z is
I(X;Z) itself (a lower bound on it for the population that the inputs were drawn from, never above log n), and so is the
information about Y by the posterior weights of the inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp, xlogy

from ntkinfo.bottleneck.variational_modules import Gaussian, VariationalModel, cast, log_density, relative_entropy
from ntkinfo.bottleneck.variational_targets import ClassTargets, Targets
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import float64

_PAIRS = 1 << 20  # pairs of a draw and an input at a time
BINS = 15


@checked
@dataclass(frozen=True)
class BoundSettings:
    """How much is computed.

    Args:
        draws: of z for each input, at least 2.
        most_inputs: of a split in the informations, whose cost grows with its square; predictions take all inputs.
        seed: of the draws and of the inputs chosen.
    """

    draws: int = 4
    most_inputs: int = 1024
    seed: int = 0


MEANINGS = {
    "information_input": "I(X;Z), inputs uniform on the split; a lower bound for their population, at most log n",
    "information_input_upper": "upper bound on I(X;Z): the rate E log e(z|x) / r(z)",
    "information_input_multisample_upper": "upper bound on I(X;Z) of the population: leave-one-out average for p(z)",
    "information_residual_upper": "upper bound on I(X;Z|Y): E log e(z|x) / b(z|y)",
    "information_target": "I(Z;Y), inputs uniform on the split",
    "information_target_lower": "lower bound on I(Z;Y): H(Y) + E log q(y|z)",
    "cross_entropy": "E -log q(y|z) for one draw of z",
    "distortion": "E KL[q(y|z) ‖ p(y|x)]",
    "negative_log_likelihood": "E -log of the prediction averaged over draws of z",
    "error": "share of wrong classes of the averaged prediction",
    "calibration_error": f"expected calibration error of the averaged prediction, {BINS} bins; biased upwards",
    "squared_error": "squared error of the averaged mean prediction, summed over targets",
}


@dataclass(frozen=True)
class Measurement:
    """What is measured of a model on one split; compiled once.

    Args:
        targets: the split.
        prior: of the training targets (`Targets.prior`), which r(z) is made of.
        settings: draws and inputs.
    """

    targets: Targets
    prior: np.ndarray
    settings: BoundSettings

    def __call__(self, model: VariationalModel, step: int = 0) -> dict[str, np.ndarray]:
        """Everything in `MEANINGS` that applies, each with `<name>_standard_error` but the calibration error.

        Args:
            model: encoder, decoder and reverse decoder.
            step: of training; draws differ from step to step.

        Returns:
            Numbers by name. Standard errors of the informations are those of the draws alone, since the inputs are the
            law; those of predictions are of the inputs as a sample.
        """
        with float64():
            found, predicted = self._compiled(cast(model, "float64"), step)
            values = {name: np.asarray(value) for name, value in found.items()}
        if not isinstance(self.targets, ClassTargets):
            return values
        confidence, right = (np.asarray(part) for part in predicted)
        return {**values, "calibration_error": np.asarray(calibration_error(confidence, right))}

    @cached_property
    def _compiled(self) -> Callable[[VariationalModel, int], Any]:
        chosen = _chosen(len(self.targets.inputs), self.settings)
        arrays = {name: jnp.asarray(array) for name, array in self.targets.arrays.items()}
        part = {name: array[chosen] for name, array in arrays.items()}
        targets, draws = self.targets, self.settings.draws

        @eqx.filter_jit
        def both(model, rows, part, prior, noises):
            found = _informations(model, targets, part, prior, noises[0])
            errors, predicted = _predictions(model, targets, rows, noises[1])
            return found | errors, predicted

        def call(model: VariationalModel, step: int) -> Any:
            latent = jax.eval_shape(model.encoder, arrays["inputs"][0])[0].shape[0]
            # Drawn by numpy: jax takes a second to compile its normal numbers, for every size anew.
            random = np.random.default_rng([self.settings.seed, step])
            sizes = [(len(rows["inputs"]), draws, latent) for rows in (part, arrays)]
            noises = [jnp.asarray(random.standard_normal(size)) for size in sizes]
            return both(model, arrays, part, jnp.asarray(self.prior), noises)

        return call


def _chosen(size: int, settings: BoundSettings) -> np.ndarray:
    if size <= settings.most_inputs:
        return np.arange(size)
    order = np.random.default_rng(settings.seed).permutation(size)
    return np.sort(order[: settings.most_inputs])


def _informations(
    model: VariationalModel,
    targets: Targets,
    rows: Mapping[str, jax.Array],
    prior: jax.Array,
    noise: jax.Array,
) -> dict[str, jax.Array]:
    """Informations with their bounds, from draws z = mean + std · noise; noise is (n, s, k)."""
    law = jax.vmap(model.encoder)(rows["inputs"])
    z, size = law[0][:, None] + law[1][:, None] * noise, len(noise)
    own = log_density(z, (law[0][:, None], law[1][:, None]))  # (n, s)
    probabilities = rows["target"] if isinstance(targets, ClassTargets) else jnp.ones((size, 1))
    inside, others, posterior = _mixture(z, own, law, probabilities)
    residual = jax.vmap(lambda one, row: targets.residual(model, one, row))(law, dict(rows))
    terms = {
        "information_input": own - inside,
        "information_input_multisample_upper": own - others,
        "information_input_upper": _rate(model, targets, law, z, own, prior),
        "information_residual_upper": residual[:, None],
    }
    decoded = jax.vmap(jax.vmap(model.decoder))(z)
    cross = _per_draw(targets.cross_entropy, decoded, rows)
    if isinstance(targets, ClassTargets):
        average = jnp.mean(probabilities, axis=0)
        entropy = -jnp.sum(xlogy(average, average))
        terms["information_target"] = entropy + jnp.sum(xlogy(posterior, posterior), axis=-1)
        terms["information_target_lower"] = entropy - cross
    elif targets.entropy is not None:
        terms["information_target_lower"] = targets.entropy - cross
    if targets.noisy is not None:
        terms["distortion"] = _per_draw(targets.distortion, decoded, rows)
    return _summed({**terms, "cross_entropy": cross})


def _per_draw(error, decoded, rows: Mapping[str, jax.Array]) -> jax.Array:
    """An error of the decoder for each input and draw, (n, s)."""
    return jax.vmap(lambda out, row: jax.vmap(lambda one: error(one, row))(out))(decoded, dict(rows))


def _rate(
    model: VariationalModel, targets: Targets, law: Gaussian, z: jax.Array, own: jax.Array, prior: jax.Array
) -> jax.Array:
    """Log e(z|x) / r(z) for each draw, (n, s), or its expectation, (n, 1), where that has a closed form."""
    if model.ignores_target:
        return relative_entropy(law, model.reverse(jnp.zeros(targets.width)))[:, None]
    return own - _log_marginal(model, targets, z, prior)


def _log_marginal(model: VariationalModel, targets: Targets, z: jax.Array, prior: jax.Array) -> jax.Array:
    """Log r(z), (n, s)."""
    flat = z.reshape(-1, z.shape[-1])
    rows = _portion(len(flat), _PAIRS // len(prior))
    values = jax.lax.map(lambda one: targets.log_marginal(model, one, prior), flat, batch_size=rows)
    return values.reshape(z.shape[:2])


def _mixture(
    z: jax.Array, own: jax.Array, law: tuple[jax.Array, jax.Array], probabilities: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Log average density of all inputs and of all others, (n, s) each, and p(y|z), (n, s, C), for every draw."""
    size = len(own)

    def one(pair: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        draw, index = pair
        logs = log_density(draw[None], law)
        total = logsumexp(logs)
        others = logsumexp(jnp.where(jnp.arange(size) == index, -jnp.inf, logs))
        return total - np.log(size), others - np.log(max(size - 1, 1)), jnp.exp(logs - total) @ probabilities

    flat = z.reshape(-1, z.shape[-1])
    places = jnp.repeat(jnp.arange(size), z.shape[1])
    rows = _portion(len(flat), _PAIRS // (size * z.shape[-1]))
    inside, others, posterior = jax.lax.map(one, (flat, places), batch_size=rows)
    shape = z.shape[:2]
    return inside.reshape(shape), others.reshape(shape), posterior.reshape(*shape, -1)


def _portion(count: int, most: int) -> int:
    """The largest divisor of a count up to a limit: equal portions need one compiled program."""
    return next(size for size in range(min(count, max(most, 1)), 0, -1) if count % size == 0)


def _summed(terms: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """Average over inputs and draws, with the standard error of the draws; terms are (n, s), or (n, 1) where exact."""
    found = {}
    for name, values in terms.items():
        size, draws = values.shape
        found[name] = jnp.mean(values)
        spread = jnp.var(values, axis=1, ddof=1) if draws > 1 else jnp.zeros(size)
        found[f"{name}_standard_error"] = jnp.sqrt(jnp.sum(spread) / draws) / size
    return found


def _predictions(
    model: VariationalModel, targets: Targets, rows: Mapping[str, jax.Array], noise: jax.Array
) -> tuple[dict[str, jax.Array], tuple[jax.Array, ...]]:
    """Loss and error of the prediction averaged over draws of z, and, for classes, confidence and being right, (n,)."""
    law = jax.vmap(model.encoder)(rows["inputs"])
    decoded = jax.vmap(jax.vmap(model.decoder), in_axes=1)(law[0][:, None] + law[1][:, None] * noise)
    if not isinstance(targets, ClassTargets):
        mean = jnp.mean(decoded[0], axis=0)
        return _over_inputs({"squared_error": jnp.sum((mean - rows["target"]) ** 2, axis=1)}), ()
    logs = logsumexp(jax.nn.log_softmax(decoded), axis=0) - np.log(noise.shape[1])
    chosen = jnp.argmax(logs, axis=1)
    right = jnp.take_along_axis(rows["target"], chosen[:, None], axis=1)[:, 0]
    terms = {"negative_log_likelihood": -jnp.sum(rows["target"] * logs, axis=1), "error": 1 - right}
    return _over_inputs(terms), (jnp.exp(jnp.max(logs, axis=1)), right)


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error: |confidence - accuracy| in `BINS` equal bins of confidence, weighted by inputs.

    Args:
        confidence: largest predicted probability of each input, (n,).
        right: whether the prediction is right, or its probability to be, (n,).
    """
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = np.bincount(place, weights=confidence - right, minlength=BINS)
    return float(np.sum(np.abs(gaps)) / len(confidence))


def _over_inputs(terms: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    found = {}
    for name, values in terms.items():
        found[name] = jnp.mean(values)
        found[f"{name}_standard_error"] = jnp.std(values, ddof=min(1, len(values) - 1)) / np.sqrt(len(values))
    return found
