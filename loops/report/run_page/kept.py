"""What a page needs and the rounds do not hold, kept beside them in page/: where real passages are, and token by token.

With it a page can be made again where neither the language model nor its activations are at hand.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy
from jaxtyping import Float

from agent.concept import Readout
from agent.errors import BasinError
from agent.files.checked import DamagedError, parse_json, parse_tensors, read_inside, tensors_metadata
from loops.checkpoint.atomic import MOST_TENSORS, inner_folder, write_file
from loops.checkpoint.schema import MOST
from loops.report.run_page.plane import Plane

FOLDER = "page"
PLANE, TOKENS = "plane.safetensors", "tokens.json"


@dataclass(frozen=True)
class KeptPlane:
    """The plane of a run's newest readout and the real passages in it."""

    plane: Plane
    places: Float[np.ndarray, "passage 2"]


@dataclass(frozen=True)
class ReadPassage:
    """A passage read token by token."""

    kind: str
    """Why it was chosen: `member`, `refused`, `taken`, `steered` or `base`."""
    title: str
    text: str
    ends: list[int]
    """Characters read with each token, rising."""
    nats: list[float]
    """What each token says for the concept, above its threshold; their mean is what the passage says."""


@dataclass(frozen=True)
class Tokens:
    """Passages read token by token with the readout of one round."""

    round: int
    digest: str
    """Of the readout."""
    passages: list[ReadPassage]


def readout_digest(readout: Readout | None) -> str:
    """16 hex digits of what a readout reads; `none` where there is none."""
    if readout is None:
        return "none"
    numbers = np.array([readout.bias, readout.threshold])
    return hashlib.sha256(np.ascontiguousarray(readout.weights).tobytes() + numbers.tobytes()).hexdigest()[
        :16
    ]


def load_plane(run: Path, digest: str, passages: int) -> KeptPlane | None:
    """The plane of this readout; None where none was kept, or one of another round."""
    try:
        content = read_inside(run, f"{FOLDER}/{PLANE}", MOST_TENSORS)
        if tensors_metadata(content, PLANE).get("readout") != digest:
            return None
        arrays = {name: each.numpy() for name, each in parse_tensors(content, PLANE).items()}
        axes, offsets, places = (arrays[name] for name in ("axes", "offsets", "places"))
    except (DamagedError, KeyError, TypeError):
        return None
    whole = axes.ndim == 3 and len(axes) == 2 and offsets.shape == (2,) and places.shape == (passages, 2)
    finite = all(np.isfinite(each).all() for each in (axes, offsets, places))
    return KeptPlane(Plane(axes, offsets), places) if whole and finite else None


def keep_plane(run: Path, digest: str, kept: KeptPlane) -> None:
    """Replace the plane; where it cannot be written the page goes without it another time."""
    arrays = {"axes": kept.plane.axes, "offsets": kept.plane.offsets, "places": kept.places}
    tensors = {name: np.ascontiguousarray(array, dtype=np.float64) for name, array in arrays.items()}
    _write(run, PLANE, safetensors.numpy.save(tensors, metadata={"readout": digest}))


def load_tokens(run: Path) -> Tokens | None:
    """What was read token by token, by whichever round; None where nothing readable is there."""
    try:
        tree = parse_json(read_inside(run, f"{FOLDER}/{TOKENS}", MOST), TOKENS)
        passages = [ReadPassage(**each) for each in tree["passages"]]
        whole = all(len(each.ends) == len(each.nats) and isinstance(each.text, str) for each in passages)
        return Tokens(int(tree["round"]), str(tree["digest"]), passages) if whole else None
    except (DamagedError, ValueError, KeyError, TypeError):
        return None


def keep_tokens(run: Path, tokens: Tokens) -> None:
    """Replace what was read token by token, likewise."""
    content = json.dumps(asdict(tokens), ensure_ascii=False).encode("utf-8", errors="surrogatepass")
    _write(run, TOKENS, content)


def _write(run: Path, name: str, content: bytes) -> None:
    with suppress(OSError, BasinError):  # a link in the folder's place leads out of the run
        write_file(inner_folder(run, FOLDER) / name, content)
