"""The certificate: checks without labels that a concept is natural, fixed and the pointer's.

No check proves the concept right: a concept can be stable, natural and wrong. A basin map measures
how often the certificate holds where gold labels agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float
from pydantic import Field

from agent.basin.natural_latent import natural_latent
from agent.basin.tracking import drifts
from agent.clustering.round_map import RoundMap, Schedule, shuffled
from agent.config import StageConfig
from agent.membership.similarity import SAME, agreement, correlation
from agent.types import seed_for


class CertificateConfig(StageConfig):
    """Number and strength of the trials, and the bounds of the checks."""

    still: float = Field(0.02, gt=0)
    """Bound of the last drift."""
    kicks: int = Field(3, ge=0)
    kick: float = Field(0.2, gt=0, le=1)
    """Share of the documents among which a kick shuffles memberships."""
    kick_rounds: int = Field(10, ge=1)
    restarts: int = Field(3, ge=0)
    restart_noise: float = Field(0.3, ge=0, le=1)
    """Share of the documents among which a restart shuffles pointer scores."""
    redundancy: float = Field(0.25, gt=0)
    """Largest share of the membership's entropy that half a document leaves open."""
    mediation: float = Field(0.5, gt=0)
    """Largest information, in nats per document, that halves share given the membership."""
    pointer_known: float = Field(0.8, ge=0, le=1)
    """Least `Certificate.pointer_known`; below it is another concept."""


@dataclass(frozen=True)
class Certificate:
    """The measurements of all checks."""

    drift: float
    """Of the last round."""
    eigenvalue: float
    """Leading eigenvalue of the round map, at the last round's trust; below 1 it contracts."""
    came_back: float
    """Least soft Jaccard with itself after a kick."""
    restarts_agree: float
    """Least soft Jaccard with the limits of noisy restarts."""
    redundancy: float | None
    mediation: float | None
    """None where too few documents have several passages."""
    pointer_known: float
    """Correlation of the held-out scores with the pointer, over that under full trust."""
    pointer_weight: float
    """Trust in the pointer in the last round; 0 is required."""

    def failures(self, config: CertificateConfig, held_by: str | None = None) -> list[str]:
        """Failed checks as clauses; empty where the certificate holds.

        Args:
            held_by: why trust in the pointer fell no further, as a clause.
        """
        leans = f"it leans on its pointer (trust {self.pointer_weight:.2f})"
        checks = [
            (self.drift < config.still, f"it still moves (drift {self.drift:.3f})"),
            (self.pointer_weight == 0, f"{leans}, since with less {held_by}" if held_by else leans),
            (self.eigenvalue < 1, f"the round map does not contract (eigenvalue {self.eigenvalue:.2f})"),
            (self.came_back >= SAME, f"kicked, it did not come back (overlap {self.came_back:.2f})"),
            (self.restarts_agree >= SAME, f"restarts arrive elsewhere (overlap {self.restarts_agree:.2f})"),
            (
                self.redundancy is not None and self.redundancy <= config.redundancy,
                f"half a document does not tell it ({_shown(self.redundancy)} of the entropy left open)",
            ),
            (
                self.mediation is not None and self.mediation <= config.mediation,
                f"it is not all that halves of a document share ({_shown(self.mediation)} nats left)",
            ),
            (
                self.pointer_known >= config.pointer_known,
                f"it left its pointer (the scores keep {self.pointer_known:.0%} of their correlation with it)",
            ),
        ]
        return [sentence for passed, sentence in checks if not passed]

    def numbers(self) -> dict[str, float | None]:
        """All measurements by name."""
        return asdict(self)


def certify(
    round_map: RoundMap,
    path: Float[np.ndarray, "round document"],
    pointer: Float[np.ndarray, "document"],
    schedule: Schedule,
    *,
    config: CertificateConfig,
    seed: int,
) -> Certificate:
    """Check the concept at the end of `path`, which starts at `pointer` and follows `schedule`."""
    final, rounds = path[-1], len(path) - 1
    trust = schedule.trust(rounds)
    kicks = [
        round_map.kicked(
            final,
            config.kick,
            config.kick_rounds,
            seed_for(seed, number, "kick"),
            pointer=pointer,
            trust=trust,
        )
        for number in range(config.kicks)
    ]
    restarts = [
        round_map.flow(
            shuffled(pointer, config.restart_noise, seed_for(seed, number, "restart")), schedule, rounds
        )[-1]
        for number in range(config.restarts)
    ]
    trusting = round_map.settled(round_map.membership(pointer), config.kick_rounds, pointer, 1.0)
    own, full = (correlation(round_map.scores(each), pointer) for each in (final, trusting))
    documents = round_map.document_of
    evidence = round_map.evidence(final[documents])
    natural = natural_latent(final[documents], evidence, documents, seed_for(seed, 0, "natural latent"))
    return Certificate(
        drift=float(drifts(path[-2:])[-1]),
        eigenvalue=round_map.eigenvalue(final, seed_for(seed, 0, "eigenvalue"), pointer, trust),
        came_back=agreement(kicks, final),
        restarts_agree=agreement(restarts, final),
        redundancy=natural.redundancy_share if natural else None,
        mediation=natural.mediation if natural else None,
        pointer_known=max(own, 0.0) / full if full > 0 else 0.0,
        pointer_weight=trust,
    )


def verdict(failures: Sequence[str]) -> str:
    """The certificate in one sentence."""
    if failures:
        return f"Not certified: {'; '.join(failures)}."
    return "Certified: still, contracting, back after every kick, the same after restarts, natural, and the pointer's own."


def _shown(value: float | None) -> str:
    return "an unknown part" if value is None else f"{value:.2f}"
