"""A cross-fitted ridge on planted activations, of which a round map is made."""

import numpy as np
from planted_activations import DOCUMENT_OF, GOLD, activations_of

from agent.clustering.config import ClusteringConfig
from agent.clustering.texts import divisions_of
from agent.membership.classifiers import CrossFittedRidge
from agent.membership.projection import Projection

CONFIG = ClusteringConfig(components=12, folds=4, divisions=2, penalty=0.1)


def ridge(strength: float = 4.0, seed: int = 0) -> CrossFittedRidge:
    activations = activations_of(GOLD, seed, strength)
    features = Projection.fit(activations, CONFIG.components).apply(activations)
    divisions = divisions_of(DOCUMENT_OF, 0, CONFIG, 0)
    return CrossFittedRidge(features, np.ones(len(features)), divisions, CONFIG.penalty)
