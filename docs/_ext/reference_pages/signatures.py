"""Signatures as they are written in the source, with shapes in jaxtyping's notation; links from the names in them."""

import ast
import functools
import inspect
import re
import sys

from docutils import nodes
from sphinx.addnodes import pending_xref

from reference_pages.public import PublicNames, resolve

_JAXTYPING = re.compile(r"""(\b(?:Float|Int|Bool|Shaped|Num|Integer|UInt8|UInt)\[.*?, )["'] *(.*?)["']\]""")
_WORD = re.compile(r"(?<![\w.])[A-Z]\w+")
_LONGEST = 140  # letters of an alias that is written out
_PREFIXES = re.compile(r"\b(?:np|jax|jnp|typing|collections\.abc)\.(?=[A-Za-z])")
# Names of other libraries: the build reads no inventories of theirs, so they are shown without a link.
OTHERS = re.compile(
    r"(Float|Int|Bool|Shaped|Num|Integer|UInt8|UInt|Array|ArrayLike|Key|PRNGKeyArray|PyTree|ndarray|dtype|DTypeLike|"
    r"Generator|Dataset|DataArray|Table|Figure|Axes|Path|PathLike|os\.PathLike|Callable|Iterable|Iterator|Mapping|Sequence|"
    r"Any|Literal|Protocol|GradientTransformation|optax\..*|eqx\..*|equinox\..*|Collection|Hashable|Self|cached_property|"
    r"Track|KeyboardInterrupt|ABC|abc\.ABC|float64|uint8|"
    r"Params|Batch|AbstractContextManager)"
)

# Pages about functions that are not public: the classes that only they take and return are not documented.
UNDOCUMENTED_THERE = ("reference/internals", "reference/search")


def shown(annotation, scope):
    """An annotation as text, as written, but for prefixes of modules.

    Classes of this package stand with the name that they are documented under (Sphinx shows its last part), aliases
    of types with what they stand for, dimensions without the blank that jaxtyping wants.
    """
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    parts = re.split(r"""("[^"]*"|'[^']*')""", text)
    parts[::2] = [_WORD.sub(lambda match: _named(match.group(), scope), part) for part in parts[::2]]
    text = _JAXTYPING.sub(lambda match: f'{match[1]}"{match[2].strip()}"]', "".join(parts))
    return _PREFIXES.sub("", text)


def _named(word, scope):
    value = scope.get(word)
    if inspect.isclass(value):
        return PublicNames.of_package().documented(value) or word
    written = _alias(scope["__name__"], word)
    return written if written and len(written) <= _LONGEST else word


@functools.cache
def _alias(module_name, word):
    """The source of a type alias, found where it is assigned; None for what is none."""
    module = sys.modules.get(module_name)
    if module is None or not module_name.startswith("ntkinfo"):
        return None
    for node in _body(module):
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == word for t in node.targets):
            written = ast.unparse(node.value)
            return None if "TypeVar" in written else shown(written, vars(module))
        if isinstance(node, ast.ImportFrom) and node.module and any(a.name == word for a in node.names):
            return _alias(node.module, word)
    return None


@functools.cache
def _body(module):
    return ast.parse(inspect.getsource(module)).body


def _default(value):
    if inspect.isfunction(value) or inspect.isclass(value):
        return value.__name__
    text = repr(value)
    return "..." if text.startswith("<") else text


class _Source:
    """Text that `inspect.Signature` prints as it is."""

    def __init__(self, text):
        self._text = text

    def __repr__(self):
        return self._text


def source_signature(value):
    """(arguments, return annotation) of a callable, or None where Python does not know them."""
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return None
    scope = vars(sys.modules[getattr(value, "__module__", None) or "builtins"])
    parameters = []
    for parameter in signature.parameters.values():
        changes = {}
        if parameter.annotation is not parameter.empty:
            changes["annotation"] = _Source(shown(parameter.annotation, scope))
        if parameter.default is not parameter.empty:
            changes["default"] = _Source(_default(parameter.default))
        parameters.append(parameter.replace(**changes))
    if parameters and parameters[0].name in ("self", "cls"):
        parameters = parameters[1:]
    returned = signature.return_annotation
    empty = returned is signature.empty or returned in (None, "None") or inspect.isclass(value)
    return str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty)), (
        None if empty else shown(returned, scope)
    )


def _process(_app, what, _name, obj, _options, signature, returned):
    if what not in ("function", "method", "class", "exception"):
        return signature, returned
    return source_signature(obj) or (signature, returned)


def _missing(app, env, node: pending_xref, content: nodes.TextElement):
    """Follow this package's names to where they are documented; leave what other libraries own as text."""
    target = node["reftarget"]
    if node.get("refdomain") != "py":
        return None
    if target.startswith("ntkinfo."):
        documented = _documented(target)
        if documented is None:
            return None
        domain = env.get_domain("py")
        return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", documented, node, content)
    if node["refdoc"] in UNDOCUMENTED_THERE and target.isidentifier():
        return content
    return content if OTHERS.fullmatch(target) or OTHERS.fullmatch(target.rpartition(".")[2]) else None


def _documented(target):
    """The public name of what a module holds under another one."""
    try:
        found = PublicNames.of_package().documented(resolve(target))
    except (ImportError, AttributeError):
        return None
    return found if found != target else None


def setup(app):
    """Replace autodoc's signatures and resolve what the Python domain does not find."""
    app.connect("autodoc-process-signature", _process)
    app.connect("missing-reference", _missing)
