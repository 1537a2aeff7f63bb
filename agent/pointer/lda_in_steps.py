"""gensim's LDA, whose fit goes on where a kill interrupted it, to the same numbers: on whole books one fit takes minutes.

A fit is a row of M-steps, and all that one hands to the next is in a few arrays. They are kept every so often; a later fit
passes over the steps that were done already without computing anything, and takes up the arrays at the last of them.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from gensim.models import LdaModel
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

SECONDS_BETWEEN_SAVES = 30.0
"""What a kill may cost, and the step in hand: one reading of at most 2,000 chunks."""


class LdaInSteps(LdaModel):
    """As `LdaModel`, with a corpus.

    Args:
        file: where the state is kept; it must belong to exactly this fit. A disk that refuses it is no reason to stop.
    """

    def __init__(self, *arguments: Any, file: Path, **options: Any) -> None:
        self.file = file
        self.steps, self.kept = 0, time.monotonic()
        self.found = _read(file)
        self.done = int(self.found["steps"][0]) if self.found else 0
        super().__init__(*arguments, **options)

    def inference(self, chunk: Any, collect_sstats: bool = False) -> Any:
        """Nothing, of the right shape, while the steps are passed over that were done before."""
        if self.steps >= self.done:
            return super().inference(chunk, collect_sstats)
        gamma = np.zeros((len(chunk), self.num_topics), dtype=self.dtype)
        return gamma, np.zeros_like(self.expElogbeta) if collect_sstats else None

    def do_mstep(self, rho: float, other: Any, extra_pass: bool = False) -> None:
        """gensim's step, or where it was done before only what counts it."""
        if self.steps >= self.done:
            super().do_mstep(rho, other, extra_pass)
        elif not extra_pass:
            self.num_updates += other.numdocs
        self.steps += 1
        if self.steps == self.done and self.found:
            self._take_up(self.found)
        elif self.steps > self.done and time.monotonic() - self.kept >= SECONDS_BETWEEN_SAVES:
            self._keep()

    def _take_up(self, found: dict[str, np.ndarray]) -> None:
        self.state.sstats = found["sstats"]
        self.state.numdocs = int(found["numdocs"][0])
        self.sync_state()
        position, has_gauss = (int(each) for each in found["position"])
        self.random_state.set_state(
            ("MT19937", found["generator"], position, has_gauss, float(found["gauss"][0]))
        )
        self.found = None

    def _keep(self) -> None:
        _, keys, position, has_gauss, gauss = self.random_state.get_state()
        arrays: dict[str, Float[np.ndarray, "..."]] = {
            "steps": np.array([self.steps]),
            "sstats": np.ascontiguousarray(self.state.sstats),
            "numdocs": np.array([self.state.numdocs]),
            "generator": keys,
            "position": np.array([position, has_gauss]),
            "gauss": np.array([gauss]),
        }
        draft = self.file.with_name(f"{self.file.name}.tmp")
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            save_file(arrays, draft)
            os.replace(draft, self.file)
        except (OSError, SafetensorError):
            with suppress(OSError):
                draft.unlink()
        self.kept = time.monotonic()


def _read(file: Path) -> dict[str, np.ndarray] | None:
    """None where there is nothing, or nothing whole: it is fitted from its beginning then."""
    try:
        found = load_file(file)
    except (OSError, SafetensorError):
        return None
    expected = {"steps", "sstats", "numdocs", "generator", "position", "gauss"}
    return found if found.keys() == expected and np.isfinite(found["sstats"]).all() else None
