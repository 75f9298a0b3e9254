"""Members trained a second: the vectorised ensemble against a Python loop over jitted single networks.

The loop is what people write: one jitted function makes one step of one network, and Python calls it for every step of
every member. Both make the same steps on the same members from the same starts, in the same precision; compilation is
left out of both. The ensemble is `train_members` as it is used, with its record before and after. With minibatches the
loop is given every member's batches in advance, and the ensemble draws its own.

    python benchmarks/ensemble_training.py                        # width 128, n = 256, full batches
    python benchmarks/ensemble_training.py --batch 32             # the same with minibatches
    python benchmarks/ensemble_training.py --cost                 # one member-step at width 2048, n = 64
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

import ntkinfo as ni
from ntkinfo.finite.member_program import MemberProgram, lane_size, precision_context
from ntkinfo.finite.networks import member_network
from ntkinfo.finite.trainer import TrainerSettings, Training, train_members


def problem(options, depth, width, n):
    """Training of a fully connected network on digits (or random inputs of other sizes), summed squared loss."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=(n, options.inputs)), random.normal(size=(n, options.outputs))
    network = member_network(
        ni.FullyConnected(depth=depth, activation=options.activation, w_std=1.4, b_std=0.1), x, options.outputs, width
    )

    def loss(params, batch, key):
        return 0.5 * jnp.sum((network.apply(params, batch[0]) - batch[1]) ** 2)

    def observe(params, key):
        return network.apply(params, x)

    optimiser = optax.sgd(1e-3 / n, momentum=options.momentum or None)
    return Training(network.initialise, loss, optimiser, (x, y), observe, batch_size=options.batch)


def clocks():
    """Wall seconds and processor seconds of all threads."""
    return np.array([time.perf_counter(), time.process_time()])


def python_loop(training, options):
    """Train every member by itself, one call a step; returns outputs (M, n, C) and the seconds of training."""
    with precision_context(options.precision):
        examples = jax.tree.map(lambda a: jnp.asarray(a, options.precision), training.examples)

        @jax.jit
        def step(params, memory, rows):
            batch = examples if rows is None else jax.tree.map(lambda array: array[rows], examples)
            slope = jax.grad(lambda at: training.loss(at, batch, None))(params)
            change, memory = training.optimiser.update(slope, memory, params)
            return optax.apply_updates(params, change), memory

        program = MemberProgram(training, options.seed, options.precision, 1)
        starts = [jax.tree.map(lambda a: a[0], program.start(np.array([k])).moving[0]) for k in range(options.members)]
        batches = batches_of(training, options)
        look = jax.jit(lambda params: training.observe(params, None))
        jax.block_until_ready((step(starts[0], training.optimiser.init(starts[0]), batches[0][0]), look(starts[0])))
        began, outputs = clocks(), []
        for params, rows in zip(starts, batches, strict=True):
            memory = training.optimiser.init(params)
            for k in range(options.steps):
                params, memory = step(params, memory, rows[k])
            outputs.append(np.asarray(look(params)))
        return np.stack(outputs), clocks() - began


def batches_of(training, options):
    """The places of the examples in each step, as the ensemble draws them: (members, steps, batch); None: all."""
    if options.batch is None:
        return [[None] * options.steps] * options.members
    program = MemberProgram(training, options.seed, options.precision, options.members)
    keys = program.keys(np.arange(options.members))
    order = jax.jit(lambda epoch: program._order(keys, epoch))
    taken = options.steps * options.batch
    orders = [np.asarray(order(epoch)) for epoch in range(-(-taken // options.n))]
    return np.concatenate(orders, axis=1)[:, :taken].reshape(options.members, options.steps, options.batch)


def ensemble(training, options):
    """The same members by the trainer; seconds from the first report of a member to the end."""
    began = []

    def track(items, label, total=None):
        began.append(clocks())
        return iter(items)

    # Everything is compiled when the first report can be waited for.
    settings = TrainerSettings(members=options.members, seed=options.seed, precision=options.precision)
    records = train_members(training, [options.steps], settings, progress=track)
    return records.values[-1], clocks() - began[0], records.notes[0]


def compare(options):
    training = problem(options, options.depth, options.width, options.n)
    loops, ours = [], []
    for _ in range(options.repeats):
        expected, loop_seconds = python_loop(training, options)
        found, seconds, note = ensemble(training, options)
        off = np.abs(found - expected).max() / np.abs(expected).max()
        if off > (1e-3 if options.precision == "float32" else 1e-9):
            raise SystemExit(f"the two disagree by {off:.2g} of the outputs: no comparison")
        loops.append(loop_seconds)
        ours.append(seconds)
    report(options, note, np.array(loops), np.array(ours))


def report(options, note, loops, ours):
    """Ratios of wall and of processor seconds, (repeats, 2) each side."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    ratios, (wall, processor) = loops / ours, np.median(loops / ours, axis=0)
    rates = options.members / np.median([loops[:, 0], ours[:, 0]], axis=1)
    print(
        f"width {options.width}, depth {options.depth}, n {options.n}, {options.inputs} inputs, {options.outputs} "
        f"outputs, batches of {options.batch or options.n}, {options.steps} steps, {options.members} members, "
        f"{options.precision}, {cores} core(s); {note}"
    )
    print(f"  Python loop {rates[0]:.2f} members/s, ensemble {rates[1]:.2f} members/s, {options.repeats} runs")
    print(f"  ratio {wall:.2f} (from {ratios[:, 0].min():.2f} to {ratios[:, 0].max():.2f}); the target is 5")
    print(f"  ratio of processor seconds {processor:.2f}: what does not come from the number of cores")
    done = flops(options) * options.members
    print(f"  products of matrices: {done / np.median(ours[:, 1]) / 1e9:.1f} GFLOP in a processor second")
    fastest = product_rate(options.precision)
    bound = np.median(loops[:, 0]) / (done / fastest)
    print(f"  at the speed of one large product, {fastest / 1e9:.0f} GFLOP/s, the ratio would be {bound:.2f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        json.dumps(
            {
                "ratio": wall,
                "processor_ratio": processor,
                "ratio_at_the_speed_of_products": bound,
                "loop": rates[0],
                "ensemble": rates[1],
                "peak_gb_of_the_process": peak,
            }
        )
    )


def product_rate(precision, size=2048, repeats=5):
    """Operations a second of numpy's product of two large matrices: a floor to the seconds of any training."""
    one, seconds = np.random.default_rng(0).normal(size=(size, size)).astype(precision), []
    for _ in range(repeats):
        began = time.perf_counter()
        one @ one
        seconds.append(time.perf_counter() - began)
    return 2 * size**3 / min(seconds)


def flops(options):
    """Multiplications and additions of the matrix products in one member's steps."""
    d, w, c = options.inputs, options.width, options.outputs
    first = 4 * d * w if options.depth else 0
    return options.steps * (options.batch or options.n) * (first + (options.depth - 1) * 6 * w * w + 6 * w * c)


def cost(options):
    """Seconds of one member's step, one member at a time, at large width."""
    for depth in (1, 2, 3):
        training = problem(options, depth, options.width, options.n)
        lane = lane_size(training, 0, options.precision, options.members)
        program, members = MemberProgram(training, 0, options.precision, lane), np.arange(lane)
        state = program.advance(program.start(members), members, 0, 1)
        jax.block_until_ready(state.moving)
        began = time.perf_counter()
        state = program.advance(state, members, 1, options.steps)
        jax.block_until_ready(state.moving)
        seconds = (time.perf_counter() - began) / options.steps / lane
        print(
            f"width {options.width}, n {options.n}, depth {depth}, {options.precision}: {1e3 * seconds:.2f} ms a "
            f"member-step, state {program.state_bytes / 1e6:.0f} MB a member"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cost", action="store_true", help="cost of one member-step alone")
    for flag, default in (("--width", None), ("--n", None), ("--depth", 2), ("--inputs", 64), ("--outputs", 10)):
        parser.add_argument(flag, type=int, default=default)
    for flag, default in (("--members", 32), ("--steps", None), ("--repeats", 3), ("--seed", 0)):
        parser.add_argument(flag, type=int, default=default)
    parser.add_argument("--batch", type=int, help="examples a step; all where absent")
    parser.add_argument("--precision", default="float32", choices=("float32", "float64"))
    parser.add_argument("--activation", default="erf")
    parser.add_argument("--momentum", type=float, default=0.0)
    options = parser.parse_args()
    large = options.cost
    for name, usual, costly in (("width", 128, 2048), ("n", 256, 64), ("steps", 200, 20)):
        if getattr(options, name) is None:
            setattr(options, name, costly if large else usual)
    if options.batch is not None and not 1 <= options.batch <= options.n:
        parser.error(f"--batch is {options.batch}; it must be between 1 and n, {options.n}")
    cost(options) if large else compare(options)


if __name__ == "__main__":
    main()
