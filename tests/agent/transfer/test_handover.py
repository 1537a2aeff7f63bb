"""A planted concept handed to a reader that sees the same texts in coordinates of its own."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from agent.clustering.config import ClusteringConfig
from agent.concept import Concept, Readout
from agent.membership.similarity import soft_jaccard
from agent.steering.vector import SteeringVector
from agent.transfer.handover import Carried, HandoverConfig, hand_over

DOCUMENT_OF = np.repeat(np.arange(60), 4)
TRUE = (DOCUMENT_OF % 3 == 0).astype(np.float64)
LAYERS = (4, 7)
GENERATOR = np.random.default_rng(0)
DIRECTION = GENERATOR.normal(size=(2, 8))
THEIRS = GENERATOR.normal(size=(len(TRUE), 2, 8)) + 2 * TRUE[:, None, None] * DIRECTION
VECTOR = SteeringVector(
    {layer: torch.from_numpy(row.astype(np.float32)) for layer, row in zip(LAYERS, DIRECTION, strict=True)}
)
CONCEPT = Concept(3, TRUE, TRUE, TRUE, 1 / 3, vector=VECTOR)
STITCHED = Carried(
    Readout(DIRECTION, -float((DIRECTION**2).sum()), 0.0),
    VECTOR,
    {layer: np.ones(8) for layer in LAYERS},
)


def handed(concept: Concept = CONCEPT, stitched: Carried | None = STITCHED):
    return hand_over(
        concept,
        THEIRS,
        LAYERS,
        DOCUMENT_OF,
        carried=stitched,
        clustering=ClusteringConfig(components=10, penalty=0.1),
        config=HandoverConfig(),
        seed=0,
    )


def test_a_true_concept_arrives():
    checks = ["overlap by intersection", "overlap by stitching", "two ways agree", "cosine"]
    for stitched, made in ((None, checks[:1]), (STITCHED, checks)):
        found = handed(stitched=stitched)
        assert found.refusals == [] and list(found.checks) == made
        assert soft_jaccard(found.probe.membership, TRUE) > 0.9
        assert (found.vector is None) == (stitched is None)


def test_a_shuffled_vector_is_refused():
    generator = np.random.default_rng(3)
    shuffled = {layer: each[generator.permutation(8)] for layer, each in VECTOR.directions.items()}
    found = handed(stitched=replace(STITCHED, vector=SteeringVector(shuffled)))
    assert [each[:26] for each in found.refusals] == ["the vector does not point "]


@pytest.mark.parametrize("stitched", [None, STITCHED])
def test_a_shuffled_concept_is_refused(stitched):
    documents = np.random.default_rng(1).permutation(60)
    found = handed(replace(CONCEPT, membership=TRUE[::4][documents][DOCUMENT_OF]), stitched)
    assert [each for each in found.refusals if "not what was handed over" in each]


def test_a_readout_that_reads_something_else_is_refused():
    other = np.random.default_rng(2).normal(size=(2, 8))
    other -= DIRECTION * (other * DIRECTION).sum() / (DIRECTION**2).sum()
    found = handed(stitched=replace(STITCHED, readout=replace(STITCHED.readout, weights=other)))
    assert [each for each in found.refusals if "by stitching is not" in each]
    assert [each for each in found.refusals if "two ways" in each]
