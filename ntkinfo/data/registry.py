"""Every data set by name, with its options: what the command line and the configuration file use."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.records import Dataset
from ntkinfo.data import array_files, bundled, icosahedral_rule, image_files, parquet_files, synthetic, text_files
from ntkinfo.data.csv_table import CsvReading, TableReading
from ntkinfo.data.preparation import Preparation
from ntkinfo.data.sources import FILE_DEFAULTS

REQUIRED = inspect.Parameter.empty
# Options that name files.
PATHS = (
    "path",
    "test_path",
    "image_file",
    "label_file",
    "test_image_file",
    "test_label_file",
    "x_file",
    "y_file",
    "x_test_file",
    "y_test_file",
)


@dataclass(frozen=True)
class Option:
    """One option of a data set.

    Args:
        name: the keyword.
        default: its default; REQUIRED where there is none.
        meaning: one line.
    """

    name: str
    default: Any
    meaning: str

    @property
    def required(self) -> bool:
        """Whether the option must be given."""
        return self.default is REQUIRED


@dataclass(frozen=True)
class Entry:
    """One data set of the registry.

    Args:
        loader: its function.
        preparation: the preparation it starts from; None: it takes none.
        reading: a record whose fields are further options of the loader, with their defaults.
        folders: whether its path may be a folder.
    """

    loader: Callable[..., Dataset]
    preparation: Preparation | None
    reading: Any = None
    folders: bool = False

    @property
    def meaning(self) -> str:
        """The first line of the loader's description."""
        return (inspect.getdoc(self.loader) or "").split("\n")[0]

    @property
    def options(self) -> dict[str, Option]:
        """Every option by name, in the order of the loader's arguments."""
        found = {}
        for parameter in inspect.signature(self.loader).parameters.values():
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
                found[parameter.name] = Option(parameter.name, parameter.default, MEANINGS[parameter.name])
        for record in (self.reading, self.preparation):
            for field in fields(record) if record is not None else ():
                found[field.name] = Option(field.name, getattr(record, field.name), MEANINGS[field.name])
        return found


ENTRIES: Mapping[str, Entry] = {
    "digits": Entry(bundled.digits, bundled.DEFAULTS["digits"]),
    "breast_cancer": Entry(bundled.breast_cancer, bundled.DEFAULTS["breast_cancer"]),
    "diabetes": Entry(bundled.diabetes, bundled.DEFAULTS["diabetes"]),
    "wine": Entry(bundled.wine, bundled.DEFAULTS["wine"]),
    "gaussian": Entry(synthetic.gaussian_pair, None),
    "twelve_bit": Entry(icosahedral_rule.twelve_bit, icosahedral_rule.TWELVE_BIT_DEFAULTS),
    "idx": Entry(image_files.idx, image_files.IDX_DEFAULTS),
    "npz": Entry(array_files.npz, FILE_DEFAULTS, array_files.NpzReading(), folders=True),
    "npy": Entry(array_files.npy, FILE_DEFAULTS),
    "csv": Entry(text_files.csv, FILE_DEFAULTS, CsvReading()),
    "parquet": Entry(parquet_files.parquet, FILE_DEFAULTS, parquet_files.ParquetReading(), folders=True),
    "mat": Entry(array_files.mat, FILE_DEFAULTS, array_files.MatReading()),
    "arff": Entry(text_files.arff, FILE_DEFAULTS, TableReading()),
    "libsvm": Entry(text_files.libsvm, FILE_DEFAULTS),
    "cifar": Entry(image_files.cifar, image_files.IDX_DEFAULTS, image_files.CifarReading(), folders=True),
}

MEANINGS: Mapping[str, str] = {
    "n_train": "training inputs; left out: all that there are, or that n_test leaves",
    "n_test": "test inputs; left out: all that there are, or that n_train leaves",
    "seed": "fixes the split, the noise and any draw",
    "targets": "one-hot (centred), parity (-1 even, +1 odd), pair (-1 first, +1 second class) or regression",
    "classes": "names of the classes to keep, in order; empty keeps all",
    "label_noise": "probability of a replaced label; for regression the standard deviation of added noise",
    "noisy_test": "put the noise on the test part too",
    "standardise": "shift and scale inputs with the mean and deviation of the training part",
    "standardise_by": "feature (each on its own), all (one mean and deviation), or auto: all for images",
    "standardise_targets": "shift and scale regression targets with the training part's mean and deviation",
    "images": "keep inputs as height x width x channels",
    "channels": "where files keep an image's channels: last, first, or auto (by the shape)",
    "repeats_together": "keep inputs that repeat on one side of the split",
    "correlations": "canonical correlations, strictly between -1 and 1",
    "dims": "dimensions of X and of Y",
    "image_file": "IDX file of the images (of the training part, if test files are given)",
    "label_file": "IDX file of their labels",
    "test_image_file": "IDX file of the test images",
    "test_label_file": "IDX file of the test labels",
    "path": "the file; cifar, npz, parquet: or a folder",
    "test_path": "a file of its own for the test part",
    "target": "column with the answers, by name or (without header) number; several for regression or one-hot",
    "features": "columns with the inputs; empty takes all that are not targets",
    "delimiter": "character between cells, tab or blanks; left out: guessed",
    "header": "whether the first line names the columns: yes, no, or auto",
    "decimal": "decimal mark: . or , or auto",
    "text_features": "columns of text among the inputs: refuse, or make them one-hot",
    "coarse": "CIFAR-100: the 20 coarse classes",
    "x_field": "field with the inputs; left out: one whose name is usual",
    "y_field": "field with the answers",
    "x_test_field": "field with the inputs of the test part",
    "y_test_field": "field with the answers of the test part",
    "x_file": "NPY file of the inputs (of the training part, if test files are given)",
    "y_file": "NPY file of their answers",
    "x_test_file": "NPY file of the test inputs",
    "y_test_file": "NPY file of the test answers",
    "inputs": "variable with the inputs; left out: one whose name is usual",
    "answers": "variable with the answers",
    "test_inputs": "variable with the inputs of the test part",
    "test_answers": "variable with the answers of the test part",
}


@checked
def load(name: str, **options: Any) -> Dataset:
    """Load a data set by its name.

    Args:
        name: one of the names in `describe()`.
        **options: that data set's options.

    Returns:
        The data.

    Raises:
        ValueError: an unknown name or option (with the nearest known one), a required option that is missing, or
            what the loader itself refuses.
    """
    checks.choice("data", name, ENTRIES)
    known = ENTRIES[name].options
    for option in options:
        checks.choice(f"option of the data {name!r}", option, known)
    missing = [option.name for option in known.values() if option.required and option.name not in options]
    if missing:
        raise ValueError(f"the data {name!r} needs the option(s) {', '.join(missing)}")
    return ENTRIES[name].loader(**options)


def describe() -> dict[str, dict[str, Option]]:
    """Every data set's options.

    Returns:
        For each name its options by name, each with default and meaning.
    """
    return {name: entry.options for name, entry in ENTRIES.items()}
