"""What every generator wrote, unpicked, as a page to be read: the first passages in the order in which they were written."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

SHOWN = 20
"""Passages of every generator, or all where it kept fewer."""
WIDTH = 110
"""Characters a line."""


def samples_page(
    title: str, judged: Mapping[str, Sequence[Mapping[str, Any]]], most: int | None = SHOWN
) -> str:
    """A Markdown page: by generator the first passages, the prompt apart from the text, with what judges say.

    Args:
        judged: generator to passages as `basin evaluate generation` keeps them under judged/, in their order.
        most: passages of a generator; None for all.
    """
    lines = [
        f"# {title}",
        "",
        f"{'All' if most is None else f'The first {most}'} passages of every generator in the order in which they were "
        "written; none was picked or left out. A and B are cluster scores: 0 as a real passage from outside the concept "
        "in the mean, 1 as one from inside. Rendered by `python -m benchmarks.generation`.",
        "",
    ]
    for generator, samples in judged.items():
        shown = samples[:most]
        lines += [f"## {generator}", "", f"{len(shown)} of {len(samples)} passages.", ""]
        for number, sample in enumerate(shown, 1):
            lines += _passage(number, sample)
    return "\n".join(lines)


def _passage(number: int, sample: Mapping[str, Any]) -> list[str]:
    scores = ", ".join(f"{which.upper()} {_score(sample[f'cluster_score_{which}'])}" for which in "ab")
    prompt, text = (str(sample[part]).strip() for part in ("prompt", "text"))
    return [
        f"**{number}.** {scores}, coherent: {'yes' if sample['coherent'] else 'no'}",
        "",
        "Prompt:",
        *_verbatim(prompt),
        "Text:",
        *_verbatim(text),
    ]


def _verbatim(text: str) -> list[str]:
    """A block that nothing in the text can end or format; long lines are broken between words."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    whole = {"break_long_words": False, "break_on_hyphens": False}
    wrapped = [piece for line in text.splitlines() for piece in textwrap.wrap(line, WIDTH, **whole) or [""]]
    return ["", f"{fence}text", *wrapped, fence, ""]


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
