"""One run of `ntkinfo curves`: from the configuration to the folder of results."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import xarray as xr
from rich.console import Console
from rich.markup import escape

from ntkinfo import assembly
from ntkinfo.config import Config
from ntkinfo.config_reading import Problem, dump_config
from ntkinfo.core.progress import Track, silent
from ntkinfo.core.records import Dataset
from ntkinfo.information import curves as information
from ntkinfo.information.certificate import Certificate
from ntkinfo.information.curve_methods import harmonised
from ntkinfo.information.quantities import by_default, choose
from ntkinfo.report.certificate import print_certificate
from ntkinfo.report.figures import curves_figure
from ntkinfo.report.inputs import described_inputs
from ntkinfo.report.progress import ConsoleProgress, Interruptible, uninterrupted
from ntkinfo.report.results import ResultsFolder
from ntkinfo.report.series import panels
from ntkinfo.report.style import save_figure
from ntkinfo.report.summary import print_summary
from ntkinfo.running import DONE, INTERRUPTED, NOT_CERTIFIED, Job, Switches, refuse_to_replace, run_job
from ntkinfo.unfinished import Unfinished, command_of


def run_curves(path: str | None, given: Mapping[str, Any], problems: Sequence[Problem], switches: Switches) -> int:
    """Compute information curves as a TOML file and flags ask for, and write them with figure and configuration.

    Args:
        path: a TOML file, or None.
        given: values of flags by flag name.
        problems: what is wrong with the command line itself.
        switches: what only the command line says.

    Returns:
        The exit code: 0 when done, 2 for bad input, 3 where values disagree with their second route, 130 when
        interrupted.
    """
    return run_job(Job(Config, assembly.cross_checks, _run), path, given, problems, switches)


def _print_notes(output: Console, curves: xr.Dataset) -> None:
    """Say what was repaired, left out or could not be computed."""
    for key in ("kernel_notes", "notes"):
        given = str(curves.attrs.get(key, ""))
        # Several depths whose notes differ hold them as a list.
        texts = json.loads(given) if given.startswith("[") else [given]
        for text in dict.fromkeys(note for each in texts for note in each.split("; ") if note):
            output.print(f"note: {escape(text)}", soft_wrap=True)


def _run(config: Config, switches: Switches, messages: Console, output: Console) -> int:
    with ResultsFolder(config.output.folder) as folder:
        names = _names(config)
        refuse_to_replace(folder.folder, names, switches)
        start = time.monotonic()
        data = assembly.load_data(config)
        asked = assembly.resolved(config, data, _chosen(config, data))
        kept = Unfinished(folder.folder, names, command_of(asked, fingerprint=data.fingerprint), switches)
        _describe(output, config, data)
        with uninterrupted(), kept as checkpoint:
            with ConsoleProgress(messages) as bars, Interruptible(silent if switches.quiet else bars) as track:
                curves, whole = compute(config, data, track, checkpoint)
            if not curves.data_vars:
                messages.print(f"Interrupted before anything was finished; {kept.told}.")
                return INTERRUPTED
            curves = curves.assign_attrs(asked=kept.asked)
            written = _write(folder, curves, config, asked if not whole else None, data)
            if whole:
                kept.remove()
        _summarise(output, curves, config.output.bits)
        _print_notes(output, curves)
        certificates = certificates_of(curves)
        print_certificate(output, certificates)
        names = ", ".join(place.name for place in written)
        output.print(f"\n{names} in {escape(str(folder.folder))} ({time.monotonic() - start:.0f} s)", soft_wrap=True)
    if not whole:
        missing = _missing(curves, config)
        messages.print(
            f"Interrupted. What was finished is written; missing: {missing}; the same command goes on.",
            soft_wrap=True,
        )
        return INTERRUPTED
    return _judge(certificates, messages)


def _judge(certificates: Mapping[str, Certificate], messages: Console) -> int:
    """The exit code that the certificates ask for; what disagrees is said on the error stream, quiet or not."""
    failed = {label: one for label, one in certificates.items() if not one.passed}
    for label, certificate in failed.items():
        place = f"{label}: " if label else ""
        messages.print(f"[bold red]error:[/] {place}{escape(certificate.verdict)}", highlight=False, soft_wrap=True)
    return NOT_CERTIFIED if failed else DONE


def certificates_of(curves: xr.Dataset) -> dict[str, Certificate]:
    """The certificates that curves hold: by "depth 3" where there are several depths, else by ""."""
    text = str(curves.attrs.get("certificate", ""))
    if "depth" not in curves.dims:
        return {"": Certificate.from_json(text)} if text else {}
    # Several depths hold a list, unless they all hold the same.
    texts = json.loads(text) if text.startswith("[") else [text] * curves.sizes["depth"]
    pairs = zip(curves["depth"].values, texts, strict=True)
    return {f"depth {int(depth)}": Certificate.from_json(each) for depth, each in pairs if each}


def compute(config: Config, data: Dataset, progress: Track, checkpoint: Path) -> tuple[xr.Dataset, bool]:
    """Curves of every depth, stacked along `depth` where there are several, and whether they are complete."""
    settings = assembly.settings(config)
    networks = assembly.networks(config)
    finished: dict[int | None, xr.Dataset] = {}
    whole = True
    for depth, network in networks.items():
        try:
            finished[depth] = information.information_curves(
                network,
                data,
                assembly.times(config),
                procedure=assembly.procedure(config),
                quantities=assembly.quantities(config),
                settings=replace(settings, checkpoint=checkpoint / ("curves" if depth is None else f"depth-{depth}")),
                progress=progress if len(networks) == 1 else _at_depth(progress, depth),
            )
        except information.Interrupted as interruption:
            whole = False
            if interruption.partial.data_vars:
                finished[depth] = interruption.partial
            break
        except KeyboardInterrupt:
            whole = False
            break
    curves = _stack(finished) if len(networks) > 1 else next(iter(finished.values()), xr.Dataset())
    return curves.assign_attrs(complete="yes" if whole else "no, interrupted"), whole


def _at_depth(progress: Track, depth: int | None) -> Track:
    def track(items, label, total=None):
        return progress(items, f"depth {depth}: {label}", total)

    return track


def _stack(finished: Mapping[int | None, xr.Dataset]) -> xr.Dataset:
    if not finished:
        return xr.Dataset()
    depths = xr.DataArray(
        list(finished), dims="depth", name="depth", attrs={"long_name": "hidden layers", "units": "1"}
    )
    sets = harmonised(list(finished.values()))
    stacked = xr.concat(
        sets, depths, data_vars="all", coords="minimal", compat="override", join="outer", combine_attrs="override"
    )
    keys = dict.fromkeys(key for curves in sets for key in curves.attrs)
    stacked.attrs = {key: _agreed([curves.attrs.get(key, "") for curves in sets]) for key in keys}
    for name in [str(name) for name in stacked.data_vars if str(name).endswith("_method")]:
        # Depths that lack a quantity leave gaps, which whole numbers cannot hold.
        stacked[name] = stacked[name].fillna(-1).astype("int8").assign_attrs(stacked[name].attrs)
    return stacked


def _agreed(values: Sequence[Any]) -> Any:
    """The value that all depths share, or all of them as a JSON list in the order of the depths."""
    texts = [json.dumps(value, default=str) for value in values]
    return values[0] if len(set(texts)) == 1 else f"[{', '.join(texts)}]"


def _chosen(config: Config, data: Dataset) -> list[str]:
    """The quantities that are to be computed."""
    noisy = assembly.procedure(config).temperature > 0
    return list(choose(assembly.quantities(config), data.labels_train is not None, noisy))


def _write(
    folder: ResultsFolder, curves: xr.Dataset, config: Config, asked: Config | None, data: Dataset
) -> list[Path]:
    computed = [name for name in information.QUANTITIES if name in curves]
    text = dump_config(asked or assembly.resolved(config, data, config.curves.quantities or computed))
    curves = curves.assign_attrs(configuration=text)
    files: dict[str, Any] = {"curves.nc": lambda place: information.save_curves(curves, place)}
    if any(panels(curves)):
        figure = curves_figure(curves, bits=config.output.bits)
        for suffix in dict.fromkeys(config.output.formats):
            files[f"curves.{suffix}"] = lambda place: save_figure(figure, place)
    files["config.toml"] = lambda place: place.write_text(text, encoding="utf-8")
    if "certificate" in curves.attrs:
        files["certificate.json"] = lambda place: place.write_text(_certificate_text(curves), encoding="utf-8")
    return folder.write(files)


def _certificate_text(curves: xr.Dataset) -> str:
    records = {label: json.loads(one.to_json()) for label, one in certificates_of(curves).items()}
    return json.dumps(records.get("", records), indent=1) + "\n"


def _names(config: Config) -> list[str]:
    return ["curves.nc", "config.toml", "certificate.json", *(f"curves.{suffix}" for suffix in config.output.formats)]


def _describe(output: Console, config: Config, data: Dataset) -> None:
    for network in assembly.networks(config).values():
        output.print(network.describe(), highlight=False, soft_wrap=True)
    output.print(
        f"{escape(data.name)}: {len(data.x_train)} training and {len(data.x_test)} test inputs, "
        f"{data.n_outputs} outputs; {config.training.procedure.replace('_', ' ')}",
        highlight=False,
        soft_wrap=True,
    )
    for line in described_inputs(data):
        output.print(escape(line), highlight=False, soft_wrap=True)


def _summarise(output: Console, curves: xr.Dataset, bits: bool) -> None:
    depths = curves["depth"].values if "depth" in curves.dims else [None]
    for depth in depths:
        one = curves if depth is None else curves.sel(depth=depth)
        output.print()
        print_summary(output, one, bits=bits, title="" if depth is None else f"depth {depth}")


def _missing(curves: xr.Dataset, config: Config) -> str:
    parts = []
    absent = [name for name in assembly.quantities(config) or by_default() if name not in curves]
    if absent:
        parts.append(f"quantities {', '.join(absent)}")
    if curves.sizes.get("time", 0) < len(assembly.times(config)):
        parts.append(f"{len(assembly.times(config)) - curves.sizes.get('time', 0)} times")
    depths = [str(d) for d in assembly.networks(config) if "depth" in curves.dims and d not in curves["depth"].values]
    if depths:
        parts.append(f"depths {', '.join(depths)}")
    if config.curves.certify and len(certificates_of(curves)) < max(curves.sizes.get("depth", 1), 1):
        parts.append("the certificate")
    return "; ".join(parts) or "values that are NaN in curves.nc"
