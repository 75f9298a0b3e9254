"""The documentation names the parts of neural-tangents that the tests use, and those that no test uses."""

import ast
from pathlib import Path

from ntkinfo.kernels import neural_tangents_compat as compat

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "how-to-neural-tangents.md"
SPACES = ("stax", "predict")
NO_PARTS = {"AggregateImplementation", "AttentionMechanism", "Bool", "Diagonal", "Gaussian", "MaskedArray", "ODEState"}


def used():
    """Name of each part to the test files that use it."""
    top = {name for name in compat.__all__ if name not in (*SPACES, "VERSION")}
    found: dict[str, set[str]] = {}
    files = [*HERE.glob("test_neural_tangents_*.py"), HERE / "test_stax_network.py", HERE / "test_architectures.py"]
    for path in sorted(set(files) - {Path(__file__)}):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = node.id if isinstance(node, ast.Name) and node.id in top else None
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in SPACES:
                name = f"{node.value.id}.{node.attr}"
            if name:
                found.setdefault(name, set()).add(path.stem.removeprefix("test_"))
    return found


def offered():
    for space in SPACES:
        module = getattr(compat, space)
        for name in vars(module):
            if not name.startswith("_") and name not in NO_PARTS and callable(getattr(module, name)):
                yield f"{space}.{name}"


def table():
    parts = used()
    rows = ["| part | tests (`tests/kernels/test_….py`) |", "|---|---|"]
    rows += [f"| `{name}` | {', '.join(sorted(files))} |" for name, files in sorted(parts.items())]
    rest = ", ".join(f"`{name}`" for name in sorted(set(offered()) - parts.keys()))
    return "\n".join([*rows, "", f"Offered, and used by no test: {rest}."])


def test_the_page_holds_the_list():
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition("<!-- tested -->\n")
    inside, _, after = rest.partition("<!-- /tested -->")
    assert before
    assert after
    assert inside.strip() == table()
