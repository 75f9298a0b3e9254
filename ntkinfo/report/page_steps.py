"""Charts that one slider moves together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ntkinfo.report.page_chart import Chart
from ntkinfo.report.page_html import Html, element, json_block


@dataclass(frozen=True)
class Steps:
    """A slider and the charts that it moves; without a script it stays hidden and the charts show their last step.

    Args:
        name: part of the identifiers in the page.
        label: of the slider.
        texts: what each step is called.
        charts: drawn somewhere in the content.
    """

    name: str
    label: str
    texts: Sequence[str]
    charts: Sequence[Chart]

    def html(self, *content: object) -> Html:
        """The slider above the content, and the numbers that the script needs."""
        data = {"steps": list(self.texts), "charts": {chart.name: chart.data() for chart in self.charts}}
        return element("div", self._bar(), *content, json_block(data), class_="steered")

    def _bar(self) -> Html:
        identifier, last = f"{self.name}-slider", len(self.texts) - 1
        slider = element(
            "input", type="range", id=identifier, min=0, max=last, step=1, value=last, aria_valuetext=self.texts[-1]
        )
        play = element("button", "Play", type="button", class_="play", aria_pressed="false")
        shown = element("span", self.texts[-1], class_="now")
        return element("div", element("label", self.label, for_=identifier), play, slider, shown, class_="bar")
