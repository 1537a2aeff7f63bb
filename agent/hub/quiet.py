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

    with contextlib.ExitStack() as restored:
        restored.callback(hub_logging.set_verbosity, hub_logging.get_verbosity())
        restored.callback(verbosity.set_verbosity, verbosity.get_verbosity())
        if verbosity.is_progress_bar_enabled():
            restored.callback(verbosity.enable_progress_bar)
        hub_logging.set_verbosity_error()
        verbosity.set_verbosity_error()
        verbosity.disable_progress_bar()
        # The GGUF reader draws a tqdm bar that no setting disables.
        restored.enter_context(contextlib.redirect_stderr(io.StringIO()))
        yield


@contextlib.contextmanager
def quiet_datasets() -> Iterator[None]:
    """Silence the datasets library and the hub's client."""
    import datasets

    hub = logging.getLogger("huggingface_hub")
    with contextlib.ExitStack() as restored:
        restored.callback(hub.setLevel, hub.level)
        restored.callback(datasets.logging.set_verbosity, datasets.logging.get_verbosity())
        if not datasets.are_progress_bars_disabled():
            restored.callback(datasets.enable_progress_bars)
        datasets.disable_progress_bars()
        datasets.logging.set_verbosity(logging.CRITICAL)
        hub.setLevel(logging.CRITICAL)
        yield
