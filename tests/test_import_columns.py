"""The direction of imports: a module imports only from its own column or from columns to its left."""

import ast
from pathlib import Path

import ntkinfo

PACKAGE = Path(ntkinfo.__file__).parent
# Columns from left to right; those that share a number do not know of each other.
ORDER = {
    "core": 0,
    "data": 1,
    "kernels": 2,
    "training": 3,
    "information": 4,
    "bottleneck": 4,
    "generalization": 4,
    "finite": 5,
    "search": 6,
    "report": 7,
    "top": 8,
}
# Patterns of the modules that may import a library.
ONLY_IN = {
    "neural_tangents": ("kernels/neural_tangents_compat.py", "kernels/_neural_tangents_patches.py"),
    "matplotlib": ("report/style.py", "report/figures.py", "report/*_figure.py"),
    "dask": ("search/cluster.py",),
    "distributed": ("search/cluster.py",),
    "dask_jobqueue": ("search/cluster.py",),
}


def column(parts):
    return parts[0] if parts and parts[0] in ORDER else "top"


def imports(path):
    """Names imported by a module, absolute, wherever in it the statement stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write it out"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def arrows():
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE)
        for name in imports(path):
            yield place, name


def wrong(place, name):
    source, target = column(place.parts[:-1]), column(name.split(".")[1:])
    if name.split(".")[0] != "ntkinfo" or (place.name == "__init__.py" and len(place.parts) == 1):
        return False
    if target == "top":
        return source != "top" and name != "ntkinfo"
    return ORDER[target] > ORDER[source] or (ORDER[target] == ORDER[source] and target != source)


def test_every_import_points_left():
    bad = [f"{place}: {name}" for place, name in arrows() if wrong(place, name)]
    assert not bad, bad


def test_single_homes_of_some_libraries():
    bad = [
        f"{place}: {name}"
        for place, name in arrows()
        if not any(place.match(home) for home in ONLY_IN.get(name.split(".")[0], ("*",)))
    ]
    assert not bad, bad


def test_the_check_can_fail():
    assert wrong(Path("core/records.py"), "ntkinfo.data.files")
    assert wrong(Path("information/curves.py"), "ntkinfo.bottleneck.discrete")
    assert wrong(Path("training/times.py"), "ntkinfo.cli")
    assert not wrong(Path("cli.py"), "ntkinfo.report.figures")
    assert sum(1 for _ in arrows()) > 100


def test_importing_changes_no_jax_setting_and_loads_nothing_heavy():
    import subprocess
    import sys

    code = (
        "import sys, ntkinfo; dir(ntkinfo); "
        "assert not {'jax', 'numpy', 'matplotlib', 'neural_tangents'} & set(sys.modules); "
        "import jax; before = dict(jax.config.values); "
        "[getattr(ntkinfo, name) for name in dir(ntkinfo)]; ntkinfo.FullyConnected().layers(); "
        "assert 'neural_tangents' in sys.modules and 'tensorflow' not in sys.modules; "
        "assert dict(jax.config.values) == before; assert not jax.config.jax_enable_x64"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
