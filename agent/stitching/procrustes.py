"""An orthogonal map between standardised residual streams: it can turn one space onto the other, and stretch nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.stitching.linear import LinearMap
from agent.stitching.moments import Moments, total


@dataclass(frozen=True)
class Procrustes:
    """Orthogonal Procrustes with one common scale (Schoenemann 1966); a partial isometry where the widths differ."""

    def fit(self, parts: Sequence[Moments]) -> LinearMap:
        """W = s U V^T with U S V^T = X^T Y and s = tr(S) / tr(U U^T X^T X), the least-squares scale."""
        everything = total(parts)
        moments = everything.standardised
        left, values, right = np.linalg.svd(moments.xy, full_matrices=False)
        rotation = left @ right
        scale = values.sum() / max(float(np.einsum("st,su,ut->", rotation, moments.xx, rotation)), 1e-12)
        return LinearMap.between_standards(scale * rotation, everything)
