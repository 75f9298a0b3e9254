"""What is printed: text from data is shown as it is, and a reader that leaves early costs nothing."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

PIPE_WIDTH = 200  # columns of a pipe or a file, which has no width of its own
# What a terminal obeys instead of showing it; a line break is layout.
_ORDERS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


class Terminal(Console):
    """A console whose text, wherever it comes from, cannot give the terminal orders.

    It is as wide as the terminal, or as COLUMNS says; a pipe or a file, which has no width, is `PIPE_WIDTH` wide.

    Args:
        options: those of rich's `Console`.
    """

    def __init__(self, **options: Any):
        super().__init__(**options)
        if options.get("width") is None and not self.is_terminal and not os.environ.get("COLUMNS", "").isdigit():
            self.width = PIPE_WIDTH

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As rich does it, with control characters in the text written out."""
        for segment in super().render(renderable, options):
            if segment.control or not _ORDERS.search(segment.text):
                yield segment
            else:
                yield Segment(_ORDERS.sub(lambda found: repr(found[0])[1:-1], segment.text), segment.style)

    def on_broken_pipe(self) -> None:
        """Print nothing more, and go on: `| head -1` is no reason to end a run."""
        self.quiet = True
        stream = sys.stderr if self.stderr else sys.stdout
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
