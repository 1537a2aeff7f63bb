"""What a run can honestly say about itself without a single label: is this notion a fixed point, and the pointer's own?

Eight things are looked at. None of them is truth: a notion can be stable, natural and wrong. How often the certificate was
right is measured against gold on a whole basin map, and printed beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float
from pydantic import Field

from agent.basin.fixed_points import SAME, agreement
from agent.basin.natural_latent import natural_latent
from agent.basin.tracking import drifts, kept
from agent.clustering.round_map import RoundMap, Schedule, shuffled
from agent.types import StageConfig, seed_for


class CertificateConfig(StageConfig):
    """How hard a notion is tried, and what it has to stand."""

    still: float = Field(0.02, gt=0)
    """The last drift is below this."""
    kicks: int = Field(3, ge=0)
    kick: float = Field(0.2, gt=0, le=1)
    """Share of the documents whose memberships are dealt out anew by a kick."""
    kick_rounds: int = Field(10, ge=1)
    restarts: int = Field(3, ge=0)
    restart_noise: float = Field(0.3, ge=0, le=1)
    """Share of the documents whose pointer scores are dealt out anew for a restart."""
    redundancy: float = Field(0.25, gt=0)
    """Share of the membership's entropy that half a document may leave open."""
    mediation: float = Field(0.5, gt=0)
    """Nats per document that halves may still share once the membership is known."""
    kept: float = Field(0.5, ge=0, le=1)
    """Share of the pointer's surest documents that are still inside: else it is a notion, and another one."""


@dataclass(frozen=True)
class Certificate:
    """What was found; `holds` says whether all of it is as it should be."""

    drift: float
    """Of the last round."""
    eigenvalue: float
    """Leading, of the round map without pointer at the notion; below 1 it contracts."""
    came_back: float
    """Least soft Jaccard with itself after a kick."""
    restarts_agree: float
    """Least soft Jaccard with where spoiled restarts arrived."""
    redundancy: float | None
    mediation: float | None
    """None where too few documents have several passages."""
    kept: float
    pointer_weight: float
    """Trust in the pointer in the last round; a fixed point that leans on its pointer is not certified."""

    def failures(self, config: CertificateConfig) -> list[str]:
        """What is not as it should be, in words; empty where the certificate holds."""
        checks = [
            (self.drift < config.still, f"it still moves (drift {self.drift:.3f})"),
            (self.pointer_weight == 0, f"it leans on its pointer (trust {self.pointer_weight:.2f})"),
            (self.eigenvalue < 1, f"the round map does not contract (eigenvalue {self.eigenvalue:.2f})"),
            (self.came_back >= SAME, f"kicked, it did not come back (overlap {self.came_back:.2f})"),
            (self.restarts_agree >= SAME, f"restarts arrive elsewhere (overlap {self.restarts_agree:.2f})"),
            (
                self.redundancy is not None and self.redundancy <= config.redundancy,
                f"half a document does not tell it ({_told(self.redundancy)} of the entropy left open)",
            ),
            (
                self.mediation is not None and self.mediation <= config.mediation,
                f"it is not all that halves of a document share ({_told(self.mediation)} nats left)",
            ),
            (self.kept >= config.kept, f"it left its pointer ({self.kept:.0%} of the surest documents kept)"),
        ]
        return [sentence for passed, sentence in checks if not passed]

    def holds(self, config: CertificateConfig) -> bool:
        """Whether nothing fails."""
        return not self.failures(config)

    def numbers(self) -> dict[str, float | None]:
        """For a file or a table."""
        return asdict(self)


def certify(
    round_map: RoundMap,
    path: Float[np.ndarray, "round document"],
    pointer: Float[np.ndarray, "document"],
    schedule: Schedule,
    config: CertificateConfig,
    seed: int,
) -> Certificate:
    """Try the notion at the end of `path`, which `pointer` led to under `schedule`."""
    final, rounds = path[-1], len(path) - 1
    kicks = [
        round_map.kicked(final, config.kick, config.kick_rounds, seed_for(seed, number, "kick"))
        for number in range(config.kicks)
    ]
    restarts = [
        round_map.flow(
            shuffled(pointer, config.restart_noise, seed_for(seed, number, "restart")), schedule, rounds
        )[-1]
        for number in range(config.restarts)
    ]
    documents = round_map.document_of
    evidence = round_map.evidence(final[documents])
    natural = natural_latent(final[documents], evidence, documents, seed_for(seed, 0, "natural latent"))
    return Certificate(
        drift=float(drifts(path[-2:])[-1]),
        eigenvalue=round_map.eigenvalue(final, seed_for(seed, 0, "eigenvalue")),
        came_back=agreement(kicks, final),
        restarts_agree=agreement(restarts, final),
        redundancy=natural and natural.redundancy_share,
        mediation=natural and natural.mediation,
        kept=kept(path[0], final),
        pointer_weight=schedule.trust(rounds),
    )


def verdict(failures: Sequence[str]) -> str:
    """The certificate in one sentence."""
    if failures:
        return f"Not certified: {'; '.join(failures)}."
    return "Certified: still, contracting, back after every kick, the same after restarts, natural, and the pointer's own."


def _told(value: float | None) -> str:
    return "an unknown part" if value is None else f"{value:.2f}"
