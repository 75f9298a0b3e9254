"""One trial: a network, what it learns and how, described so that its fingerprint is the same everywhere and always."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.data import registry
from ntkinfo.kernels.activations import ACTIVATION_NAMES
from ntkinfo.kernels.network import FORMULA_VERSION

# Part of every fingerprint: raise it when a measure, a data set or what a row holds changes, so that records of the old
# one are not taken for the new one's.
MEASURE_VERSION = 1

FAMILIES = ("fully_connected", "convolutional", "wide_residual")
PROCEDURES = ("gradient_flow", "gradient_descent", "heavy_ball", "converged", "nngp_posterior", "ntk_posterior")
AT_THE_END = ("converged", "nngp_posterior", "ntk_posterior")
"""Procedures whose result does not depend on the stopping time."""
TEACHER = "teacher_gp"
BUNDLED = ("digits", "breast_cancer", "wine", "diabetes")
REAL_VALUED = ("diabetes", TEACHER)
FILES = ("idx", "npz", "csv", "parquet", "mat")
POOLS = {"digits": 1797, "breast_cancer": 569, "wine": 178, "diabetes": 442}
"""Inputs of the bundled data sets."""
DATA_SETS = (*BUNDLED, TEACHER, *FILES)
QUANTITIES = ("none", "closed", "all")

Value = float | int | str | bool


@checked
@dataclass(frozen=True, kw_only=True)
class TrialOptions:
    """What trials of one search have in common.

    Args:
        n_test: test inputs at most; bundled data sets have fewer where `n` leaves fewer.
        step_share: size of a step of gradient_descent and heavy_ball, as a share of 1/(largest eigenvalue + ridge):
            below 2, or 2 (1 + momentum).
        momentum: of heavy_ball, 0 or greater and below 1.
        quantities: information quantities among the measures: "none", "closed" for those in closed form, "all" for
            I(Z;X) and I(Z;Y) too, which are drawn (Monte Carlo) or integrated and take most of the time.
        samples: draws for each input of those with two outputs and more, even and at least 4.
        files: options of the data set that is read from files, as (name, value) pairs: ("image_file", "…"), ….
        digests: SHA-256 of those files, in the order of their names: trials on other contents are other trials.
        finite_width: width of trained networks for the truth at finite width beside the law's; 0 for none.
        finite_members: how many of them.
        finite_steps: most steps of gradient descent that they take.

    Raises:
        ValueError: a number out of range, an unknown name.
    """

    n_test: int = 512
    step_share: float = 0.5
    momentum: float = 0.9
    quantities: str = "closed"
    samples: int = 16
    files: tuple[tuple[str, Any], ...] = ()
    digests: tuple[str, ...] = ()
    finite_width: int = 0
    finite_members: int = 16
    finite_steps: int = 4096

    def __post_init__(self):
        checks.whole("n_test", self.n_test)
        checks.positive("step_share", self.step_share)
        checks.non_negative("momentum", self.momentum)
        if self.step_share >= 2:
            raise ValueError(f"step_share is {self.step_share}; it must be below 2, or gradient descent diverges")
        if self.momentum >= 1:
            raise ValueError(f"momentum is {self.momentum}; it must be below 1, or training never settles")
        checks.choice("quantities", self.quantities, QUANTITIES)
        checks.whole("samples", self.samples, least=4)
        if self.samples % 2:
            raise ValueError(f"samples is {self.samples}; it must be even (antithetic pairs)")
        checks.whole("finite_width", self.finite_width, least=0)
        checks.whole("finite_members", self.finite_members, least=2)
        checks.whole("finite_steps", self.finite_steps)


@checked
@dataclass(frozen=True, kw_only=True)
class Trial:
    """A network of infinite width, its data, and how it is trained.

    Args:
        data: a bundled data set ("digits", "breast_cancer", "wine", "diabetes"), "teacher_gp", or a kind of file
            ("idx", "npz", "csv", "parquet", "mat") whose names are in `options.files`.
        n: training inputs.
        noise: on the training targets alone: probability of a replaced class (of a flipped sign for two), or for
            real-valued targets the deviation of added Gaussian noise.
        family: "fully_connected", "convolutional" or "wide_residual".
        depth: hidden layers (for wide_residual, blocks in a group).
        activation: by name.
        w_std: deviation of the weights.
        b_std: deviation of the biases.
        ridge: of the procedure; for the posteriors, the variance of the target noise.
        procedure: "gradient_flow", "gradient_descent", "heavy_ball", "converged", "nngp_posterior" or "ntk_posterior".
        time: when training stops, in the time of the summed loss; infinity for the end. Taken as infinity for
            procedures that know only the end.
        seed: fixes the split and the noise.
        options: what the trials of a search have in common.

    Raises:
        ValueError: an unknown name (with the nearest known one), a number out of range.
    """

    data: str = "digits"
    n: int = 64
    noise: float = 0.0
    family: str = "fully_connected"
    depth: int = 2
    activation: str = "erf"
    w_std: float = 1.5
    b_std: float = 0.1
    ridge: float = 0.1
    procedure: str = "gradient_flow"
    time: float = math.inf
    seed: int = 0
    options: TrialOptions = field(default_factory=TrialOptions)

    def __post_init__(self):
        known = {"data": DATA_SETS, "family": FAMILIES, "activation": ACTIVATION_NAMES, "procedure": PROCEDURES}
        for name, names in known.items():
            checks.choice(name, getattr(self, name), names)
        for name, least in (("n", 2), ("depth", 0 if self.family == "fully_connected" else 1), ("seed", 0)):
            checks.whole(name, getattr(self, name), least=least)
            object.__setattr__(self, name, int(getattr(self, name)))
        checks.positive("w_std", self.w_std)
        for name in ("noise", "b_std", "ridge"):
            checks.non_negative(name, getattr(self, name))
        if not self.time >= 0:
            raise ValueError(f"time is {self.time}; it must be 0 or later, infinity included")
        if self.procedure in AT_THE_END:
            object.__setattr__(self, "time", math.inf)
        for name in ("noise", "w_std", "b_std", "ridge", "time"):
            # −0 is 0; a whole number and the same real number are one trial.
            object.__setattr__(self, name, float(getattr(self, name)) + 0.0)
        if not self.real_valued:
            checks.probability("noise", self.noise)
        if self.n >= POOLS.get(self.data, math.inf):
            raise ValueError(f"n is {self.n}, and {self.data} has {POOLS[self.data]} inputs, of which some are to test")
        if self.data in FILES and not self.options.files:
            needed = [o.name for o in registry.ENTRIES[self.data].options.values() if o.required]
            raise ValueError(f"data is {self.data!r}, which needs the option(s) {', '.join(needed)}")
        if self.family != "fully_connected" and self.data not in ("digits", "idx"):
            raise ValueError(f"family is {self.family!r}, which needs images, and {self.data!r} has none")

    @property
    def real_valued(self) -> bool:
        """Whether the data set's targets are real numbers, and noise on them Gaussian rather than a replaced class."""
        return self.data in REAL_VALUED or (
            self.data in FILES and dict(self.options.files).get("targets") == "regression"
        )

    @property
    def settings(self) -> dict[str, Value]:
        """The trial's axes and the options that its numbers depend on, flat."""
        axes = {name: getattr(self, name) for name in AXES}
        given = {item.name: getattr(self.options, item.name) for item in fields(TrialOptions)}
        if self.procedure not in ("gradient_descent", "heavy_ball"):
            del given["step_share"]
        if self.procedure != "heavy_ball":
            del given["momentum"]
        if self.data not in FILES:
            del given["files"], given["digests"]
        if not given["finite_width"]:
            given = {name: value for name, value in given.items() if not name.startswith("finite_")}
        if given["quantities"] != "all":
            del given["samples"]
        given["n_test_limit"] = given.pop("n_test")
        if "files" in given:
            given["files"] = json.dumps(list(given["files"]), default=str)
            given["digests"] = ",".join(given["digests"])
        return {**axes, **given}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over all settings and the version of the measures; the same in every process."""
        text = json.dumps(
            {"measures": MEASURE_VERSION, "formulas": FORMULA_VERSION, **self.settings}, sort_keys=True, allow_nan=True
        )
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def group(self) -> str:
        """What trials that share the recursion of their kernels have in common: all but depth and training."""
        shared = ("data", "n", "seed", "family", "activation", "w_std", "b_std")
        text = json.dumps([*(getattr(self, name) for name in shared), self.settings["n_test_limit"], self._files])
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def _files(self) -> list[Value]:
        return [self.settings.get(name, "") for name in ("files", "digests")]

    def __getstate__(self) -> dict[str, Any]:
        # Cached values are recomputed: a hash takes less than its way over the wire is worth.
        return {item.name: self.__dict__[item.name] for item in fields(self)}


AXES = tuple(item.name for item in fields(Trial) if item.name != "options")
"""What a search may vary, in the order in which it is named."""


@dataclass(frozen=True)
class Outcome:
    """What came of one trial.

    Args:
        fingerprint: the trial's.
        row: its settings, and if all went well measures and true generalisation.
        error: what went wrong, None if nothing.
        seconds: the time that it took, its share of what it has in common with the trials measured together with it
            included.
    """

    fingerprint: str
    row: Mapping[str, Value]
    error: str | None
    seconds: float


def plain(value: Any) -> Value:
    """A number or text without numpy's types."""
    return value.item() if isinstance(value, np.generic) else value
