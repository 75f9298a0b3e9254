"""Binary files of the matrix: NPZ, MATLAB, Parquet, IDX, CIFAR."""

from tests.data.file_matrix import Case

CASES: list[Case] = []
