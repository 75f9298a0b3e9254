"""How messages name what came and what is needed: short, on one line, inert in a terminal."""

from __future__ import annotations

import difflib
import inspect
import reprlib
import sys
from typing import Any

import numpy as np

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60

# Where records come from that users do not make by hand.
_MAKERS = {
    "Network": "a network, such as ni.FullyConnected()",
    "Procedure": "a training procedure, such as ni.GradientFlow()",
    "Dataset": "a Dataset, from ni.data or ni.Dataset(x_train, y_train, x_test, y_test)",
    "KernelBlocks": "the kernels, from ni.kernel_blocks(network, data)",
    "OutputDistribution": "the law of outputs, from ni.output_distribution(blocks, data, procedure, times)",
    "OutputLaw": "a law of outputs, from ni.output_distribution(...), such as its .test",
    "DiscreteProblem": "a DiscreteProblem, such as ni.binary_symmetric(0.1) or ni.DiscreteProblem(input_law, ...)",
    "DiscreteCurve": "a bottleneck curve, from ni.bottleneck_curve(problem)",
    "DualSolution": "a solution, from ni.solve_dual(problem, beta)",
    "BottleneckSolution": "a solution, one of the .solutions of ni.bottleneck_curve(problem)",
    "EnsembleOutputs": "members' outputs, from ni.train_ensemble(...)",
    "PlaneStudy": "a study, from ni.information_plane(...)",
    "NoisyStudy": "a study, from ni.noisy_study(...)",
    "Findings": "what ni.findings(study) returns",
    "Binning": "bins: ni.RangeBins(30), ni.QuantileBins(30), ni.WidthBins(0.1) or ni.FixedBins(edges)",
    "Figure": "a matplotlib Figure, as the functions ni.*_figure return",
    "TrialTable": "a TrialTable, from ni.trial_table(ni.read_records(folder).rows) or made by hand",
}


def came(value: Any) -> str:
    """What was given, in a few words."""
    if isinstance(value, np.generic) and not isinstance(value, np.str_ | np.bytes_):
        return str(value)
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return _inert(_SHORT.repr(value) if not isinstance(value, str) else ascii_repr(value))
    if inspect.isclass(value):
        return f"the class {value.__name__}"
    if inspect.isroutine(value):
        return f"the function {getattr(value, '__name__', 'without a name')}"
    if inspect.ismodule(value):
        return f"the module {value.__name__}"
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if isinstance(shape, tuple) and dtype is not None:
        return f"an array of {dtype} of shape {shape}"
    name = type(value).__name__
    if isinstance(value, list | tuple | set | frozenset | dict):
        return f"a {name} of {len(value)}" if len(value) else f"an empty {name}"
    return f"{'an' if name[:1] in 'AEIOUaeiou' else 'a'} {name}"


def ascii_repr(value: str) -> str:
    """Text in quotes, shortened, control characters escaped."""
    return repr(value if len(value) <= 60 else value[:57] + "...")


def _inert(text: str) -> str:
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def maker(kind: type) -> str:
    """A record in words, with where it comes from."""
    if kind.__name__ in _MAKERS:
        return _MAKERS[kind.__name__]
    name = kind.__name__
    article = "an" if name[:1] in "AEIOU" else "a"
    return f"{article} ni.{name}(...)" if name in _public_names() else f"{article} {name}"


def making(value: Any, what: str, kind: type | None = None) -> str:
    """What to do with what came to make what is needed of it; empty where nothing is near."""
    if inspect.isclass(value):
        if kind is not None and issubclass(value, kind):
            return f": give an object of it, {value.__name__}({'' if _needs_nothing(value) else '...'})"
        return f": give an object, {value.__name__}(...)" if value.__name__ in what else ""
    if isinstance(value, str):
        plain = value.replace("_", "").replace("-", "").replace(" ", "").lower()
        by_name = {name.lower(): name for name in _public_names() if name[:1].isupper()}
        near = difflib.get_close_matches(plain, by_name, n=1, cutoff=0.75)
        return f": give an object, ni.{by_name[near[0]]}(...)" if near else ""
    if isinstance(value, dict) and kind is not None and kind.__name__ in _public_names():
        return f": write ni.{kind.__name__}(**...)"
    return ""


def _needs_nothing(kind: type) -> bool:
    try:
        parameters = inspect.signature(kind).parameters.values()
    except ValueError:
        return False
    return all(one.default is not one.empty for one in parameters)


def _public_names() -> tuple[str, ...]:
    return tuple(getattr(sys.modules.get("ntkinfo"), "__all__", ()))
