"""Context managers that silence the progress bars and warnings of Hugging Face libraries."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence transformers and the hub's client."""
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging as verbosity

    hub_before, before = hub_logging.get_verbosity(), verbosity.get_verbosity()
    bars = verbosity.is_progress_bar_enabled()
    hub_logging.set_verbosity_error()
    verbosity.set_verbosity_error()
    verbosity.disable_progress_bar()
    try:
        # The GGUF reader draws a tqdm bar that no setting disables.
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        hub_logging.set_verbosity(hub_before)
        verbosity.set_verbosity(before)
        if bars:
            verbosity.enable_progress_bar()


@contextlib.contextmanager
def quiet_datasets() -> Iterator[None]:
    """Silence the datasets library and the hub's client."""
    import datasets

    hub = logging.getLogger("huggingface_hub")
    bars = datasets.are_progress_bars_disabled()
    before, hub_before = datasets.logging.get_verbosity(), hub.level
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(logging.CRITICAL)
    hub.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        hub.setLevel(hub_before)
        datasets.logging.set_verbosity(before)
        if not bars:
            datasets.enable_progress_bars()
