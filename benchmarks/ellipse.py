"""`python -m benchmarks.ellipse RUN [FILE]`: draw a pointer's ellipse and the boundary that a run made of it.

Reads the stored files of a finished run and nothing else. Writes the picture at the top of README.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from safetensors.numpy import load_file

from loops.checkpoint.find import find_run
from loops.report.run_page.plane import boundary, normal_ellipse

GROUPS = (
    ("neither", False, False, "#C4C4C4", "o", 7),
    ("pointer only: thrown out", True, False, "#D55E00", "v", 26),
    ("both", True, True, "#0072B2", "o", 16),
    ("concept only: taken in", False, True, "#009E73", "D", 18),
)
ORANGE, BLUE = "#D55E00", "#0072B2"


def main(run: str, file: Annotated[Path, typer.Argument()] = Path("docs/images/ellipse.png")) -> None:
    """Draw the newest round of a run beside its round 0."""
    folder = find_run(run)
    rounds = sorted(folder.glob("round_*"))
    topic, concept = (_membership(each) for each in (rounds[0], rounds[-1]))
    places = load_file(folder / "page" / "plane.safetensors")["places"].astype(float)
    file.parent.mkdir(parents=True, exist_ok=True)
    draw(file, places, topic, concept)


def draw(file: Path, places: np.ndarray, topic: np.ndarray, concept: np.ndarray) -> None:
    """Write the picture: `places` of the passages in the plane, and their memberships before and after."""
    figure = Figure(figsize=(8.4, 4.3), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for label, before, after, colour, marker, size in GROUPS:
        part = ((topic >= 0.5) == before) & ((concept >= 0.5) == after)
        style = {"c": colour, "marker": marker, "s": size, "linewidths": 0, "alpha": 0.85}
        axes.scatter(*places[part].T, label=f"{label} ({part.sum():,})", **style)
    low, high = np.quantile(places, [0.003, 0.997], axis=0)
    _ellipse(axes, places, topic)
    _boundary(axes, places, concept, low[1] - 1, high[1] + 1)
    axes.set(xlim=(low[0], high[0]), ylim=(low[1] - 0.2, high[1] + 0.2))
    axes.set(xlabel="evidence for the concept (nats)", ylabel="largest other axis (deviations)")
    figure.legend(loc="outside right upper", frameon=False, fontsize=9, title="passages claimed by")
    figure.savefig(file, metadata={"Software": None})


def _membership(folder: Path) -> np.ndarray:
    return load_file(folder / "tensors.safetensors")["membership"].astype(float)


def _ellipse(axes, places: np.ndarray, topic: np.ndarray) -> None:
    """One and a half deviations of the pointer's weighted normal distribution."""
    found = normal_ellipse(places, topic)
    if found is not None:
        mean, factor = found
        angles = np.linspace(0, 2 * np.pi, 200)
        circle = np.stack([np.cos(angles), np.sin(angles)])
        axes.plot(*(mean[:, None] + 1.5 * factor @ circle), c=ORANGE, lw=2.2, label="the pointer's ellipse")


def _boundary(axes, places: np.ndarray, concept: np.ndarray, low: float, high: float) -> None:
    """Where a passage is as likely inside as outside, as far as the plane can tell."""
    found = boundary(places, concept)
    if found is not None and found[0]:
        a, b, c = found
        y = np.array([low, high])
        axes.plot(-(b * y + c) / a, y, c=BLUE, lw=2.2, label="the concept's boundary")


if __name__ == "__main__":
    typer.run(main)
