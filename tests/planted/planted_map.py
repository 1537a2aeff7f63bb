"""The setup of a basin map for tests: planted activations, a half-right pointer and noisy starts."""

import sys
import time
from pathlib import Path

import numpy as np
from planted_activations import DOCUMENT_OF, DOCUMENTS, GOLD, pointer_of
from planted_round_map import ridge

from agent.basin.starts import Start
from agent.clustering.round_map import RoundMap, Schedule, shuffled
from agent.membership.documents import document_means
from agent.pointer.topic_model import Pointer, TopicModel
from agent.types import Document, Passage, PassageSet
from loops.basin_map import map as basin_map
from loops.basin_map.setup import MapSetup, SweepInputs
from loops.config import MapConfig

FOLLOW = basin_map.follow
MEMBERS = GOLD[:: len(DOCUMENT_OF) // DOCUMENTS]
RUN = {"clustering": {"size": 0.25}, "certificate": {"kicks": 1, "restarts": 1}}
CONFIG = MapConfig(run={"corpus": {"source": "somewhere"}, **RUN})


def planted_setup(count: int = 12, config: MapConfig = CONFIG) -> MapSetup:
    """The topic, then starts with ever more noise."""
    topic = document_means(pointer_of(GOLD, DOCUMENT_OF, 1), DOCUMENT_OF)
    starts = [Start("topic", 0.0, "topic", topic)] + [
        Start("noise", number / count, f"noise {number}", shuffled(topic, number / count, number))
        for number in range(1, count)
    ]
    documents = tuple(Document(f"d{at}", "", f"Book {at}") for at in range(DOCUMENTS))
    passages = tuple(Passage(f"p{at}", int(of), at % 3, f"passage {at}") for at, of in enumerate(DOCUMENT_OF))
    holds = np.stack([MEMBERS, ~MEMBERS], axis=1)
    round_map = RoundMap((ridge(), ridge(seed=1)), DOCUMENT_OF, 0.25, 8.0)
    inputs = SweepInputs(round_map, Schedule(5), CONFIG, config.run.certificate, 3)
    names = ["police clue", "sea ship"]
    scores = np.stack([topic, -topic])
    pointer = Pointer(TopicModel(("clue", "ship"), np.ones((2, 2)), np.ones(2), 0), 0)
    return MapSetup(inputs, PassageSet(documents, passages), starts, scores, names, pointer, holds)


def slowly(inputs: SweepInputs, start: Start) -> basin_map.Flow:
    """`follow`, slow enough to be killed."""
    time.sleep(0.5)
    return FOLLOW(inputs, start)


def main(folder: str, workers: str) -> None:
    """The driver that a test kills: a map whose starts take half a second each."""
    basin_map.prepare = lambda config: planted_setup()
    basin_map.follow = slowly
    run = CONFIG.run.model_copy(update={"workers": int(workers)})
    basin_map.map_basin(CONFIG.model_copy(update={"run": run}), Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
