"""Data sets: bundled, synthetic, from files."""

from ntkinfo.data.array_files import mat, npy, npz
from ntkinfo.data.bundled import breast_cancer, diabetes, digits, wine
from ntkinfo.data.icosahedral_rule import TwelveBitRule, twelve_bit, twelve_bit_rule
from ntkinfo.data.image_files import cifar, idx
from ntkinfo.data.own_arrays import arrays
from ntkinfo.data.parquet_files import parquet
from ntkinfo.data.preparation import Preparation
from ntkinfo.data.registry import describe, load
from ntkinfo.data.synthetic import GaussianPair, gaussian_pair, teacher_gp
from ntkinfo.data.text_files import arff, csv, libsvm

__all__ = [
    "GaussianPair",
    "Preparation",
    "TwelveBitRule",
    "arff",
    "arrays",
    "breast_cancer",
    "cifar",
    "csv",
    "describe",
    "diabetes",
    "digits",
    "gaussian_pair",
    "idx",
    "libsvm",
    "load",
    "mat",
    "npy",
    "npz",
    "parquet",
    "teacher_gp",
    "twelve_bit",
    "twelve_bit_rule",
    "wine",
]
