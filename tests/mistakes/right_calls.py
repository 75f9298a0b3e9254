"""One right call of every public function and record, with small values: what mistakes are made in."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import optax
import pyarrow as pa
from matplotlib.figure import Figure

import ntkinfo as ni
from ntkinfo.bottleneck.variational_objectives import variational_bottleneck
from ntkinfo.bottleneck.variational_targets import ClassTargets
from ntkinfo.finite.comparison import Comparison
from ntkinfo.finite.comparison_study import WidthResult
from ntkinfo.finite.langevin_members import LangevinMembers
from ntkinfo.finite.noisy_study import NoisyStudy
from ntkinfo.finite.plane import PlaneStudy
from ntkinfo.finite.plane_findings import Findings

TIMES = [0.1, 1.0]


@dataclass(frozen=True)
class Call:
    """A public function or record with arguments that it takes.

    Args:
        name: as users write it.
        target: the function or record.
        arguments: a value for each argument that is worth a mistake.
        runs: whether the call itself is cheap enough to be made; otherwise some arguments are hollow, and only what
            is found at the door is asked for.
    """

    name: str
    target: Callable
    arguments: dict[str, Any]
    runs: bool


def silent(items: Iterable, label: str, total: int | None = None) -> Iterator:
    yield from items


def _of(target: Callable, **arguments: Any) -> tuple[Callable, dict[str, Any]]:
    return target, arguments


def _square(rate):
    return rate**2


def hollow(kind: type) -> Any:
    """An object of a kind that takes long to make, with nothing in it."""
    return object.__new__(kind)


@cache
def data() -> ni.Dataset:
    random = np.random.default_rng(0)
    x, labels = random.normal(size=(10, 3)), np.arange(10) % 2
    y = np.where(labels[:, None] == np.arange(2), 1.0, 0.0)
    return ni.Dataset(x[:6], y[:6], x[6:], y[6:], labels[:6], labels[6:])


@cache
def blocks():
    return ni.kernel_blocks(ni.FullyConnected(depth=1), data())


@cache
def law():
    return ni.output_distribution(blocks(), data(), ni.GradientFlow(ridge=0.1), np.array(TIMES))


@cache
def curves():
    return ni.curves_of(law(), quantities=["loss_mean", "bias_squared"], progress=silent)


@cache
def problem() -> ni.DiscreteProblem:
    return ni.binary_symmetric(0.2)


@cache
def frontier():
    return ni.bottleneck_curve(problem(), accuracy=None, betas=(2.0, 4.0), progress=silent)


@cache
def gaussian() -> ni.GaussianBottleneck:
    return ni.GaussianBottleneck(np.eye(2), np.eye(1), np.array([[0.5], [0.2]]))


@cache
def trajectory() -> ni.PlaneTrajectory:
    return ni.PlaneTrajectory(
        np.array(TIMES), np.array([0.1, 0.2]), np.array([0.05, 0.1]), 1e-4 * np.eye(4).reshape(2, 2, 2, 2)
    )


@cache
def trials() -> ni.TrialTable:
    random, count = np.random.default_rng(1), 24
    return ni.TrialTable(
        {"a": random.normal(size=count), "b": random.normal(size=count)},
        random.normal(size=count),
        {"depth": np.tile([1, 2, 3], 8), "width": np.tile(np.repeat([8, 16], 3), 4)},
        np.repeat(["digits", "wine"], 12),
    )


def _numbers() -> Iterator[tuple]:
    mean, variance = [[0.0], [1.0], [2.0]], [1.0, 1.0, 2.0]
    points, labels = [[0.0, 1.0], [1.0, 0.5], [2.0, 0.0], [0.2, 3.0], [1.5, 1.0], [0.3, 0.4]], [0, 1, 0, 1, 0, 1]
    samples = np.random.default_rng(2).normal(size=(40, 3)).tolist()
    yield _of(ni.mixture_entropy, mean=mean, variance=variance, weights=[0.2, 0.3, 0.5])
    yield _of(ni.information_input, mean=mean, variance=variance)
    yield _of(ni.information_target, mean=mean, variance=variance, labels=[0, 1, 0])
    yield _of(ni.binned_information, activations=points, binning=ni.RangeBins(2), labels=labels, weights=[1 / 6] * 6)
    yield _of(ni.binned_trajectory, activations=[points, points], binning=ni.RangeBins(2), labels=labels)
    yield _of(ni.pairwise_activations, activations=points, noise_variance=0.1, labels=labels)
    yield _of(ni.clustering, activations=points, width=0.5, labels=labels, bins=5)
    yield _of(ni.neighbour_information, x=points, y=points[::-1], neighbours=2)
    yield _of(ni.neighbour_information_classes, x=points, labels=labels, neighbours=2)
    yield _of(ni.phases, times=[1.0, 2.0, 3.0], values=[0.0, 1.0, 0.5], covariance=[0.1, 0.1, 0.1], resamples=50)
    yield _of(ni.transition, times=[1.0, 2.0, 3.0, 4.0], ratio_squared=[2.0, 1.5, 0.1, 0.1], sustained=2)
    yield _of(ni.log_times, start=0.1, stop=1.0, count=3, infinity=False)
    yield _of(ni.nngp_posterior, noise_variance=0.1)
    yield _of(ni.ntk_posterior, noise_variance=0.1)
    yield _of(ni.estimate_label_noise, inputs=samples, labels=[0, 1] * 20, classes=2, folds=2)
    yield _of(ni.bottleneck_from_samples, x=samples, y=samples[::-1], groups=5)
    yield _of(ni.neuron_information, weight=1.0, bias=0.5, noise_std=0.1)


def _bottleneck() -> Iterator[tuple]:
    encoder = [[0.9, 0.1], [0.1, 0.9]]
    yield _of(ni.DiscreteProblem, input_law=[0.5, 0.5], conditional=encoder, name="mine")
    yield _of(ni.binary_symmetric, flip=0.1)
    yield _of(ni.erasure, loss=0.3, inputs=2)
    yield _of(ni.random_problem, inputs=4, targets=2, seed=0, concentration=1.0)
    yield _of(ni.soft_twelve_bit_rule, sharpness=0.1)
    yield _of(ni.deterministic_labels, labels=[0, 1, 1], flip=0.1)
    yield _of(ni.codes_to_encoder, codes=[0, 1, 1])
    yield _of(ni.bottleneck_curve, problem=problem(), accuracy=None, betas=[2.0], points=10)
    yield _of(ni.critical_beta, problem=problem())
    yield _of(ni.onset_beta, problem=problem())
    yield _of(ni.splits, problem=problem(), largest=5.0)
    yield _of(ni.solve_deterministic, problem=problem(), beta=2.0, starts=2, seed=0)
    yield _of(ni.solve_squared, curve=frontier(), beta=2.0)
    yield _of(ni.solve_dual, problem=problem(), beta=3.0)
    yield _of(ni.dual_critical_beta, problem=problem())
    yield _of(ni.dual_curve, problem=problem(), betas=[3.0])
    yield _of(ni.compare_exponents, problem=problem(), betas=[3.0], dual_betas=[3.0])
    yield _of(
        ni.exponents_beside,
        problem=problem(),
        ordinary=list(frontier().solutions),
        dual=[ni.solve_dual(problem(), 3.0)],
    )
    yield _of(ni.place, encoder=encoder, problem=problem(), curve=frontier(), decoder=encoder)
    yield _of(ni.gaussian_encoder, mean=[[0.0], [1.0]], variance=[1.0, 1.0], tolerance=0.01)
    yield _of(ni.frontier_distance, trajectory=trajectory(), frontier=_square)
    yield _of(ni.closest_approach, trajectory=trajectory(), frontier=_square, resamples=20)
    yield _of(ni.GaussianBottleneck, covariance_x=[[1, 0], [0, 1]], covariance_y=[[1]], cross_covariance=[[0.5], [0]])
    yield _of(ni.GaussianDualBottleneck, primal=gaussian())
    yield _of(ni.SolverSettings, tolerance=1e-9, gap=1e-6, sweeps=10, clusters=2, starts=0, seed=0, cells=100)
    yield _of(ni.class_targets, data=data())


def _laws() -> Iterator[tuple]:
    network, flow = ni.FullyConnected(depth=1), ni.GradientFlow(ridge=0.1)
    yield _of(ni.kernel_blocks, network=network, data=data(), store=None, memory_limit=1e9)
    yield _of(ni.network_prior, network=network)
    yield _of(ni.output_distribution, blocks=blocks(), data=data(), procedure=flow, times=TIMES)
    yield _of(
        ni.information_curves,
        network=network,
        data=data(),
        times=TIMES,
        procedure=flow,
        quantities=["loss_mean"],
        settings=None,
    )
    yield _of(ni.curves_of, distribution=law(), quantities=["loss_mean"], settings=ni.CurveSettings())
    yield _of(ni.path, distribution=law())
    yield _of(ni.linear_model, distribution=law())
    yield _of(ni.function_space, distribution=law(), tolerance=1e-6)
    yield _of(ni.information_joint, law=law().test, model=ni.LabelModel(0.1))
    yield _of(ni.information_labels_per_input, law=law().test, model=ni.LabelModel(0.1))
    yield _of(ni.information_labels_function_space, distribution=law(), model=ni.LabelModel(0.1))
    yield _of(ni.pointwise_information, distribution=law(), time_indices=[0, 1], split="test", samples=8)
    yield _of(ni.spectral_contributions, distribution=law(), quantities=None, bands=None)
    yield _of(ni.certify, distribution=law(), curves=curves(), share=0.5, seed=0)
    yield _of(ni.generalization.measure_all, distribution=law(), names=["target_norm"])
    yield _of(ni.resampled_labels, law=law().test, model=ni.LabelModel(0.1), count=3)
    yield _of(ni.resampled_training_sets, laws=[law().test] * 3)
    yield _of(
        ni.training_set_laws,
        blocks_of=lambda one: ni.kernel_blocks(ni.FullyConnected(depth=1), one),
        datasets=[data(), data()],
        procedure=flow,
        times=TIMES,
    )
    yield _of(ni.curves_figure, curves=curves(), bits=False)
    yield _of(ni.FullyConnected, depth=2, activation="erf", w_std=1.5, b_std=0.1)
    yield _of(ni.Convolutional, depth=2, activation="erf", w_std=1.5, b_std=0.1, filter_size=3, strides=1)
    yield _of(ni.WideResidual, block_size=1, activation="relu", w_std=1.0, b_std=0.0, groups=2)
    yield _of(ni.SquareBlocks, nngp=[[1.0, 0.5], [0.5, 1.0]], ntk=[[1.0, 0.5], [0.5, 1.0]])
    yield _of(ni.CrossBlocks, nngp=[[1.0, 0.5]], ntk=[[1.0, 0.5]], nngp_diagonal=[1.0], ntk_diagonal=[1.0])
    yield _of(ni.LabelModel, noise_variance=0.1, covariance=[[0.1, 0.0], [0.0, 0.2]])
    yield _of(ni.CurveSettings, seed=0, samples_per_input=4, tolerance=1e-9, extra_inputs=0, certify=0.0)
    yield _of(ni.GradientFlow, ridge=0.1, target_noise_variance=0.0, temperature=0.0, tangent="ntk", loss="sum")
    yield _of(ni.GradientDescent, step_size=0.1, ridge=0.1, prior="nngp")
    yield _of(ni.HeavyBall, step_size=0.1, momentum=0.5, ridge=0.1)
    yield _of(ni.Converged, ridge=0.1)
    yield _of(ni.Estimate, value=[1.0, 2.0], standard_error=[0.1, 0.1], meaning="exact", method="by hand")
    d = data()
    yield _of(
        ni.Dataset,
        x_train=d.x_train.tolist(),
        y_train=d.y_train.tolist(),
        x_test=d.x_test.tolist(),
        y_test=d.y_test.tolist(),
        labels_train=d.labels_train.tolist(),
        labels_test=d.labels_test.tolist(),
        class_names=["a", "b"],
        name="mine",
    )


def _samples() -> Iterator[tuple]:
    yield _of(ni.FixedBins, edges=[0.0, 1.0, 2.0])
    yield _of(ni.RangeBins, bins=3, scope="unit")
    yield _of(ni.QuantileBins, bins=3, scope="unit")
    yield _of(ni.WidthBins, width=0.1, origin=0.0)
    yield _of(
        ni.PlaneTrajectory,
        times=TIMES,
        information_input=[0.1, 0.2],
        information_target=[0.1, 0.2],
        covariance=np.eye(4).reshape(2, 2, 2, 2).tolist(),
    )
    yield _of(ni.GaussianPair, correlations=[0.5], mixing_x=[[1.0]], mixing_y=[[1.0]])
    yield _of(ni.data.gaussian_pair, n_train=8, n_test=4, seed=0, correlations=[0.5], dims=[2, 2])
    yield _of(
        ni.data.teacher_gp,
        kernel=np.eye(4).tolist(),
        x_train=[[0.0], [1.0]],
        x_test=[[2.0], [3.0]],
        noise_variance=0.1,
    )
    yield _of(ni.data.digits, n_train=8, n_test=4, seed=0, targets="one-hot", standardise=True)
    yield _of(ni.data.wine, n_train=8, n_test=4, seed=0, label_noise=0.1)
    yield _of(ni.data.diabetes, n_train=8, n_test=4, seed=0)
    yield _of(ni.data.breast_cancer, n_train=8, n_test=4, seed=0)
    yield _of(ni.data.twelve_bit, n_train=8, n_test=4, seed=0)
    yield _of(ni.data.load, name="wine", n_train=8)


def _search() -> Iterator[tuple]:
    yield _of(
        ni.TrialTable,
        measures={"a": [1.0, 2.0, 3.0]},
        gap=[0.1, 0.2, 0.3],
        hyperparameters={"depth": [1, 2, 3]},
        data_set=["a"] * 3,
        test_size=[10, 10, 10],
    )
    yield _of(ni.Trial, data="digits", n=64, depth=2, activation="erf", w_std=1.5, ridge=0.1, time=1.0, seed=0)
    yield _of(ni.TrialOptions, n_test=10, step_share=0.5, momentum=0.9, quantities="closed", samples=16)
    yield _of(ni.Range, low=0.1, high=1.0, log=True)
    yield _of(ni.Space, axes={"depth": (1, 2)}, kind="grid", seed=0)
    yield _of(ni.SweepSettings, batch_seconds=1.5, retry_failed=False)
    yield _of(ni.ScoreSettings, resamples=20, permutations=19, level=0.9, seed=0)
    yield _of(ni.AllSettings, given=[], by="values", least_size=12.0, significance=0.05)
    yield _of(ni.RankSettings, held_out=[], directions={}, baselines=[], most_missing=0.1, most_noise=0.5)
    yield _of(ni.SymbolicSettings, held_out=["wine"], terms=2, most_formulas=100, significance=0.05)
    yield _of(ni.ClusterSettings, workers=1, memory_limit="auto", environment={}, insecure=False)
    yield _of(ni.SlurmSettings, jobs=1, memory="4GB", walltime="01:00:00", queue=None, cores=1, directives=[])
    yield _of(ni.plan_trials, trials=[ni.Trial(n=8)])


def _long() -> Iterator[tuple]:
    """Calls that take seconds and more."""
    network, flow, objective = ni.FullyConnected(depth=1), ni.GradientFlow(), variational_bottleneck(0.1)
    points, labels = [[0.0, 1.0], [1.0, 0.5]], [0, 1]
    noisy = ni.NoisyNetwork(sizes=(2, 3, 2))
    outputs, pair = hollow(ni.EnsembleOutputs), ni.GaussianPair((0.5,), np.eye(1), np.eye(1))
    targets, study = hollow(ClassTargets), hollow(PlaneStudy)
    training = ni.NoisyTraining(record_steps=[0, 1])
    yield _of(ni.rank, trials=trials(), settings=ni.RankSettings())
    yield _of(ni.symbolic_search, trials=trials(), settings=ni.SymbolicSettings(held_out=("wine",)))
    yield _of(ni.measure_trials, trials=[ni.Trial(n=8)])
    yield _of(ni.measured_rates, trials=[ni.Trial(n=8)])
    yield _of(ni.sweep, groups=[], measure=ni.measure_trials, folder="sweep", cluster=None, settings=None)
    yield _of(ni.train_ensemble, network=network, data=data(), times=TIMES, procedure=flow, width=4)
    yield _of(ni.parameter_information, network=network, data=data(), times=TIMES, width=4, procedure=flow)
    yield _of(ni.parameters_beside_bound, network=network, data=data(), times=TIMES, width=4, loss="sum")
    yield _of(ni.langevin_phases, law=law(), resolution=None, sustained=3)
    yield _of(ni.train_langevin, law=law(), settings=ni.LangevinSettings())
    yield _of(ni.compare_langevin, members=hollow(LangevinMembers), law=law(), seed=0, replicas=20)
    yield _of(ni.train_members, training=hollow(ni.Training), record_steps=[0, 1], settings=None)
    yield _of(ni.train_neuron, training=ni.NeuronTraining(record_steps=[0, 1]), settings=None)
    yield _of(ni.train_noisy, network=noisy, train=(points, labels), training=training, test=None)
    yield _of(ni.noisy_information, network=noisy, inputs=points, labels=labels, settings=None)
    yield _of(ni.noisy_classes, data=data(), hidden=[2], steps=2, noise_std=0.1)
    yield _of(ni.noisy_study, inputs=points, labels=labels, settings=hollow(ni.StudySettings), train_rows=[0])
    yield _of(ni.noisy_twelve_bit, members=2, seed=0, steps=2, noise_std=0.1)
    yield _of(ni.noisy_figure, study=hollow(NoisyStudy), neuron=None, bits=True)
    yield _of(ni.information_plane, settings=ni.PlaneSettings(), checkpoint=None)
    yield _of(ni.twelve_bit_plane, train_share=0.8, seed=0)
    yield _of(ni.findings, study=study, full_batch=None, depths=None, curve=frontier())
    yield _of(ni.place_layers, study=study, curve=frontier(), time=-1)
    yield _of(ni.layers_figure, study=study, found=hollow(Findings), bits=True)
    yield _of(ni.layer_signals, network=ni.LayeredNetwork((2, 3, 2)), parameters=[], inputs=points, labels=labels)
    yield _of(ni.first_layer_information, activations=points, noise_std=0.1, labels=labels)
    yield _of(ni.sample_propagation, centres=[points, points], fresh=[points, points], noise_std=0.1, labels=[0, 1])
    yield _of(ni.Comparator, law=law(), settings=ni.ComparisonSettings())
    yield _of(ni.information_of_members, outputs={}, law=law())
    yield _of(ni.study_width, outputs=outputs, comparator=hollow(ni.Comparator))
    yield _of(ni.scaling_of, results=[hollow(WidthResult)], kinks=False)
    yield _of(ni.width_scaling, measured={}, kinks=False)
    yield _of(ni.verdict, comparison=hollow(Comparison))
    yield _of(ni.train_variational, objective=objective, train=targets, test=None, settings=None)
    yield _of(ni.default_model, objective=objective, train=targets, latent=2, width=4, depth=1, seed=0)
    yield _of(ni.label_noise_robustness, objectives=[objective], data=lambda level: (targets, targets), levels=[0.0])
    yield _of(ni.population_information, law=lambda x: law().test, pair=pair, inputs=16, batches=2, draws=2, seed=0)
    yield _of(ni.population_quadrature, law=lambda x: law().test, pair=pair, nodes=401, target_nodes=32)
    yield _of(ni.read_records, place="nowhere")
    yield _of(ni.write_page, folder="nowhere", bits=None)
    yield _of(ni.load_curves, path="nowhere/curves.nc")
    yield _of(ni.save_curves, curves=curves(), path="curves.nc")
    yield _of(ni.bottleneck_figure, found=curves(), bits=False)
    yield _of(ni.comparison_figure, comparison=curves())
    yield _of(ni.ranking_figure, found=curves(), most=25)
    yield _of(ni.plane_figure, trajectories={"a": {"b": trajectory()}}, frontier=_square, ceiling=None, bits=False)
    yield _of(ni.variational_figure, runs={"a": [curves()]}, split="test", bits=False)
    yield _of(ni.save_figure, figure=Figure(), path="figure.png")
    yield _of(ni.trial_table, rows=pa.table({"data": ["a"]}), gap="error_gap_mean", measures=["target_norm"])
    yield _of(ni.ComparisonSettings, level=0.05, replicates=19, null_members=16, joint_inputs=2, directions=4, seed=0)
    yield _of(ni.EnsembleSettings, members=4, seed=0, precision="float64", batch_size=None, linearised=False)
    yield _of(ni.TrainerSettings, members=4, seed=0, precision="float64", group=None, checkpoint=None)
    yield _of(ni.MemberSettings, members=4, seed=0, integrator="rk4", steps=None, trace="split", probes=4)
    yield _of(ni.LangevinSettings, width=4, members=2, steps=4, seed=0, precision="float64")
    yield _of(ni.LayeredNetwork, sizes=[2, 3, 2], activation="tanh", start="truncated normal", loss="cross entropy")
    yield _of(ni.NoisyNetwork, sizes=[2, 3, 2], activation="tanh", noise_std=0.1, w_std=1.0)
    yield _of(ni.NoisyTraining, record_steps=[0, 1], optimiser=None, batch_size=2)
    yield _of(ni.NeuronTraining, record_steps=[0, 1], learning_rate=0.05, noise_std=0.1, weight=0.02)
    yield _of(ni.OptaxDescent, optimiser=optax.sgd(0.1), step_size=0.1, ridge=0.0, loss="sum")
    yield _of(
        ni.PlaneSettings,
        optimiser="sgd",
        learning_rate=0.05,
        batch_size=4,
        epochs=2,
        records=2,
        seeds=2,
        bins=3,
    )
    yield _of(ni.GradientSettings, batch_size=4, batches=2, seed=0)
    yield _of(ni.PropagationSettings, passes=4, shared_passes=2, draws=1, inputs_drawn=None, seed=0)
    yield _of(ni.VariationalSettings, steps=4, records=2, batch_size=4, learning_rate=0.1, draws=1, seed=0)
    yield _of(ni.ExtraInputs, cross=blocks().test, square=blocks().train)
    yield _of(ni.KernelBlocks, train=blocks().train, test=blocks().test, notes=[], kernel_error=0.0)
    yield _of(ni.StudySettings, network=noisy, training=training, trainer=ni.TrainerSettings(), width=None)


_SHORT = (_numbers, _bottleneck, _laws, _samples, _search)


@cache
def calls() -> tuple[Call, ...]:
    """Every call, in an order that does not change."""
    found = []
    for group in (*_SHORT, _long):
        for target, arguments in group():
            place = "ni.data." if target.__module__.startswith("ntkinfo.data.") else "ni."
            if "progress" in inspect.signature(target).parameters:
                arguments = {**arguments, "progress": silent}
            found.append(Call(place + target.__name__, target, arguments, group is not _long))
    return tuple(found)


def missing() -> set[str]:
    """Public functions and records without a call."""
    known = {call.target for call in calls()}
    public = {name: getattr(ni, name) for name in ni.__all__ if name[:2] != "__"}
    return {name for name, found in public.items() if callable(found) and found not in known}
