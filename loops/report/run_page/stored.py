"""Store in page/ where real passages lie, so that a page can be made again without their activations."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import safetensors.numpy

from agent.errors import BasinError
from agent.files.checked import DamagedError, parse_tensors, read_inside, tensors_metadata
from loops.checkpoint.atomic import MOST_TENSORS, inner_folder, write_file
from loops.report.run_page.plane import PlacedPlane, Plane

FOLDER = "page"
PLANE = "plane.safetensors"


def load_plane(run: Path, passages: int) -> PlacedPlane | None:
    """The stored plane; None if there is none, it is damaged, or it has another number of passages."""
    try:
        content = read_inside(run, f"{FOLDER}/{PLANE}", MOST_TENSORS)
        number = tensors_metadata(content, PLANE)["round"]
        arrays = {name: each.numpy() for name, each in parse_tensors(content, PLANE).items()}
        axes, offsets, places = (arrays[name] for name in ("axes", "offsets", "places"))
    except (DamagedError, KeyError, TypeError):
        return None
    whole = axes.ndim == 3 and len(axes) == 2 and offsets.shape == (2,) and places.shape == (passages, 2)
    finite = all(np.isfinite(each).all() for each in (axes, offsets, places))
    if not (whole and finite and (number.isdecimal() or not number)):
        return None
    return PlacedPlane(int(number) if number else None, Plane(axes, offsets), places)


def save_plane(run: Path, placed: PlacedPlane) -> None:
    """Replace the stored plane; nothing happens if it cannot be written."""
    arrays = {"axes": placed.plane.axes, "offsets": placed.plane.offsets, "places": placed.places}
    tensors = {name: np.ascontiguousarray(array, dtype=np.float64) for name, array in arrays.items()}
    number = "" if placed.round is None else str(placed.round)
    with suppress(OSError, BasinError):  # BasinError: a link in the folder's place leads out of the run
        content = safetensors.numpy.save(tensors, metadata={"round": number})
        write_file(inner_folder(run, FOLDER) / PLANE, content)
