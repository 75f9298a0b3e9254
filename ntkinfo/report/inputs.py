"""What the inputs of a run are, in a line or two: by this a wrong column, order of channels or scale is seen."""

from __future__ import annotations

from ntkinfo.core.records import Dataset

_NAMES = 4


def described_inputs(data: Dataset) -> list[str]:
    """Features or shape of an image, scaling, and what was left out or repeats.

    Args:
        data: of a run; what its provenance does not say is left out.
    """
    shape, given = data.x_train.shape[1:], data.provenance
    if len(shape) == 3:
        kind = f"images of {' x '.join(map(str, shape))} (height, width, channels)"
        kind += f", channels {given['channels']}" if "channels" in given else ""
    elif "image" in given:
        kind = f"{data.x_train[0].size} pixels of flat images of {given['image']} (height, width, channels)"
    else:
        kind = (
            f"{data.x_train[0].size} feature{'s' * (data.x_train[0].size != 1)}{_named(str(given.get('features', '')))}"
        )
    parts = [f"inputs: {kind}"]
    if given.get("scale", 1.0) != 1.0:
        parts.append(f"times {float(given['scale']):.3g}")
    if "standardise" in given:
        parts.append("as they are" if given["standardise"] == "no" else f"standardised {given['standardise']}")
    lines = ["; ".join(parts)]
    lines += [
        f"{said}: {given[key]}" for key, said in (("left_out", "left out"), ("reading", "read as")) if key in given
    ]
    moved = int(given.get("repeated_inputs_moved_to_one_side", 0))
    if moved:
        lines.append(f"{moved} inputs that repeat were moved to the side of the split where their equals are")
    return [*lines, *data.notes]


def _named(names: str) -> str:
    words = names.split()
    if not words:
        return ""
    return f" ({', '.join(words[:_NAMES])}{', ...' if len(words) > _NAMES else ''})"
