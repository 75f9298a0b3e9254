"""What neural-tangents 0.6.5 (December 2023) needs to run on jax 0.6.1 and newer.

Two kinds of patch. Names that jax took away and that neural-tangents imports by name are lent to jax's modules for the
length of that import and taken back (`lent_names`). What neural-tangents looks up later, when its functions run, is
rebound in neural-tangents' own modules (`rebind`); jax itself stays as it is.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any

import jax
import jax.core
import jax.example_libraries.stax
import jax.experimental.ode
import jax.extend.core as extend_core
import jax.extend.source_info_util as source_info
import jax.numpy as jnp
import numpy as np
import scipy
import scipy.linalg
from jax.interpreters import ad

# jax.example_libraries.stax and jax.experimental.ode, which neural-tangents uses, are imported above so that none of
# jax's own files is executed while names are on loan.

_log = logging.getLogger(__name__)


@contextmanager
def lent_names(modules: MutableMapping[str, Any]) -> Iterator[None]:
    """Lend jax's modules the names that neural-tangents imports and that jax dropped; take them back at the end.

    Args:
        modules: `sys.modules`, where the stand-in for `jax.util` and the empty `neural_tangents.experimental` are put.
            The latter stays if neural-tangents was imported, since its package holds it as an attribute.
    """
    jaxpr_names = ("Jaxpr", "JaxprEqn", "Literal", "Primitive", "Var")
    with ExitStack() as loans:
        # jax 0.5 deprecated these five in jax.core and 0.6 removed them; they live in jax.extend.core.
        loans.enter_context(_lent(vars(jax.core), {name: getattr(extend_core, name) for name in jaxpr_names}))
        # Deprecated in 0.7, gone from 0.10. No program holds it any more: the rule filed under it is never used.
        zeros_like = {"zeros_like_p": extend_core.Primitive("zeros_like_unused")}
        loans.enter_context(_lent(vars(ad), zeros_like))
        # Deprecated in 0.6, gone from 0.7.2; replaced where it still exists because importing from it warns.
        loans.enter_context(_lent(modules, {"jax.util": _jax_util()}, replace=True))
        yield


@contextmanager
def _lent(namespace: Any, names: dict[str, Any], replace: bool = False) -> Iterator[None]:
    """Add names to a namespace for a while; those it has already are kept unless `replace`."""
    before = {name: namespace[name] for name in names if name in namespace}
    namespace.update({name: value for name, value in names.items() if replace or name not in before})
    try:
        yield
    finally:
        for name in names:
            namespace.pop(name, None) if name not in before else namespace.update({name: before[name]})


def _jax_util() -> ModuleType:
    """The two functions of `jax.util` that neural-tangents imports: map and zip that insist on equal lengths."""
    module = ModuleType("jax.util")

    def safe_zip(*rows: Any) -> list[tuple[Any, ...]]:
        return list(zip(*rows, strict=True))

    def safe_map(function: Callable[..., Any], *rows: Any) -> list[Any]:
        return [function(*items) for items in zip(*rows, strict=True)]

    module.__dict__.update(safe_zip=safe_zip, safe_map=safe_map)
    return module


def empty_experimental() -> ModuleType:
    """A stand-in for `neural_tangents.experimental`, whose only content converts tensorflow models."""
    module = ModuleType("neural_tangents.experimental", "Left out by ntkinfo: it needs tensorflow.")

    def missing(name: str) -> Any:
        raise AttributeError(
            f"neural_tangents.experimental.{name} is not there: ntkinfo leaves this part out because it needs "
            "tensorflow; to use it, install tensorflow and import neural_tangents before ntkinfo"
        )

    module.__dict__["__getattr__"] = missing
    return module


def rebind(empirical: Any, predict: Any, public_predict: Any) -> None:
    """Replace, inside neural-tangents' own modules, what no longer works there.

    Args:
        empirical: the module `neural_tangents._src.empirical`.
        predict: the module `neural_tangents._src.predict`.
        public_predict: the module `neural_tangents.predict`, which hands the former's functions on.
    """
    _rebind_empirical(empirical)
    _rebind_predict(predict)
    public_predict.gradient_descent_mse_ensemble = predict.gradient_descent_mse_ensemble


class _View:
    """A module with some of its names replaced, for the module that looks them up there and for nobody else."""

    def __init__(self, base: Any, **replaced: Any) -> None:
        self.__dict__.update(replaced, _base=base)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._base, name)


def _rebind_empirical(empirical: Any) -> None:
    # ad.source_info_util went in 0.4.26 (a name that leaked out of jax's own imports).
    empirical.ad = _View(ad, source_info_util=source_info)
    # jnp refuses the size and shape of abstract arrays from 0.6 on (0.5 warns); numpy 2.4 warns at jnp.dtype(array).
    empirical.jnp = _View(jnp, size=np.size, shape=np.shape, dtype=jnp.result_type)
    empirical._get_primals_out_and_pullback = functools.partial(_primals_out_and_pullback, empirical)
    empirical._eqn_vjp_fn = _transpose_equation
    empirical._write_cotangent = _write_cotangent
    empirical._read_primal = _read_primal
    empirical._get_flops = _flops
    # The automatic choice printed the cost of each implementation to standard output.
    empirical.print = _log.debug


def _primals_out_and_pullback(
    empirical: Any, function: Any, mode: Any, j_rules: bool, s_rules: bool, fwd: bool | None, *primals: Any
) -> tuple[Any, Callable[..., Any]]:
    """The value of a function and what structured derivatives collect along its linearisation.

    The library called `ad.linearize`, `api_util.flatten_fun_nokwargs` and `linear_util.wrap_init`; their arguments and
    results changed in 0.4.36, 0.5 and 0.7. The public `jax.linearize` and `jax.make_jaxpr` give the same program.
    """
    flat_primals, in_tree = jax.tree.flatten(primals)
    out_trees = []

    def flat_function(*leaves: Any) -> list[Any]:
        flat, tree = jax.tree.flatten(function(*jax.tree.unflatten(in_tree, leaves)))
        out_trees.append(tree)
        return flat

    with jax.disable_jit():  # nested programs are written out, for the rules know single operations only
        flat_out, tangent_map = jax.linearize(flat_function, *flat_primals)
        program = jax.make_jaxpr(tangent_map)(*flat_primals)

    def pullback(*cotangents: Any) -> Any:
        unknown = [ad.UndefinedPrimal(variable.aval) for variable in program.jaxpr.invars]
        collected = empirical._backward_pass(
            program.jaxpr,
            mode=mode,
            consts=program.consts,
            primals_in=unknown,
            cotangents_in=tuple(jax.tree.leaves(cotangents)),
            _j_rules=j_rules,
            _s_rules=s_rules,
            _fwd=fwd,
        )
        return jax.tree.unflatten(in_tree, collected)

    return jax.tree.unflatten(out_trees[-1], flat_out), pullback


def _transpose_equation(equation: Any, cotangent: Any, *values: Any) -> Any:
    """Cotangents of an equation's inputs; None as equation stands for the identity.

    The library asked for `Primitive.map_primitive`, gone in 0.10, where the registered transposes of slice and some
    others also became unusable from outside (NotImplementedError): there the public `jax.linear_transpose` does it.
    """
    if equation is None:
        return (cotangent,)
    if type(cotangent) is ad.Zero:
        return [None] * len(values)
    if not equation.primitive.multiple_results:
        try:
            return ad.get_primitive_transpose(equation.primitive)(cotangent, *values, **equation.params)
        except NotImplementedError:
            pass  # no rule of the old form: the general route below raises the same error where there is none at all
    return _general_transpose(equation, cotangent, values)


def _general_transpose(equation: Any, cotangent: Any, values: tuple[Any, ...]) -> list[Any]:
    linear = [i for i, value in enumerate(values) if ad.is_undefined_primal(value)]

    def apply(unknown: dict[int, Any]) -> Any:
        arguments = [unknown[i] if i in linear else value for i, value in enumerate(values)]
        return equation.primitive.bind(*arguments, **equation.params)

    transpose = jax.linear_transpose(apply, {i: values[i].aval for i in linear})
    (cotangents,) = transpose([cotangent] if equation.primitive.multiple_results else cotangent)
    return [cotangents.get(i) for i in range(len(values))]


def _write_cotangent(primitive: Any, cotangents: MutableMapping[Any, Any], variable: Any, cotangent: Any) -> None:
    """Add a cotangent to what a variable has; the library's check used `ad.config`, gone in 0.4.26."""
    if cotangent is None or type(cotangent) is ad.Zero or isinstance(variable, extend_core.Literal):
        return
    if variable in cotangents:
        cotangent = ad.add_tangents(cotangents[variable], cotangent)
    cotangents[variable] = cotangent


def _read_primal(values: MutableMapping[Any, Any], variable: Any) -> Any:
    """A variable's value where it is known; the library asked for `core.DShapedArray`, gone in 0.10."""
    if isinstance(variable, extend_core.Literal):
        return variable.val
    return values[variable] if variable in values else ad.UndefinedPrimal(variable.aval)


def _flops(function: Callable[..., Any], optimize: bool, *arguments: Any, **keywords: Any) -> float:
    """Floating-point operations of a function, by which `NtkImplementation.AUTO` chooses.

    `cost_analysis()` of a compiled program was a list of one dict and is a dict from 0.5 on.

    Raises:
        RuntimeError: the compiler of this device gives no count.
    """
    lowered = jax.jit(function).lower(*arguments, **keywords)
    costs = (lowered.compile() if optimize else lowered).cost_analysis()
    if not isinstance(costs, dict) or "flops" not in costs:
        raise RuntimeError(
            f"NtkImplementation.AUTO cannot choose: jax {jax.__version__} counts no operations on "
            f"{jax.default_backend()}; name an implementation instead"
        )
    return float(costs["flops"])


def _rebind_predict(predict: Any) -> None:
    # jax.core.eval_context rejects traced kernels since 0.4.36: predictions built inside jit or vmap failed.
    predict.jax = _View(jax, core=_View(jax.core, eval_context=jax.ensure_compile_time_eval))
    predict.lru_cache = _concrete_lru_cache
    predict.gradient_descent_mse_ensemble = _with_concrete_kernel(predict.gradient_descent_mse_ensemble)
    # scipy 1.14 removed eigvalsh(eigvals=...).
    linalg = _View(scipy.linalg, eigvalsh=_eigvalsh)
    predict.sp = _View(scipy, linalg=linalg)


# The library keeps kernels and their decompositions from one prediction to the next. Where the first was made inside
# jit, it kept traced arrays, on which the next one outside failed. The two functions below compute them on the spot.


def _concrete_lru_cache(maxsize: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`functools.lru_cache` whose functions compute with concrete arrays even inside jit."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.lru_cache(maxsize)
        def concrete(*arguments: Any, **keywords: Any) -> Any:
            with jax.ensure_compile_time_eval():
                return function(*arguments, **keywords)

        return concrete

    return decorate


def _with_concrete_kernel(ensemble: Callable[..., Any]) -> Callable[..., Any]:
    """`gradient_descent_mse_ensemble` that computes the train-train kernel outside the program being traced."""

    @functools.wraps(ensemble)
    def wrapped(kernel_fn: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        @functools.wraps(kernel_fn)
        def concrete(*inputs: Any, **options: Any) -> Any:
            if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((inputs, options))):
                return kernel_fn(*inputs, **options)
            # Not ensure_compile_time_eval: on 0.5 to 0.7 that leaves custom_jvp functions (arctan2, sqrt) traced.
            with jax.core.eval_context():
                return kernel_fn(*inputs, **options)

        return ensemble(concrete, *arguments, **keywords)

    return wrapped


def _eigvalsh(matrix: Any, eigvals: tuple[int, int]) -> Any:
    return scipy.linalg.eigvalsh(matrix, subset_by_index=eigvals)
