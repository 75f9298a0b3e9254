"""Charts of the report page: drawn here as SVG, with the numbers that the slider needs beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ntkinfo.report.page_axes import Axis
from ntkinfo.report.page_html import Html, element, joined
from ntkinfo.report.series import COLOURS

# Lighter versions of the same hues, for a dark background.
DARK_COLOURS = ("#56A8E8", "#F08A4B", "#2FC298", "#E29CC5", "#F0B93A", "#9CD3F7", "#F2F2F2")
WIDTH, HEIGHT = 360, 226
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 10, 8, 36
_DASHES = {"solid": None, "dashed": "6 3", "dotted": "1.5 2.5", "long": "10 3 2 3"}
_MARKS_ON_A_LINE = 6
_MOST_POINTS = 400


@dataclass(frozen=True)
class Line:
    """A line or a set of points.

    Args:
        label: in the legend.
        x: (T,), in the unit of the axis.
        y: (T,).
        colour: number in `COLOURS`; the shape of its marks too, so that no line is told by its colour alone.
        dash: solid, dashed, dotted or long.
        points: draw points and no line.
        hollow: draw points hollow.
        marked: put a few marks on the line.
        steps: whether it has a place and a text for each step of the slider.
        readout: (T,), what the legend shows at a step; `y` if None.
        unit: behind that number.
        texts: (T), what the legend shows instead.
        band: (lower, upper) of a shaded region, each (T,).
        error: (T,), half the height of a darker region around the line, or None.
        thin: (rows of T) drawn as thin dotted lines beside it.
        heavy: drawn broad, beneath lines that may coincide with it.
        level: nothing but a horizontal line across, which the slider moves.
        legend: whether it stands in the legend.
    """

    label: str
    x: np.ndarray
    y: np.ndarray
    colour: int = 0
    dash: str = "solid"
    points: bool = False
    hollow: bool = False
    marked: bool = True
    steps: bool = False
    readout: np.ndarray | None = None
    unit: str = ""
    texts: Sequence[str] | None = None
    band: tuple[np.ndarray, np.ndarray] | None = None
    error: np.ndarray | None = None
    thin: tuple[np.ndarray, ...] = ()
    heavy: bool = False
    level: bool = False
    legend: bool = True


@dataclass(frozen=True)
class Chart:
    """One pair of axes.

    Args:
        name: part of the identifiers in the page; letters, digits and hyphens.
        title: heading.
        x_label: with its unit.
        y_label: with its unit.
        x: axis.
        y: axis.
        lines: drawn in this order.
        note: below the legend.
        area: (x, y), shaded from y to the top.
        rules: heights of dotted horizontal lines, each with the number of its colour.
        cross: whether the slider moves a vertical line, which needs steps along x.
    """

    name: str
    title: str
    x_label: str
    y_label: str
    x: Axis
    y: Axis
    lines: Sequence[Line]
    note: object = None
    area: tuple[np.ndarray, np.ndarray] | None = None
    rules: Sequence[tuple[float, int]] = field(default=())
    cross: bool = True

    def html(self, level: str = "h4") -> Html:
        """Heading, drawing, legend and note."""
        return element(
            "figure",
            element(level, self.title, id=f"{self.name}-title"),
            element("p", self.y_label, class_="axis", aria_hidden="true"),
            self._svg(),
            self._legend(),
            None if self.note is None else element("p", self.note, class_="note"),
            class_="chart",
            id=self.name,
            aria_labelledby=f"{self.name}-title",
        )

    def data(self) -> dict[str, Any]:
        """Places and texts of everything that the slider moves."""
        lines = {}
        for number, line in enumerate(self.lines):
            if line.steps:
                x, y = self._pixels(line.x, line.y)
                lines[str(number)] = {
                    "x": [0] * len(x) if line.level else _rounded(x),
                    "y": _rounded(y),
                    "t": _texts(line),
                }
        return {"lines": lines}

    def _svg(self) -> Html:
        clip = f"{self.name}-clip"
        described = f"{self.name}-text"
        plot = {"x": _LEFT, "y": _TOP, "width": WIDTH - _LEFT - _RIGHT, "height": HEIGHT - _TOP - _BOTTOM}
        return element(
            "svg",
            element("desc", _description(self), id=described),
            element("clipPath", element("rect", **plot), id=clip),
            self._ticks(),
            element("g", *self._marks(), clip_path=f"url(#{clip})"),
            *self._ends(),
            *self._moving(),
            viewBox=f"0 0 {WIDTH} {HEIGHT}",
            role="img",
            aria_labelledby=f"{self.name}-title",
            aria_describedby=described,
        )

    def _ticks(self) -> Html:
        bottom, parts = HEIGHT - _BOTTOM, []
        for place, text in self.x.ticks:
            x = _x(place)
            parts.append(element("line", x1=x, x2=x, y1=_TOP, y2=bottom, class_="grid"))
            parts.append(element("text", text, x=x, y=bottom + 14, text_anchor="middle"))
        for place, text in self.y.ticks:
            y = _y(place)
            parts.append(element("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=y, y2=y, class_="grid"))
            parts.append(element("text", text, x=_LEFT - 5, y=f"{y + 3.5:.1f}", text_anchor="end"))
        for place in self.x.breaks:
            parts.append(element("line", x1=_x(place), x2=_x(place), y1=_TOP, y2=bottom, class_="break"))
        parts.append(element("path", d=f"M{_LEFT} {_TOP}V{bottom}H{WIDTH - _RIGHT}", class_="frame"))
        middle = (_LEFT + WIDTH - _RIGHT) / 2
        parts.append(element("text", self.x_label, x=middle, y=HEIGHT - 6, text_anchor="middle", class_="label"))
        return element("g", *parts, aria_hidden="true")

    def _marks(self) -> Iterator[Html]:
        if self.area is not None:
            x, y = self._pixels(*self.area)
            yield element("path", d=f"{_path(x, y)}V{_TOP}H{x[0]:.1f}Z", class_="area")
        for height, colour in self.rules:
            y = _y(float(self.y.places(np.array([height]))[0]))
            yield element("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=y, y2=y, class_=f"rule c{colour % len(COLOURS)}")
        for number, line in enumerate(self.lines):
            yield element("g", *self._line(line), class_=f"c{line.colour % len(COLOURS)}", data_line=number)

    def _line(self, line: Line) -> Iterator[Html]:
        if line.level:
            return
        inner = np.isfinite(line.x) & ((line.x > 0) | (self.x.kind == "linear"))
        x, y = self._pixels(line.x[inner], line.y[inner])
        if line.band is not None:
            yield self._band(line.x[inner], line.band[0][inner], line.band[1][inner], "band")
        if line.error is not None:
            low, high = line.y - line.error, line.y + line.error
            yield self._band(line.x[inner], low[inner], high[inner], "band error")
        for row in line.thin:
            yield element("path", d=_path(*self._pixels(line.x[inner], row[inner])), class_="line thin")
        if line.points:
            yield element("path", d=_shapes(x, y, line.colour, 2.6), class_="hollow" if line.hollow else "mark")
            return
        style = "line heavy" if line.heavy else "line"
        yield element("path", d=_path(x, y), class_=style, stroke_dasharray=_DASHES[line.dash])
        if line.marked and len(x):
            chosen = _places_of_marks(x, line.colour)
            drawn = _shapes(x[chosen], y[chosen], line.colour, 3.0)
            yield element("path", d=drawn, class_="mark" if line.dash == "solid" else "hollow")

    def _ends(self) -> Iterator[Html]:
        """What stands at time 0 and at ∞, and infinite values as triangles at the top."""
        for number, line in enumerate(self.lines):
            if line.points or line.level:
                continue
            parts = []
            style = "mark" if line.dash == "solid" else "hollow"
            for index in np.flatnonzero(~(np.isfinite(line.x) & ((line.x > 0) | (self.x.kind == "linear")))):
                x, y = self._pixels(line.x[[index]], line.y[[index]])
                if line.y[index] == np.inf and np.isfinite(x[0]):
                    parts.append(element("path", d=_shapes(x, np.array([_TOP + 5.0]), 2, 4.0), class_=style))
                elif _inside(x[0], y[0]):
                    parts.append(element("path", d=_shapes(x, y, line.colour, 3.4), class_=style))
            if parts:
                yield element("g", *parts, class_=f"c{line.colour % len(COLOURS)}", data_line=number)

    def _moving(self) -> Iterator[Html]:
        """What the slider moves; hidden until the script puts it in its place."""
        if not any(line.steps for line in self.lines):
            return
        if self.cross:
            yield element("line", y1=_TOP, y2=HEIGHT - _BOTTOM, class_="cross", visibility="hidden")
        for number, line in enumerate(self.lines):
            if line.steps:
                style = f"dot c{line.colour % len(COLOURS)}"
                form = (
                    {"x1": _LEFT, "x2": WIDTH - _RIGHT, "class_": f"{style} level"}
                    if line.level
                    else {"r": 5.5, "class_": style}
                )
                yield element("line" if line.level else "circle", **form, data_dot=number, visibility="hidden")

    def _legend(self) -> Html:
        entries = []
        for number, line in enumerate(self.lines):
            if not line.legend:
                continue
            button = element(
                "button",
                _swatch(line),
                element("span", line.label),
                type="button",
                aria_pressed="true",
                data_for=number,
            )
            value = element("span", _texts(line)[-1], class_="value", data_value=number) if line.steps else None
            entries.append(element("li", button, value))
        return element("ul", *entries, class_="legend", aria_label=f"Lines of {self.title}")

    def _band(self, x: np.ndarray, low: np.ndarray, high: np.ndarray, style: str) -> Html:
        bottom = np.where((self.y.kind == "log") & (low <= 0), self.y.low, low)
        kept = np.isfinite(bottom) & np.isfinite(high)
        left, lower = self._pixels(x[kept], bottom[kept])
        _, upper = self._pixels(x[kept], high[kept])
        if not kept.any():
            return Html("")
        points = [*zip(left, upper, strict=True), *zip(left[::-1], lower[::-1], strict=True)]
        text = "L".join(f"{a:.1f} {b:.1f}" for a, b in points if np.isfinite(a) and np.isfinite(b))
        return element("path", d=f"M{text}Z" if text else "", class_=style)

    def _pixels(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        across, up = self.x.places(x), self.y.places(y)
        return _LEFT + across * (WIDTH - _LEFT - _RIGHT), HEIGHT - _BOTTOM - up * (HEIGHT - _TOP - _BOTTOM)


def charts_html(charts: Sequence[Chart], level: str = "h4") -> Html:
    """Charts side by side, as many as fit."""
    return element("div", *(chart.html(level) for chart in charts), class_="charts")


def number_text(value: float) -> str:
    """Four digits, with a sign for infinity; a dash where there is nothing."""
    if np.isnan(value):
        return "–"
    text = "∞" if np.isinf(value) else f"{abs(value):.4g}"
    return f"−{text}" if value < 0 else text


def _description(chart: Chart) -> str:
    told = [f"{chart.y_label} against {chart.x_label}."]
    for line in chart.lines:
        if line.steps and len(line.y):
            values = line.y if line.readout is None else line.readout
            first, last = number_text(float(values[0])), number_text(float(values[-1]))
            told.append(f"{line.label}: from {first} to {last}.")
        elif line.legend:
            told.append(f"{line.label}.")
    return " ".join(told)


def _texts(line: Line) -> list[str]:
    if line.texts is not None:
        return list(line.texts)
    values = line.y if line.readout is None else line.readout
    behind = f" {line.unit}" if line.unit else ""
    return [f"{number_text(float(value))}{behind}" for value in values]


def _rounded(values: np.ndarray) -> list[float | None]:
    return [None if not np.isfinite(value) else round(float(value), 1) for value in values]


def _x(place: float) -> float:
    return round(_LEFT + place * (WIDTH - _LEFT - _RIGHT), 1)


def _y(place: float) -> float:
    return round(HEIGHT - _BOTTOM - place * (HEIGHT - _TOP - _BOTTOM), 1)


def _inside(x: float, y: float) -> bool:
    return bool(_LEFT - 3 <= x <= WIDTH - _RIGHT + 3 and _TOP - 3 <= y <= HEIGHT - _BOTTOM + 3)


def _path(x: np.ndarray, y: np.ndarray) -> str:
    """A path through the points, broken where one has no place."""
    text, pen = [], False
    for a, b in zip(x, np.clip(y, -HEIGHT, 2 * HEIGHT), strict=True):
        there = bool(np.isfinite(a) and np.isfinite(b))
        if there:
            text.append(f"{'L' if pen else 'M'}{a:.1f} {b:.1f}")
        pen = there
    return "".join(text)


def _places_of_marks(x: np.ndarray, colour: int) -> np.ndarray:
    """A few points evenly spread, others for other colours, so that marks of lines that coincide stand apart."""
    shift = (colour % len(COLOURS)) / len(COLOURS)
    spread = (np.arange(_MARKS_ON_A_LINE) + shift + 0.1) / (_MARKS_ON_A_LINE + 0.2)
    return np.unique(np.round(spread * (len(x) - 1)).astype(int))


def _shapes(x: np.ndarray, y: np.ndarray, colour: int, size: float) -> str:
    """A mark at each point: circle, square, triangle, diamond, cross, triangle down or bar, by the colour's number."""
    kept = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    kept = kept[:: max(1, -(-len(kept) // _MOST_POINTS))]
    s = size
    forms = (
        f"m{-s:.1f} 0a{s:.1f} {s:.1f} 0 1 0 {2 * s:.1f} 0a{s:.1f} {s:.1f} 0 1 0 {-2 * s:.1f} 0z",
        f"m{-s:.1f} {-s:.1f}h{2 * s:.1f}v{2 * s:.1f}h{-2 * s:.1f}z",
        f"m0 {-s:.1f}l{s:.1f} {1.8 * s:.1f}h{-2 * s:.1f}z",
        f"m0 {-1.3 * s:.1f}l{1.3 * s:.1f} {1.3 * s:.1f}l{-1.3 * s:.1f} {1.3 * s:.1f}l{-1.3 * s:.1f} {-1.3 * s:.1f}z",
        f"m{-s:.1f} {-s:.1f}l{2 * s:.1f} {2 * s:.1f}m0 {-2 * s:.1f}l{-2 * s:.1f} {2 * s:.1f}",
        f"m0 {s:.1f}l{s:.1f} {-1.8 * s:.1f}h{-2 * s:.1f}z",
        f"m{-s:.1f} {-0.4 * s:.1f}h{2 * s:.1f}v{0.8 * s:.1f}h{-2 * s:.1f}z",
    )
    form = forms[colour % len(forms)]
    return "".join(f"M{a:.1f} {b:.1f}{form}" for a, b in zip(x[kept], y[kept], strict=True))


def _swatch(line: Line) -> Html:
    """The line in small, for its entry in the legend."""
    middle = _shapes(np.array([14.0]), np.array([6.0]), line.colour, 3.0)
    hollow = line.hollow if line.points else line.dash != "solid"
    parts = []
    if not line.points:
        parts.append(element("path", d="M1 6H27", class_="line", stroke_dasharray=_DASHES[line.dash]))
    if (line.points or line.marked) and not line.level:
        parts.append(element("path", d=middle, class_="hollow" if hollow else "mark"))
    style = f"c{line.colour % len(COLOURS)}"
    return element("svg", joined(parts), viewBox="0 0 28 12", class_=f"swatch {style}", aria_hidden="true")
