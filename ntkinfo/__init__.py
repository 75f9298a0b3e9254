"""Information-theoretic analysis of infinitely wide neural networks.

    import ntkinfo as ni

    data = ni.data.digits(n_train=512, n_test=256, seed=0)
    network = ni.FullyConnected(depth=3, activation="erf", w_std=1.5, b_std=0.1)
    curves = ni.information_curves(network, data, times=ni.log_times(1e-2, 1e6, 200))

Names are loaded when they are first used: importing ntkinfo computes nothing and changes no jax setting.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ntkinfo import data as data
    from ntkinfo.bottleneck.gaussian import GaussianBottleneck as GaussianBottleneck
    from ntkinfo.core.records import Dataset as Dataset
    from ntkinfo.core.records import Estimate as Estimate
    from ntkinfo.data.synthetic import GaussianPair as GaussianPair
    from ntkinfo.finite.parameter_information import MemberSettings as MemberSettings
    from ntkinfo.finite.parameter_information import parameter_information as parameter_information
    from ntkinfo.information.certificate import certify as certify
    from ntkinfo.information.curves import CurveSettings as CurveSettings
    from ntkinfo.information.curves import curves_of as curves_of
    from ntkinfo.information.curves import information_curves as information_curves
    from ntkinfo.information.curves import load_curves as load_curves
    from ntkinfo.information.curves import save_curves as save_curves
    from ntkinfo.information.evaluation_space import ExtraInputs as ExtraInputs
    from ntkinfo.information.function_space import (
        information_labels_function_space as information_labels_function_space,
    )
    from ntkinfo.information.joint import information_joint as information_joint
    from ntkinfo.information.label_model import LabelModel as LabelModel
    from ntkinfo.information.label_model import information_labels_per_input as information_labels_per_input
    from ntkinfo.information.mixtures import mixture_entropy as mixture_entropy
    from ntkinfo.information.output import information_input as information_input
    from ntkinfo.information.output import information_target as information_target
    from ntkinfo.information.parameters import function_space as function_space
    from ntkinfo.information.parameters import linear_model as linear_model
    from ntkinfo.information.path import path as path
    from ntkinfo.information.phases import phases as phases
    from ntkinfo.information.plane import closest_approach as closest_approach
    from ntkinfo.information.plane import frontier_distance as frontier_distance
    from ntkinfo.information.plane_records import PlaneTrajectory as PlaneTrajectory
    from ntkinfo.information.pointwise import pointwise_information as pointwise_information
    from ntkinfo.information.population import population_information as population_information
    from ntkinfo.information.population_quadrature import population_quadrature as population_quadrature
    from ntkinfo.information.resampling import resampled_labels as resampled_labels
    from ntkinfo.information.resampling import resampled_training_sets as resampled_training_sets
    from ntkinfo.information.resampling import training_set_laws as training_set_laws
    from ntkinfo.information.spectral import spectral_contributions as spectral_contributions
    from ntkinfo.kernels.architectures import FullyConnected as FullyConnected
    from ntkinfo.kernels.architectures import StaxNetwork as StaxNetwork
    from ntkinfo.kernels.blocks import kernel_blocks as kernel_blocks
    from ntkinfo.kernels.convolutional import Convolutional as Convolutional
    from ntkinfo.kernels.convolutional import WideResidual as WideResidual
    from ntkinfo.kernels.prior import network_prior as network_prior
    from ntkinfo.kernels.records import KernelBlocks as KernelBlocks
    from ntkinfo.report.figures import curves_figure as curves_figure
    from ntkinfo.report.figures import plane_figure as plane_figure
    from ntkinfo.training.discrete import GradientDescent as GradientDescent
    from ntkinfo.training.discrete import HeavyBall as HeavyBall
    from ntkinfo.training.output_distribution import output_distribution as output_distribution
    from ntkinfo.training.procedures import Converged as Converged
    from ntkinfo.training.procedures import GradientFlow as GradientFlow
    from ntkinfo.training.procedures import nngp_posterior as nngp_posterior
    from ntkinfo.training.procedures import ntk_posterior as ntk_posterior
    from ntkinfo.training.times import log_times as log_times

__version__ = "0.1.0"

_HOMES = {
    "ntkinfo.bottleneck.gaussian": ("GaussianBottleneck",),
    "ntkinfo.core.records": ("Dataset", "Estimate"),
    "ntkinfo.data.synthetic": ("GaussianPair",),
    "ntkinfo.finite.parameter_information": ("MemberSettings", "parameter_information"),
    "ntkinfo.information.certificate": ("certify",),
    "ntkinfo.information.curves": ("CurveSettings", "curves_of", "information_curves", "load_curves", "save_curves"),
    "ntkinfo.information.evaluation_space": ("ExtraInputs",),
    "ntkinfo.information.function_space": ("information_labels_function_space",),
    "ntkinfo.information.joint": ("information_joint",),
    "ntkinfo.information.label_model": ("LabelModel", "information_labels_per_input"),
    "ntkinfo.information.mixtures": ("mixture_entropy",),
    "ntkinfo.information.output": ("information_input", "information_target"),
    "ntkinfo.information.parameters": ("function_space", "linear_model"),
    "ntkinfo.information.path": ("path",),
    "ntkinfo.information.phases": ("phases",),
    "ntkinfo.information.plane": ("closest_approach", "frontier_distance"),
    "ntkinfo.information.plane_records": ("PlaneTrajectory",),
    "ntkinfo.information.pointwise": ("pointwise_information",),
    "ntkinfo.information.population": ("population_information",),
    "ntkinfo.information.population_quadrature": ("population_quadrature",),
    "ntkinfo.information.resampling": ("resampled_labels", "resampled_training_sets", "training_set_laws"),
    "ntkinfo.information.spectral": ("spectral_contributions",),
    "ntkinfo.kernels.architectures": ("FullyConnected", "StaxNetwork"),
    "ntkinfo.kernels.blocks": ("kernel_blocks",),
    "ntkinfo.kernels.convolutional": ("Convolutional", "WideResidual"),
    "ntkinfo.kernels.prior": ("network_prior",),
    "ntkinfo.kernels.records": ("KernelBlocks",),
    "ntkinfo.report.figures": ("curves_figure", "plane_figure"),
    "ntkinfo.training.discrete": ("GradientDescent", "HeavyBall"),
    "ntkinfo.training.output_distribution": ("output_distribution",),
    "ntkinfo.training.procedures": ("Converged", "GradientFlow", "nngp_posterior", "ntk_posterior"),
    "ntkinfo.training.times": ("log_times",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", "data", *sorted(_HOME_OF)]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name == "data":
        return importlib.import_module("ntkinfo.data")
    if name in _HOME_OF:
        return getattr(importlib.import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module 'ntkinfo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
