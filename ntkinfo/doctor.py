"""What this installation is and what works on it: versions, devices, precision, memory, and small live checks.

Each live check computes one number by ntkinfo itself or by neural-tangents, and by a second route, and compares them. A
check that fails is a finding with its error; it does not stop the others.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import psutil
import scipy.linalg
from jax.flatten_util import ravel_pytree

from ntkinfo.core.arrays import float64
from ntkinfo.core.memory import GIB, available_memory
from ntkinfo.core.randomness import random_key
from ntkinfo.kernels.architectures import FullyConnected
from ntkinfo.kernels.blocks import NetworkKernels

PACKAGES = ("ntkinfo", "jax", "jaxlib", "neural-tangents", "numpy", "scipy")
NEWEST_TRIED_JAX = (0, 12)
OWN = "ntkinfo's own kernels"
LITTLE_MEMORY = 1.0  # GiB: a 4000 x 4000 kernel pair and its decomposition


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        name: what was looked at.
        state: "ok"; "warning" where ntkinfo works but something deserves attention; "failed" where it does not work.
        text: what was found, in one line.
    """

    name: str
    state: Literal["ok", "warning", "failed"]
    text: str


@dataclass(frozen=True)
class Comparison:
    """One quantity by two routes.

    Args:
        computed: by ntkinfo or by neural-tangents.
        expected: by the second route, the same shape.
        route: what the second route is.
        tolerance: the largest difference allowed, relative to the largest expected value.
    """

    computed: Any
    expected: Any
    route: str
    tolerance: float = 1e-10

    def finding(self, name: str) -> Finding:
        """Whether the two agree."""
        computed, expected = np.asarray(self.computed), np.asarray(self.expected)
        if computed.shape != expected.shape:
            return Finding(name, "failed", f"shape {computed.shape}, but {expected.shape} by {self.route}")
        error = float(np.max(np.abs(computed - expected)) / np.max(np.abs(expected)))
        agrees = error <= self.tolerance  # False for NaN
        text = f"{'agrees with' if agrees else 'differs from'} {self.route} (relative difference {error:.1e})"
        return Finding(name, "ok" if agrees else "failed", text)


def examine() -> list[Finding]:
    """Look at the installation; prints nothing and changes no setting.

    Returns:
        Findings in the order in which a reader wants them. It takes some seconds, nearly all of it compiling.
    """
    looks: list[tuple[str, Callable[[], Finding]]] = [
        ("python", _python),
        *((name, partial(_package, name)) for name in PACKAGES),
        ("devices", _devices),
        ("precision", _precision),
        ("memory", _memory),
        (OWN, _own_kernels),
        *((name, partial(_live, name, check)) for name, check in CHECKS.items()),
    ]
    return [_attempt(name, look) for name, look in looks]


def _attempt(name: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except Exception as error:  # whatever goes wrong is the finding
        return Finding(name, "failed", " ".join(f"{type(error).__name__}: {error}".split()))


def _python() -> Finding:
    return Finding("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def _package(name: str) -> Finding:
    try:
        found = version(name)
    except PackageNotFoundError:
        return Finding(name, "failed", "not installed")
    if name == "jax" and jax.__version_info__[:2] > NEWEST_TRIED_JAX:
        tried = ".".join(map(str, NEWEST_TRIED_JAX))
        return Finding(name, "warning", f"{found}, newer than {tried}, the newest that ntkinfo was tried with")
    return Finding(name, "ok", found)


def _devices() -> Finding:
    devices = ", ".join(f"{device.platform}:{device.id} ({device.device_kind})" for device in jax.devices())
    return Finding("devices", "ok", f"{devices}; default {jax.default_backend()}")


def _precision() -> Finding:
    before = jnp.ones(1, dtype=float).dtype
    with float64():
        inside = jnp.asarray(1.0) + 1e-12  # float32 would round this to 1
    after = jnp.ones(1, dtype=float).dtype
    if inside.dtype != np.float64 or not 0 < float(inside) - 1 < 2e-12:
        return Finding("precision", "failed", f"jax computes in {inside.dtype} where float64 was asked for")
    if before != after:
        return Finding("precision", "failed", f"asking for float64 changed jax's own setting from {before} to {after}")
    return Finding("precision", "ok", f"float64 inside ntkinfo; outside {after}, as it was found")


def _memory() -> Finding:
    total, free = psutil.virtual_memory().total / GIB, available_memory()
    state = "ok" if free >= LITTLE_MEMORY else "warning"
    return Finding("memory", state, f"{free:.1f} GiB free for this process; the machine has {total:.1f} GiB")


def _own_kernels() -> Finding:
    """What curves stand on, also where neural-tangents does not load."""
    x = _inputs(4)
    kernels = NetworkKernels(FullyConnected(1, "erf", 1.0, 1.0), x).train()
    return Comparison((kernels.nngp, kernels.ntk), _closed_form(x), "the arcsine formula").finding(OWN)


def _live(name: str, check: Callable[[Any], Comparison]) -> Finding:
    from ntkinfo.kernels import neural_tangents_compat as nt  # here, so that a library that does not load is a finding

    with float64():
        return check(nt).finding(name)


def _inputs(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, 5))


def _network(nt: Any, width: int = 1) -> Any:
    """One hidden erf layer, one output, unit deviations."""
    return nt.stax.serial(nt.stax.Dense(width, 1.0, 1.0), nt.stax.Erf(), nt.stax.Dense(1, 1.0, 1.0))


def _closed_form(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """NNGP and NTK of `_network` by the arcsine formula (Williams 1997)."""
    gram = x @ x.T / x.shape[1] + 1
    scale = np.outer(1 + 2 * np.diag(gram), 1 + 2 * np.diag(gram))
    nngp = 2 / np.pi * np.arcsin(2 * gram / np.sqrt(scale)) + 1
    return nngp, nngp + 4 / np.pi / np.sqrt(scale - 4 * gram**2) * gram


def _finite(nt: Any) -> tuple[Callable[..., Any], Any]:
    """A finite network: its function and its parameters."""
    init_fn, apply_fn, _ = _network(nt, width=8)
    return apply_fn, init_fn(random_key(0), (-1, 5))[1]


def _check_kernels(nt: Any) -> Comparison:
    x = _inputs(4)
    kernel = _network(nt)[2](x, None, ("nngp", "ntk"))
    return Comparison((kernel.nngp, kernel.ntk), _closed_form(x), "the arcsine formula")


def _check_predict(nt: Any) -> Comparison:
    x, y, t = _inputs(4), _inputs(4, seed=1)[:, :1], 7.0
    law = nt.predict.gradient_descent_mse_ensemble(_network(nt)[2], x, y)(t=t, get="ntk", compute_cov=True)
    nngp, ntk = _closed_form(x)
    gone = scipy.linalg.expm(-ntk * t / y.size)
    expected = np.hstack([y - gone @ y, gone @ nngp @ gone])
    return Comparison(np.hstack([law.mean, law.covariance]), expected, "the matrix exponential")


def _check_linearize(nt: Any) -> Comparison:
    apply_fn, params = _finite(nt)
    x, step = _inputs(4), jax.tree.map(jnp.cos, params)
    moved = jax.tree.map(jnp.add, params, step)
    value, slope = jax.jvp(lambda p: apply_fn(p, x), (params,), (step,))
    return Comparison(nt.linearize(apply_fn, params)(moved, x), value + slope, "a directional derivative")


def _check_batch(nt: Any) -> Comparison:
    x = _inputs(4)
    tiled = nt.batch(_network(nt)[2], batch_size=2, device_count=0)(x, None, ("nngp", "ntk"))
    return Comparison((tiled.nngp, tiled.ntk), _closed_form(x), "the arcsine formula")


def _check_empirical(implementation: str, nt: Any) -> Comparison:
    x, (apply_fn, params) = _inputs(4), _finite(nt)
    compute = nt.empirical_ntk_fn(apply_fn, implementation=nt.NtkImplementation[implementation])
    flat, unravel = ravel_pytree(params)
    jacobian = np.asarray(jax.jacobian(lambda vector: apply_fn(unravel(vector), x)[:, 0])(flat))
    return Comparison(compute(x, None, params), jacobian @ jacobian.T, "the explicit Jacobian")


IMPLEMENTATIONS = {
    "JACOBIAN_CONTRACTION": "Jacobian contraction",
    "NTK_VECTOR_PRODUCTS": "NTK-vector products",
    "STRUCTURED_DERIVATIVES": "structured derivatives",
    "AUTO": "automatic choice",
}

CHECKS: dict[str, Callable[[Any], Comparison]] = {
    "infinite-width kernels": _check_kernels,
    "prediction": _check_predict,
    "linearisation": _check_linearize,
    "kernels in batches": _check_batch,
    **{f"empirical NTK, {text}": partial(_check_empirical, name) for name, text in IMPLEMENTATIONS.items()},
}
