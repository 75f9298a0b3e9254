"""neural-tangents 0.6.5 on jax 0.6.1 and newer, without tensorflow: the only module that imports it.

What the library offers is handed on here under its own names. Known limits of it, which callers have to mind:

- `predict.gradient_descent_mse` and `gradient_descent_mse_ensemble` divide by |eigenvalue|: on a direction where the
  train-train kernel is zero t=None gives NaN, and so does t=inf where rounding leaves no sign to tell; an all-zero
  input without biases spoils finite times where it is the first or the last training input.
- `b_std=0` in the standard parameterisation still trains biases (their derivative is in the NTK): take `b_std=None`.
- `RectifiedMonomial` gives NaN for an input with itself; `ElementwiseNumerical` with 25 nodes is low for tanh, by 4 %
  at pre-activations of deviation 3 and by 18 % at 10.
- The relu NTK between (nearly) parallel inputs, so also its diagonal, keeps half the digits (arccos near 1): 2e-8
  relative in float64, 3e-4 in float32. Compute in float64 and take the diagonal from the scalar recursion.
- Kernels are computed in the precision of their inputs: use `ntkinfo.core.arrays.float64`.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkinfo.core.versions import require_jax
from ntkinfo.kernels import _neural_tangents_patches as patches

VERSION = "0.6.5"
WITHOUT = (
    "without it FullyConnected, Convolutional and WideResidual keep their kernels, and with them curves, certificates, "
    "searches, rankings, bottlenecks and reports; so do trained FullyConnected networks. ntkinfo.stax, StaxNetwork and "
    "trained convolutional networks need it"
)


def _load() -> Any:
    """Import neural-tangents, or take it as a user imported it before us, and make it work on this jax.

    Raises:
        ImportError: jax is too old, neural-tangents is not installed or of another version, or does not load.
    """
    require_jax()
    library = sys.modules.get("neural_tangents") or _import_patched()
    if getattr(library, "__version__", None) != VERSION:
        found = getattr(library, "__version__", "of an unknown version")
        raise ImportError(f"ntkinfo needs neural-tangents {VERSION}, found {found}: install neural-tangents=={VERSION}")
    source = "neural_tangents._src."
    patches.rebind(sys.modules[source + "empirical"], sys.modules[source + "predict"], library.predict)
    return library


def _import_patched() -> Any:
    """Import the library with what it misses on loan; a failure leaves `sys.modules` as it was."""
    earlier = {name for name in sys.modules if name.startswith("neural_tangents.")}
    for name in earlier:
        del sys.modules[name]  # left by an import that failed, hence incomplete
    sys.modules["neural_tangents.experimental"] = patches.empty_experimental()
    try:
        with patches.lent_names(sys.modules):
            return importlib.import_module("neural_tangents")
    except BaseException as error:
        for name in [n for n in sys.modules if n.split(".")[0] == "neural_tangents"]:
            del sys.modules[name]
        if isinstance(error, ModuleNotFoundError) and error.name == "neural_tangents":
            raise ImportError(
                f"neural-tangents is not installed: install neural-tangents=={VERSION}; {WITHOUT}"
            ) from error
        if isinstance(error, ImportError | AttributeError):
            raise ImportError(
                f"neural-tangents {VERSION} does not load on jax {jax.__version__} ({error}); "
                f"ntkinfo was tried with jax 0.6.1 to 0.12: install one of these; {WITHOUT}"
            ) from error
        raise


_library = _load()

stax = _library.stax
predict = _library.predict
linearize = _library.linearize
taylor_expand = _library.taylor_expand
empirical_ntk_fn = _library.empirical_ntk_fn
empirical_nngp_fn = _library.empirical_nngp_fn
empirical_kernel_fn = _library.empirical_kernel_fn
empirical_ntk_vp_fn = _library.empirical_ntk_vp_fn
NtkImplementation = _library.NtkImplementation
Kernel = _library.Kernel


def batch(
    kernel_fn: Callable[..., Any], batch_size: int = 0, device_count: int = -1, store_on_device: bool = True
) -> Callable[..., Any]:
    """neural-tangents' `batch`, which computes a kernel in square tiles, with its conditions checked beforehand.

    Args:
        kernel_fn: computes a kernel of two batches of inputs.
        batch_size: rows of a tile on one device; 0 computes the kernel in one piece.
        device_count: how many devices to spread over; -1 for all, 0 for no spreading.
        store_on_device: whether the result stays on the device.

    Returns:
        A function with the signature of `kernel_fn`.

    Raises:
        ValueError: when the result is called with numbers of inputs that are no multiples of `batch_size` times the
            number of devices (the library would change the size of the tiles or fail), or with two sets of inputs that
            share rows where the network has dropout (the library takes a tile of equal inputs for the diagonal of
            x1 with itself, and gives other numbers than without tiles).
    """
    batched = _library.batch(kernel_fn, batch_size, device_count, store_on_device)
    devices = jax.local_device_count() if device_count == -1 else max(device_count, 1)
    dropout = getattr(kernel_fn, "input_req", {}).get("use_dropout", False)

    @functools.wraps(batched)
    def checked(x1_or_kernel: Any, x2: Any = None, *args: Any, **kwargs: Any) -> Any:
        _refuse_ragged(x1_or_kernel, x2, batch_size, devices)
        if x2 is None:
            return batched(x1_or_kernel, x2, *args, **kwargs)
        if dropout:
            _refuse_shared_rows(x1_or_kernel, x2)
        result = batched(x1_or_kernel, x2, *args, **kwargs)
        if isinstance(result, Kernel):  # the library's flag looks at the first tile only: yes for x2 = x1[:n]
            result = result.replace(x1_is_x2=jnp.asarray(_equal(x1_or_kernel, x2)))
        return result

    return checked


def _refuse_ragged(x1_or_kernel: Any, x2: Any, batch_size: int, devices: int) -> None:
    multiple = max(batch_size, 1) * devices
    leaves = jax.tree.leaves((x1_or_kernel, x2), is_leaf=lambda leaf: isinstance(leaf, Kernel))
    sides = [leaf.nngp.shape[:2] if isinstance(leaf, Kernel) else leaf.shape[:1] for leaf in leaves]
    for rows in {rows for side in sides for rows in side}:
        if rows % multiple:
            raise ValueError(
                f"{rows} inputs cannot be split into batches of {batch_size} on {devices} device(s): "
                f"the number of inputs must be a multiple of {multiple}; choose another batch_size"
            )


def _refuse_shared_rows(x1: Any, x2: Any) -> None:
    for first, second in zip(jax.tree.leaves(x1), jax.tree.leaves(x2), strict=True):
        rows = {np.asarray(row).tobytes() for row in first}
        if any(np.asarray(row).tobytes() in rows for row in second):
            raise ValueError(
                "x1 and x2 share inputs and the network has dropout: in batches their kernel would be wrong; "
                "pass x2=None for a set with itself, or compute the kernel without batch"
            )


def _equal(x1: Any, x2: Any) -> bool:
    first, second = jax.tree.leaves(x1), jax.tree.leaves(x2)
    return len(first) == len(second) and all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


__all__ = [
    "VERSION",
    "Kernel",
    "NtkImplementation",
    "batch",
    "empirical_kernel_fn",
    "empirical_nngp_fn",
    "empirical_ntk_fn",
    "empirical_ntk_vp_fn",
    "linearize",
    "predict",
    "stax",
    "taylor_expand",
]
