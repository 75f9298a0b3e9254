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
    from ntkinfo import generalization as generalization
    from ntkinfo.bottleneck.critical import critical_beta as critical_beta
    from ntkinfo.bottleneck.critical import onset_beta as onset_beta
    from ntkinfo.bottleneck.critical import splits as splits
    from ntkinfo.bottleneck.deterministic import solve_deterministic as solve_deterministic
    from ntkinfo.bottleneck.deterministic import solve_squared as solve_squared
    from ntkinfo.bottleneck.discrete_curve import bottleneck_curve as bottleneck_curve
    from ntkinfo.bottleneck.discrete_search import SolverSettings as SolverSettings
    from ntkinfo.bottleneck.dual import dual_critical_beta as dual_critical_beta
    from ntkinfo.bottleneck.dual import dual_curve as dual_curve
    from ntkinfo.bottleneck.dual import solve_dual as solve_dual
    from ntkinfo.bottleneck.dual_exponents import compare_exponents as compare_exponents
    from ntkinfo.bottleneck.dual_exponents import exponents_beside as exponents_beside
    from ntkinfo.bottleneck.gaussian import GaussianBottleneck as GaussianBottleneck
    from ntkinfo.bottleneck.gaussian_dual import GaussianDualBottleneck as GaussianDualBottleneck
    from ntkinfo.bottleneck.gaussian_samples import bottleneck_from_samples as bottleneck_from_samples
    from ntkinfo.bottleneck.label_noise import estimate_label_noise as estimate_label_noise
    from ntkinfo.bottleneck.placement import gaussian_encoder as gaussian_encoder
    from ntkinfo.bottleneck.placement import place as place
    from ntkinfo.bottleneck.problems import DiscreteProblem as DiscreteProblem
    from ntkinfo.bottleneck.problems import binary_symmetric as binary_symmetric
    from ntkinfo.bottleneck.problems import codes_to_encoder as codes_to_encoder
    from ntkinfo.bottleneck.problems import deterministic_labels as deterministic_labels
    from ntkinfo.bottleneck.problems import erasure as erasure
    from ntkinfo.bottleneck.problems import random_problem as random_problem
    from ntkinfo.bottleneck.problems import soft_twelve_bit_rule as soft_twelve_bit_rule
    from ntkinfo.bottleneck.variational import VariationalSettings as VariationalSettings
    from ntkinfo.bottleneck.variational import class_targets as class_targets
    from ntkinfo.bottleneck.variational import default_model as default_model
    from ntkinfo.bottleneck.variational import label_noise_robustness as label_noise_robustness
    from ntkinfo.bottleneck.variational import train_variational as train_variational
    from ntkinfo.core.records import Dataset as Dataset
    from ntkinfo.core.records import Estimate as Estimate
    from ntkinfo.data.synthetic import GaussianPair as GaussianPair
    from ntkinfo.finite.comparison import Comparator as Comparator
    from ntkinfo.finite.comparison import ComparisonSettings as ComparisonSettings
    from ntkinfo.finite.comparison_information import information_of_members as information_of_members
    from ntkinfo.finite.comparison_parameters import parameters_beside_bound as parameters_beside_bound
    from ntkinfo.finite.comparison_study import scaling_of as scaling_of
    from ntkinfo.finite.comparison_study import study_width as study_width
    from ntkinfo.finite.ensemble_records import EnsembleOutputs as EnsembleOutputs
    from ntkinfo.finite.ensemble_records import EnsembleSettings as EnsembleSettings
    from ntkinfo.finite.ensemble_records import OptaxDescent as OptaxDescent
    from ntkinfo.finite.ensembles import train_ensemble as train_ensemble
    from ntkinfo.finite.gradient_phases import GradientSettings as GradientSettings
    from ntkinfo.finite.gradient_phases import layer_signals as layer_signals
    from ntkinfo.finite.gradient_phases import transition as transition
    from ntkinfo.finite.langevin import langevin_phases as langevin_phases
    from ntkinfo.finite.langevin_comparison import compare_langevin as compare_langevin
    from ntkinfo.finite.langevin_members import LangevinSettings as LangevinSettings
    from ntkinfo.finite.langevin_members import train_langevin as train_langevin
    from ntkinfo.finite.layered import LayeredNetwork as LayeredNetwork
    from ntkinfo.finite.noisy import NoisyNetwork as NoisyNetwork
    from ntkinfo.finite.noisy import NoisyTraining as NoisyTraining
    from ntkinfo.finite.noisy import noisy_information as noisy_information
    from ntkinfo.finite.noisy import train_noisy as train_noisy
    from ntkinfo.finite.noisy_neuron import NeuronTraining as NeuronTraining
    from ntkinfo.finite.noisy_neuron import neuron_information as neuron_information
    from ntkinfo.finite.noisy_neuron import train_neuron as train_neuron
    from ntkinfo.finite.noisy_study import StudySettings as StudySettings
    from ntkinfo.finite.noisy_study import noisy_classes as noisy_classes
    from ntkinfo.finite.noisy_study import noisy_study as noisy_study
    from ntkinfo.finite.noisy_study import noisy_twelve_bit as noisy_twelve_bit
    from ntkinfo.finite.parameter_information import MemberSettings as MemberSettings
    from ntkinfo.finite.parameter_information import parameter_information as parameter_information
    from ntkinfo.finite.plane import PlaneSettings as PlaneSettings
    from ntkinfo.finite.plane import information_plane as information_plane
    from ntkinfo.finite.plane import twelve_bit_plane as twelve_bit_plane
    from ntkinfo.finite.plane_findings import findings as findings
    from ntkinfo.finite.plane_findings import place_layers as place_layers
    from ntkinfo.finite.sample_propagation import PropagationSettings as PropagationSettings
    from ntkinfo.finite.sample_propagation import first_layer_information as first_layer_information
    from ntkinfo.finite.sample_propagation import sample_propagation as sample_propagation
    from ntkinfo.finite.trainer import TrainerSettings as TrainerSettings
    from ntkinfo.finite.trainer import Training as Training
    from ntkinfo.finite.trainer import train_members as train_members
    from ntkinfo.finite.verdict import verdict as verdict
    from ntkinfo.finite.width_scaling import width_scaling as width_scaling
    from ntkinfo.information.certificate import certify as certify
    from ntkinfo.information.clustering import clustering as clustering
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
    from ntkinfo.information.nearest_neighbours import neighbour_information as neighbour_information
    from ntkinfo.information.nearest_neighbours import neighbour_information_classes as neighbour_information_classes
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
    from ntkinfo.information.samples import binned_information as binned_information
    from ntkinfo.information.samples import binned_trajectory as binned_trajectory
    from ntkinfo.information.samples_binning import FixedBins as FixedBins
    from ntkinfo.information.samples_binning import QuantileBins as QuantileBins
    from ntkinfo.information.samples_binning import RangeBins as RangeBins
    from ntkinfo.information.samples_binning import WidthBins as WidthBins
    from ntkinfo.information.samples_pairwise import pairwise_activations as pairwise_activations
    from ntkinfo.information.spectral import spectral_contributions as spectral_contributions
    from ntkinfo.kernels.architectures import FullyConnected as FullyConnected
    from ntkinfo.kernels.architectures import StaxNetwork as StaxNetwork
    from ntkinfo.kernels.blocks import kernel_blocks as kernel_blocks
    from ntkinfo.kernels.convolutional import Convolutional as Convolutional
    from ntkinfo.kernels.convolutional import WideResidual as WideResidual
    from ntkinfo.kernels.neural_tangents_compat import stax as stax
    from ntkinfo.kernels.prior import network_prior as network_prior
    from ntkinfo.kernels.records import CrossBlocks as CrossBlocks
    from ntkinfo.kernels.records import KernelBlocks as KernelBlocks
    from ntkinfo.kernels.records import SquareBlocks as SquareBlocks
    from ntkinfo.report.bottleneck_figure import bottleneck_figure as bottleneck_figure
    from ntkinfo.report.comparison_figure import comparison_figure as comparison_figure
    from ntkinfo.report.figures import curves_figure as curves_figure
    from ntkinfo.report.figures import plane_figure as plane_figure
    from ntkinfo.report.layers_figure import layers_figure as layers_figure
    from ntkinfo.report.noisy_figure import noisy_figure as noisy_figure
    from ntkinfo.report.page import write_page as write_page
    from ntkinfo.report.ranking_figure import ranking_figure as ranking_figure
    from ntkinfo.report.style import save_figure as save_figure
    from ntkinfo.report.variational_figure import variational_figure as variational_figure
    from ntkinfo.search.cluster_settings import ClusterSettings as ClusterSettings
    from ntkinfo.search.cluster_settings import SlurmSettings as SlurmSettings
    from ntkinfo.search.environments import TrialTable as TrialTable
    from ntkinfo.search.plan import measured_rates as measured_rates
    from ntkinfo.search.plan import plan_trials as plan_trials
    from ntkinfo.search.ranking import RankSettings as RankSettings
    from ntkinfo.search.ranking import rank as rank
    from ntkinfo.search.records import read_records as read_records
    from ntkinfo.search.scores import ScoreSettings as ScoreSettings
    from ntkinfo.search.scores_all import AllSettings as AllSettings
    from ntkinfo.search.space import Range as Range
    from ntkinfo.search.space import Space as Space
    from ntkinfo.search.sweep import SweepSettings as SweepSettings
    from ntkinfo.search.sweep import sweep as sweep
    from ntkinfo.search.symbolic import SymbolicSettings as SymbolicSettings
    from ntkinfo.search.symbolic import symbolic_search as symbolic_search
    from ntkinfo.search.trial import measure_trials as measure_trials
    from ntkinfo.search.trial_description import Trial as Trial
    from ntkinfo.search.trial_description import TrialOptions as TrialOptions
    from ntkinfo.search.trial_table import trial_table as trial_table
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
    "ntkinfo.bottleneck.critical": ("critical_beta", "onset_beta", "splits"),
    "ntkinfo.bottleneck.deterministic": ("solve_deterministic", "solve_squared"),
    "ntkinfo.bottleneck.discrete_curve": ("bottleneck_curve",),
    "ntkinfo.bottleneck.discrete_search": ("SolverSettings",),
    "ntkinfo.bottleneck.dual": ("dual_critical_beta", "dual_curve", "solve_dual"),
    "ntkinfo.bottleneck.dual_exponents": ("compare_exponents", "exponents_beside"),
    "ntkinfo.bottleneck.gaussian": ("GaussianBottleneck",),
    "ntkinfo.bottleneck.gaussian_dual": ("GaussianDualBottleneck",),
    "ntkinfo.bottleneck.gaussian_samples": ("bottleneck_from_samples",),
    "ntkinfo.bottleneck.label_noise": ("estimate_label_noise",),
    "ntkinfo.bottleneck.placement": ("gaussian_encoder", "place"),
    "ntkinfo.bottleneck.problems": (
        "DiscreteProblem",
        "binary_symmetric",
        "codes_to_encoder",
        "deterministic_labels",
        "erasure",
        "random_problem",
        "soft_twelve_bit_rule",
    ),
    "ntkinfo.bottleneck.variational": (
        "VariationalSettings",
        "class_targets",
        "default_model",
        "label_noise_robustness",
        "train_variational",
    ),
    "ntkinfo.core.records": ("Dataset", "Estimate"),
    "ntkinfo.data.synthetic": ("GaussianPair",),
    "ntkinfo.finite.comparison": ("Comparator", "ComparisonSettings"),
    "ntkinfo.finite.comparison_information": ("information_of_members",),
    "ntkinfo.finite.comparison_parameters": ("parameters_beside_bound",),
    "ntkinfo.finite.comparison_study": ("scaling_of", "study_width"),
    "ntkinfo.finite.ensemble_records": ("EnsembleOutputs", "EnsembleSettings", "OptaxDescent"),
    "ntkinfo.finite.ensembles": ("train_ensemble",),
    "ntkinfo.finite.gradient_phases": ("GradientSettings", "layer_signals", "transition"),
    "ntkinfo.finite.langevin": ("langevin_phases",),
    "ntkinfo.finite.langevin_comparison": ("compare_langevin",),
    "ntkinfo.finite.langevin_members": ("LangevinSettings", "train_langevin"),
    "ntkinfo.finite.layered": ("LayeredNetwork",),
    "ntkinfo.finite.noisy": ("NoisyNetwork", "NoisyTraining", "noisy_information", "train_noisy"),
    "ntkinfo.finite.noisy_neuron": ("NeuronTraining", "neuron_information", "train_neuron"),
    "ntkinfo.finite.noisy_study": ("StudySettings", "noisy_classes", "noisy_study", "noisy_twelve_bit"),
    "ntkinfo.finite.parameter_information": ("MemberSettings", "parameter_information"),
    "ntkinfo.finite.plane": ("PlaneSettings", "information_plane", "twelve_bit_plane"),
    "ntkinfo.finite.plane_findings": ("findings", "place_layers"),
    "ntkinfo.finite.sample_propagation": ("PropagationSettings", "first_layer_information", "sample_propagation"),
    "ntkinfo.finite.trainer": ("TrainerSettings", "Training", "train_members"),
    "ntkinfo.finite.verdict": ("verdict",),
    "ntkinfo.finite.width_scaling": ("width_scaling",),
    "ntkinfo.information.certificate": ("certify",),
    "ntkinfo.information.clustering": ("clustering",),
    "ntkinfo.information.curves": ("CurveSettings", "curves_of", "information_curves", "load_curves", "save_curves"),
    "ntkinfo.information.evaluation_space": ("ExtraInputs",),
    "ntkinfo.information.function_space": ("information_labels_function_space",),
    "ntkinfo.information.joint": ("information_joint",),
    "ntkinfo.information.label_model": ("LabelModel", "information_labels_per_input"),
    "ntkinfo.information.mixtures": ("mixture_entropy",),
    "ntkinfo.information.nearest_neighbours": ("neighbour_information", "neighbour_information_classes"),
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
    "ntkinfo.information.samples": ("binned_information", "binned_trajectory"),
    "ntkinfo.information.samples_binning": ("FixedBins", "QuantileBins", "RangeBins", "WidthBins"),
    "ntkinfo.information.samples_pairwise": ("pairwise_activations",),
    "ntkinfo.information.spectral": ("spectral_contributions",),
    "ntkinfo.kernels.architectures": ("FullyConnected", "StaxNetwork"),
    "ntkinfo.kernels.blocks": ("kernel_blocks",),
    "ntkinfo.kernels.convolutional": ("Convolutional", "WideResidual"),
    "ntkinfo.kernels.prior": ("network_prior",),
    "ntkinfo.kernels.records": ("CrossBlocks", "KernelBlocks", "SquareBlocks"),
    "ntkinfo.report.bottleneck_figure": ("bottleneck_figure",),
    "ntkinfo.report.comparison_figure": ("comparison_figure",),
    "ntkinfo.report.figures": ("curves_figure", "plane_figure"),
    "ntkinfo.report.layers_figure": ("layers_figure",),
    "ntkinfo.report.noisy_figure": ("noisy_figure",),
    "ntkinfo.report.page": ("write_page",),
    "ntkinfo.report.ranking_figure": ("ranking_figure",),
    "ntkinfo.report.style": ("save_figure",),
    "ntkinfo.report.variational_figure": ("variational_figure",),
    "ntkinfo.search.cluster_settings": ("ClusterSettings", "SlurmSettings"),
    "ntkinfo.search.environments": ("TrialTable",),
    "ntkinfo.search.plan": ("measured_rates", "plan_trials"),
    "ntkinfo.search.ranking": ("RankSettings", "rank"),
    "ntkinfo.search.records": ("read_records",),
    "ntkinfo.search.scores": ("ScoreSettings",),
    "ntkinfo.search.scores_all": ("AllSettings",),
    "ntkinfo.search.space": ("Range", "Space"),
    "ntkinfo.search.sweep": ("SweepSettings", "sweep"),
    "ntkinfo.search.symbolic": ("SymbolicSettings", "symbolic_search"),
    "ntkinfo.search.trial": ("measure_trials",),
    "ntkinfo.search.trial_description": ("Trial", "TrialOptions"),
    "ntkinfo.search.trial_table": ("trial_table",),
    "ntkinfo.training.discrete": ("GradientDescent", "HeavyBall"),
    "ntkinfo.training.output_distribution": ("output_distribution",),
    "ntkinfo.training.procedures": ("Converged", "GradientFlow", "nngp_posterior", "ntk_posterior"),
    "ntkinfo.training.times": ("log_times",),
}
# Columns that are used by their own name, as in ni.data.digits().
_COLUMNS = ("data", "generalization")
# neural_tangents' layers, in the version that works with the installed jax: not documented here.
_LIBRARIES = {"stax": "ntkinfo.kernels.neural_tangents_compat"}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_COLUMNS, *_LIBRARIES, *sorted(_HOME_OF)]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _LIBRARIES:
        return getattr(importlib.import_module(_LIBRARIES[name]), name)
    if name in _COLUMNS:
        return importlib.import_module(f"ntkinfo.{name}")
    if name in _HOME_OF:
        return getattr(importlib.import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module 'ntkinfo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
