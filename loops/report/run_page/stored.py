"""Store in page/ what a page needs beyond the rounds: places of real passages, and token readings.

With these a page can be made again without the language model and without its activations.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy

from agent.errors import BasinError
from agent.files.checked import DamagedError, parse_json, parse_tensors, read_inside, tensors_metadata
from loops.checkpoint.atomic import MOST_TENSORS, inner_folder, write_file
from loops.checkpoint.schema import MOST
from loops.report.run_page.plane import PlacedPlane, Plane

FOLDER = "page"
PLANE, TOKENS = "plane.safetensors", "tokens.json"


@dataclass(frozen=True)
class PassageReading:
    """A passage read token by token."""

    kind: str
    """Why it was chosen: `member`, `refused`, `taken`, `steered` or `base`."""
    title: str
    text: str
    ends: list[int]
    """Characters read up to each token; never falling."""
    nats: list[float]
    """Each token's evidence for the concept above its threshold; the mean is the passage's."""


@dataclass(frozen=True)
class TokenReadings:
    """Passages read token by token with the readout of one round."""

    round: int
    passages: list[PassageReading]


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
    _write(run, PLANE, safetensors.numpy.save(tensors, metadata={"round": number}))


def load_tokens(run: Path) -> TokenReadings | None:
    """The stored token readings of any round; None if there are none, or they are damaged."""
    try:
        tree = parse_json(read_inside(run, f"{FOLDER}/{TOKENS}", MOST), TOKENS)
        passages = [PassageReading(**each) for each in tree["passages"]]
        whole = all(len(each.ends) == len(each.nats) and isinstance(each.text, str) for each in passages)
        return TokenReadings(int(tree["round"]), passages) if whole else None
    except (DamagedError, ValueError, KeyError, TypeError):
        return None


def save_tokens(run: Path, tokens: TokenReadings) -> None:
    """Replace the stored token readings; nothing happens if they cannot be written."""
    content = json.dumps(asdict(tokens), ensure_ascii=False).encode("utf-8", errors="surrogatepass")
    _write(run, TOKENS, content)


def _write(run: Path, name: str, content: bytes) -> None:
    with suppress(OSError, BasinError):  # BasinError: a link in the folder's place leads out of the run
        write_file(inner_folder(run, FOLDER) / name, content)
