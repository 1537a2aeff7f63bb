"""What a run stands on and no round changes: texts, pointer, models, the size; and what things cost."""

from __future__ import annotations

import logging
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from agent.clustering.config import ClusteringConfig
from agent.clustering.prior import Prior, estimate_prior, no_concept
from agent.clustering.texts import Texts
from agent.hub.embedders import EMBEDDED_EMBEDDER, load_embedder
from agent.language_model.activation_cache import embed_cached, record_cached
from agent.language_model.coherence import Coherence
from agent.language_model.model import LanguageModel
from agent.membership.log_odds import log_odds
from agent.pointer.topic_model import Pointer, PointerReading
from agent.progress import begin_stage
from agent.types import PassageSet, seed_for
from loops.config import RunConfig
from loops.round.forecast import forecast

logger = logging.getLogger(__name__)

SMALLEST_SIZE, LARGEST_SIZE = 0.02, 0.5
"""A pointer that claims less or more of the corpus is still given this much to start from."""


@dataclass(frozen=True)
class RunContext:
    """What no round changes: the real passages, the pointer's opinion of them, and the models."""

    config: RunConfig
    passages: PassageSet
    pointer: Pointer
    real: Texts
    prior: Prior
    language_model: LanguageModel
    coherence: Coherence
    no_concept: str | None
    """The sentence that says that the pointer points at nothing, or None."""
    scratch: Path
    """Where training keeps its state inside a round; the only place that a round writes to."""
    embed: Callable[[Sequence[str]], Float[np.ndarray, "text column"]] | None = None
    """The sentence embedder, where re-clustering hears one."""

    @property
    def size(self) -> float:
        return self.prior.size


@dataclass
class Costs:
    """Seconds by stage, measured while a round runs."""

    round: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        begin = time.perf_counter()
        begin_stage(self.round, name)
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begin

    def total(self) -> dict[str, float]:
        return {**self.seconds, "peak_gb": peak_gigabytes()}


def prepare(
    config: RunConfig,
    passages: PassageSet,
    pointer: Pointer,
    costs: Costs,
    scratch: Path,
    language_model: LanguageModel | None = None,
) -> RunContext:
    """Load the models and read every real passage once.

    Args:
        scratch: where training may keep its state.
        language_model: the configured one, where it is loaded already.
    """
    with costs.stage("load"):
        language_model = language_model or LanguageModel.load(config.language_model)
        config.updating.steered_layers(language_model.layers)  # refused before anything is read
        logger.info(forecast(config, passages, language_model))
        coherence = Coherence.load(passages.texts, config.coherence)
    with costs.stage("record"):
        activations = record_cached(language_model, passages.texts)
        hears = config.clustering.use_embeddings
        embed, embeddings = embedded(passages) if hears else (None, None)
    reading, document_of = pointer.read(passages.texts), passages.document_of
    real = Texts(activations, log_odds(reading.weights), embeddings=embeddings)
    claimed = claimed_size(config, reading, document_of)
    with costs.stage("trust"):
        found = estimate_prior(
            real, document_of, claimed, _clustering(config), seed_for(config.seed, 0, "folds")
        )
    trust, document_spread = found.trust, reading.document_spread(document_of)
    logger.info(
        f"The concept starts with {found.size:.1%} of the corpus. Loadings on what pointer and activations share: "
        f"pointer {trust.pointer_loading:.2f}, activations {trust.evidence_loading:.2f}; the activations know the "
        f"pointer {trust.z_score:.1f} deviations better than a shuffled one, and it is spread over "
        f"{document_spread:.0%} of the documents."
    )
    nothing = no_concept(trust, document_spread, config.clustering)
    return RunContext(
        config, passages, pointer, real, found, language_model, coherence, nothing, scratch, embed
    )


def embedded(
    passages: PassageSet,
) -> tuple[Callable[[Sequence[str]], Float[np.ndarray, "text column"]], Float[np.ndarray, "passage column"]]:
    """The sentence embedder, and what it makes of the real passages, cached."""
    embedder = load_embedder(EMBEDDED_EMBEDDER)
    real = embed_cached(embedder, EMBEDDED_EMBEDDER, passages.texts)[:, 0]
    return lambda texts: embedder.encode(list(texts), show_progress_bar=False), real


def _clustering(config: RunConfig) -> ClusteringConfig:
    return config.clustering.of_pointer(seeded=config.seeded)


def claimed_size(
    config: RunConfig, reading: PointerReading, document_of: Int[np.ndarray, "passage"]
) -> float:
    """The share of the corpus that the pointer claims by itself, or the one that is configured."""
    size = _clustering(config).size
    if isinstance(size, float):
        return size
    kind = "presence" if size == "presence" else "mass"
    claimed = reading.claim(kind == "presence", document_of)
    size = float(np.clip(claimed, SMALLEST_SIZE, LARGEST_SIZE))
    if size != claimed:
        logger.info(
            f"The pointer's {kind} is {claimed:.1%} of the corpus; {size:.0%} is taken instead. "
            "Look at the topic (`basin topics`), or set clustering.size."
        )
    return size


def peak_gigabytes() -> float:
    """The most memory this process has held, in GB (1e9 bytes)."""
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes * (1 if sys.platform == "darwin" else 1024) / 1e9
