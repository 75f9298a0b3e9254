"""Mean and variance at one time by dense algebra on the kernels (theory §1), with the errors of that route."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ntkinfo.core.arrays import to_numpy
from ntkinfo.core.records import Estimate
from ntkinfo.information.second_propagator import NotCheckedError, Propagator, SecondRoute


@dataclass(frozen=True)
class SecondSide:
    """Law of the outputs at one split and one time.

    Args:
        mean: (p, C).
        residual: (p, C), the mean less the targets, with more digits where both are close.
        variance: (p,), may underflow to 0.
        log_variance: (p,).
        start: (p,), variance before training.
        mean_error: (p,), of the mean in the norm over outputs.
        variance_error: (p,).
        relative_error: (p,), of the variance.
        targets: (p, C).
        labels: (p,) or None.
        left: (p, C), what is left to learn over exp(log_scale); None except without ridge at the training inputs.
        log_scale: logarithm of the scale of `left`.
        centres: (p, C), training targets of inputs that all repeat training inputs; None for the targets.
    """

    mean: np.ndarray
    residual: np.ndarray
    variance: np.ndarray
    log_variance: np.ndarray
    start: np.ndarray
    mean_error: np.ndarray
    variance_error: np.ndarray
    relative_error: np.ndarray
    targets: np.ndarray
    labels: np.ndarray | None
    left: np.ndarray | None = None
    log_scale: float = 0.0
    centres: np.ndarray | None = None

    @property
    def limits(self) -> np.ndarray:
        """Where the means end without ridge: the training targets, (p, C); meant for a side with `left`."""
        return self.targets if self.centres is None else self.centres


def repeats(inputs: np.ndarray, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the inputs that equal a training input exactly, and which one."""
    places = {(row + 0.0).tobytes(): i for i, row in enumerate(train)}
    found = [(i, places[key]) for i, row in enumerate(inputs) if (key := (row + 0.0).tobytes()) in places]
    rows = np.array(found, dtype=np.int64).reshape(-1, 2)
    return rows[:, 0], rows[:, 1]


class Snapshot:
    """Everything that the second routes need at one time.

    Args:
        route: propagators of the distribution.
        index: of the time.
    """

    def __init__(self, route: SecondRoute, index: int):
        self.route, self.index = route, index
        self.law, self.summed = route.law, route.summed
        self.time = float(to_numpy(self.law.internal_times)[index])
        self.sampled: dict[str, tuple[Estimate, ...]] = {}

    @cached_property
    def now(self) -> Propagator:
        """The matrices of this time."""
        return self.route.at(self.index)

    @cached_property
    def targets(self) -> np.ndarray:
        """Training targets (n, C)."""
        return to_numpy(self.law.data.y_train)

    @property
    def noise(self) -> float:
        """Variance of each member's own noise on the targets."""
        return self.summed.target_noise_variance

    @cached_property
    def learned(self) -> np.ndarray:
        """A Y."""
        return self.now.filter @ self.targets

    @cached_property
    def filter_spread(self) -> float:
        """‖A (P + σ_y²)^½‖."""
        noisy = self.route.prior + self.noise * np.eye(self.route.n)
        return float(np.sqrt(max(np.sum((self.now.filter @ noisy) * self.now.filter), 0.0)))

    @cached_property
    def trained(self) -> np.ndarray:
        """H = ΘA."""
        return self.route.tangent @ self.now.filter

    @cached_property
    def _sides(self) -> dict[str, SecondSide]:
        return {}

    def side(self, split: str) -> SecondSide:
        """Law at the training or the test inputs.

        Raises:
            NotCheckedError: the route has no formula for this procedure.
        """
        if split not in self._sides:
            self._sides[split] = self._train() if split == "train" else self._test()
        return self._sides[split]

    def gain(self, split: str) -> np.ndarray:
        """Map from the training targets to the mean at the inputs of a split, (p, n)."""
        return self.trained if split == "train" else self._test_tangent @ self.now.filter

    @cached_property
    def _test_tangent(self) -> np.ndarray:
        tangent = to_numpy(getattr(self.law.blocks.test, self.law.procedure.tangent))
        if not self.route.has_null:
            return tangent
        values, vectors = self.route.basis
        kept = vectors[:, values > 0]
        return (tangent @ kept) @ kept.T

    def covariance(self) -> np.ndarray:
        """Covariance of the outputs at the training inputs, (n, n)."""
        residual = self.now.residual * np.exp(self.now.log_scale)
        total = residual @ self.route.prior @ residual.T + self.noise * self.trained @ self.trained.T
        if self.summed.temperature > 0:
            total = total + self.route.tangent @ self._diffused
        return (total + total.T) / 2

    @cached_property
    def _diffused(self) -> np.ndarray:
        """c(Θ) = 2τQ, the parameters' variance by gradient noise."""
        if self.now.energy is None:
            raise NotCheckedError("gradient noise with momentum has no second route")
        return 2 * self.summed.temperature * self.now.energy

    def _train(self) -> SecondSide:
        now, route, y = self.now, self.route, self.targets
        left = now.residual @ y
        scaled = np.maximum(np.sum((now.residual @ route.prior) * now.residual, axis=1), 0.0)
        with np.errstate(divide="ignore"):
            log = np.log(scaled) + 2 * now.log_scale
        variance = np.exp(log)
        extra = self.noise * np.sum(self.trained**2, axis=1)
        if self.summed.temperature > 0:
            extra = extra + np.diag(route.tangent @ self._diffused)
        total = float(np.sum(scaled))
        grown = self.filter_spread * np.exp(-now.log_scale) if now.log_scale > -300 else np.inf
        moved = min(grown, now.effective * total**0.5 if total > 0 else 0.0)
        error = 2 * route.kernel_error * np.sqrt(scaled) * moved + 4 * route.unit * total
        relative = np.divide(error, scaled, out=np.zeros_like(scaled), where=scaled > 0)
        absolute = error * np.exp(2 * now.log_scale)
        if self.summed.is_noisy:
            variance = variance + extra
            absolute = absolute + self._noise_error(np.sqrt(variance), np.ones(len(variance)), variance)
            log, relative = np.log(variance), absolute / variance
        mean_error = 2 * route.kernel_error * float(np.linalg.norm(self.learned)) * np.ones(len(y))
        if now.filter.any():
            mean_error = mean_error + 4 * route.unit * float(np.linalg.norm(y))
        residual = -left * np.exp(now.log_scale)
        plain = self.summed.ridge == 0 and not self.summed.is_noisy
        return SecondSide(
            self.trained @ y,
            residual,
            variance,
            log,
            np.diag(route.prior),
            mean_error,
            absolute,
            relative,
            y,
            self.law.data.labels_train,
            -left if plain else None,
            now.log_scale,
        )

    def _test(self) -> SecondSide:
        law, route, data = self.law, self.route, self.law.data
        procedure, blocks = law.procedure, law.blocks.test
        tangent, prior = self._test_tangent, to_numpy(getattr(blocks, procedure.prior))
        start = to_numpy(getattr(blocks, f"{procedure.prior}_diagonal"))
        step = self.gain("test")
        mean = step @ self.targets
        variance = start - 2 * np.sum(step * prior, axis=1) + np.sum((step @ route.prior) * step, axis=1)
        variance = variance + self.noise * np.sum(step**2, axis=1)
        if self.summed.temperature > 0:
            variance = variance + self._test_diffusion(tangent)
        variance = np.maximum(variance, 0.0)
        size = np.linalg.norm(step, axis=1)
        mean_error = route.kernel_error * size * float(np.linalg.norm(self.learned))
        mean_error = mean_error + 4 * route.unit * size * float(np.linalg.norm(self.targets))
        error = 4 * route.kernel_error * size * np.sqrt(variance) * self.filter_spread
        error = error + 4 * route.unit * (start + size**2 * float(np.trace(route.prior)))
        if self.summed.is_noisy:
            reach = np.sqrt(to_numpy(getattr(blocks, f"{procedure.tangent}_diagonal")))
            error = error + self._noise_error(np.sqrt(variance), reach, variance)
        with np.errstate(divide="ignore"):
            log = np.log(variance)
        relative = np.divide(error, variance, out=np.zeros_like(error), where=variance > 0)
        y = to_numpy(data.y_test)
        side = SecondSide(mean, mean - y, variance, log, start, mean_error, error, relative, y, data.labels_test)
        return self._with_repeats(side)

    def _with_repeats(self, side: SecondSide) -> SecondSide:
        """Test inputs that equal a training input have its law, of which no difference of large numbers is formed."""
        rows, same = repeats(to_numpy(self.law.data.x_test), to_numpy(self.law.data.x_train))
        if not len(rows):
            return side
        train, values = self.side("train"), dict(vars(side))
        for key in ("mean", "variance", "log_variance", "mean_error", "variance_error", "relative_error"):
            changed = np.array(values[key])
            changed[rows] = getattr(train, key)[same]
            values[key] = changed
        residual = np.array(side.residual)
        residual[rows] = train.residual[same] + (train.targets[same] - side.targets[rows])
        values["residual"] = residual
        if len(rows) == len(side.targets) and train.left is not None:
            # What is left to learn is of the training targets; with others the test targets play no part in Z.
            values.update(left=train.left[same], log_scale=train.log_scale, centres=train.targets[same])
        return SecondSide(**values)

    def _noise_error(self, std: np.ndarray, reach: np.ndarray, variance: np.ndarray) -> np.ndarray:
        route = self.route
        error = 2 * route.kernel_error * std * self.filter_spread + 4 * route.unit * variance
        if self.summed.temperature > 0:
            largest = float(np.max(np.diag(self._diffused)))
            effective = min(self.now.effective, 1e300)
            error = error + 2 * route.kernel_error * largest * (1 + effective * reach**2)
        return error

    def _test_diffusion(self, tangent: np.ndarray) -> np.ndarray:
        free, weight, share = self._diffusion_parts(tangent)
        diagonal = to_numpy(getattr(self.law.blocks.test, f"{self.law.procedure.tangent}_diagonal"))
        return free * diagonal - share**2 @ weight

    def diffusion(self, tangent: np.ndarray, square: np.ndarray) -> np.ndarray:
        """Covariance by gradient noise, c_0 Θ_** − Θ_*U (c_0 − c_λ)/λ UᵀΘ_*ᵀ, of inputs with the tangent kernels."""
        free, weight, share = self._diffusion_parts(tangent)
        return free * square - (share * weight[None, :]) @ share.T

    def _diffusion_parts(self, tangent: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        values, vectors = self.route.basis
        along = np.sum(vectors * (self._diffused @ vectors), axis=0)
        free = 2 * self.summed.temperature * self._free_energy()
        weight = np.where(values > 0, (free - along) / np.where(values > 0, values, 1.0), 0.0)
        return free, weight, tangent @ vectors

    def _free_energy(self) -> float:
        """Q at λ = 0."""
        rho, step = self.summed.ridge, self.summed.step
        if step is None:
            return self.time if rho == 0 else (1 - np.exp(-2 * rho * self.time)) / (2 * rho)
        squared = (1 - step * rho) ** 2
        steps = np.inf if np.isinf(self.time) else self.route.steps(self.time)
        return step * steps if rho == 0 else step * (1 - squared**steps) / (1 - squared)
