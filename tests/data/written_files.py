"""Files as programs write them that are not at hand: MATLAB 7.3 by its layout, CIFAR's binary version."""

import h5py
import numpy as np


def write_matlab_73(path, fields, **stored):
    """Arrays, lists of text and text in the layout of `save -v7.3`: axes reversed, text as UTF-16, cells by reference.

    Args:
        path: the file.
        fields: by name; a list becomes a cell array of text, (n, 1).
        **stored: how numbers are stored, such as compression="gzip".
    """
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in fields.items():
            if isinstance(value, list):
                cells = [_text(file, f"#refs#/{name}{k}", text).ref for k, text in enumerate(value)]
                found = file.create_dataset(name, data=np.array([cells], dtype=h5py.ref_dtype))
                found.attrs["MATLAB_class"] = np.bytes_(b"cell")
            elif isinstance(value, str):
                _text(file, name, value)
            else:
                array = np.atleast_2d(value)
                array = array.T if np.ndim(value) == 1 else array
                found = file.create_dataset(name, data=array.T, **stored)
                kind = {"float64": "double", "float32": "single", "bool": "logical"}.get(str(array.dtype), array.dtype)
                found.attrs["MATLAB_class"] = np.bytes_(str(kind).encode())
    content = path.read_bytes()
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, HDF5 schema 1.00 .".ljust(124) + b"\x00\x02IM"
    path.write_bytes(header + content[len(header) :])
    return path


def _text(file, name, text):
    found = file.create_dataset(name, data=np.frombuffer(text.encode("utf-16-le"), "<u2")[:, None])
    found.attrs["MATLAB_class"] = np.bytes_(b"char")
    found.attrs["MATLAB_int_decode"] = np.int32(2)
    return found


def write_cifar(path, images, *labels):
    """Records of one file: the bytes of the classes, then the planes of red, green and blue.

    Args:
        path: the file.
        images: (n, 32, 32, 3) bytes.
        *labels: (n,) each: one for CIFAR-10, coarse and fine ones for CIFAR-100.
    """
    planes = np.moveaxis(images, 3, 1).reshape(len(images), -1)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(np.column_stack([*labels, planes]).astype(np.uint8).tobytes())
    return path
