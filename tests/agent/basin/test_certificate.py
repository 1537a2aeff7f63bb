"""The certificate: what holds is certified, and every way to fail is named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from planted_activations import DOCUMENT_OF, GOLD, pointer_of
from planted_round_map import ridge

from agent.basin.certificate import Certificate, CertificateConfig, certify, verdict
from agent.clustering.round_map import RoundMap, Schedule
from agent.membership.documents import document_means

CONFIG = CertificateConfig()
SOUND = Certificate(0.001, 0.6, 0.99, 0.98, 0.1, 0.2, 0.95, 0.0)


def test_a_planted_concept_is_certified():
    round_map = RoundMap((ridge(), ridge(seed=1)), DOCUMENT_OF, 0.25, 8.0)
    pointer = document_means(pointer_of(GOLD, DOCUMENT_OF, 1), DOCUMENT_OF)
    path = round_map.flow(pointer, Schedule(5), 15)
    found = certify(round_map, path, pointer, Schedule(5), config=CONFIG, seed=0)
    assert found.failures(CONFIG) == []
    assert found == certify(round_map, path, pointer, Schedule(5), config=CONFIG, seed=0)
    assert found.pointer_known > 0.95
    astray = np.stack([*path, round_map.membership(-pointer)])
    assert certify(round_map, astray, pointer, Schedule(5), config=CONFIG, seed=0).pointer_known == 0
    held = certify(round_map, path, pointer, Schedule(5, least=1.0), config=CONFIG, seed=0)
    assert any("leans on its pointer" in failure for failure in held.failures(CONFIG))


def test_a_pointer_at_nothing_is_not_certified():
    round_map = RoundMap((ridge(strength=0.0),), DOCUMENT_OF, 0.25, 8.0)
    pointer = np.random.default_rng(0).normal(size=DOCUMENT_OF.max() + 1)
    path = round_map.flow(pointer, Schedule(5), 15)
    assert certify(round_map, path, pointer, Schedule(5), config=CONFIG, seed=0).failures(CONFIG)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"drift": 0.5}, "still moves"),
        ({"pointer_weight": 0.2}, "leans on its pointer"),
        ({"eigenvalue": 1.2}, "does not contract"),
        ({"came_back": 0.5}, "did not come back"),
        ({"restarts_agree": 0.5}, "restarts arrive elsewhere"),
        ({"redundancy": 0.9}, "half a document"),
        ({"redundancy": None}, "unknown"),
        ({"mediation": 2.0}, "halves of a document share"),
        ({"pointer_known": 0.1}, "left its pointer"),
    ],
)
def test_every_way_to_fail_is_named(change, named):
    (failure,) = replace(SOUND, **change).failures(CONFIG)
    assert named in failure
    assert verdict([failure]).startswith("Not certified: ")


def test_a_sound_certificate_is_certified():
    assert verdict(SOUND.failures(CONFIG)).startswith("Certified")
