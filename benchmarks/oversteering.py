"""`python -m benchmarks.oversteering [CORPUS CONCEPT]`: can the concept be fooled by its own generator?

Membership is read from activations, and steering pushes activations. So passages are steered ever harder and then read in a
pass that is not steered, by the concept, by the gold-trained judges and for coherence. `membership` is what the refined
concept says; `membership_taught` what it says after over-steered passages on other openings have entered the re-clustering
as spoiled.
"""

from __future__ import annotations

import sys

import numpy as np
from agent.clustering.anchor import Texts
from rich.console import Console

from agent.adapting.config import LoraConfig
from agent.hub.embedders import load_embedder
from agent.judging.inside import cluster_scores
from agent.judging.writing import WritingConfig, embedding_judge, judge_passages, word_judge
from agent.language_model.coherence import Coherence, CoherenceConfig
from agent.language_model.decoding.loop import GenerationConfig
from agent.language_model.model import LanguageModel, LanguageModelConfig
from agent.membership.log_odds import sigmoid
from agent.types import seed_for
from agent.updating import UpdatingConfig
from benchmarks.results import write_results
from loops.checkpoint.find import checkpoints_folder
from loops.evaluation.generation.evaluate import JUDGE
from loops.evaluation.generation.generators import STEERED_LAYERS
from loops.evaluation.generation.suite import load_generation_suite, task_name
from loops.evaluation.generation.task import Task, make_task, read_corpus
from loops.evaluation.generation.workspace import Desk, Pen
from loops.monitor.progress import open_progress

BUDGETS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
"""KL(steered || base) in nats per token."""
SAMPLES, TOKENS, SEED = 24, 100, 0


def main() -> None:
    """Write results/oversteering.json."""
    name, concept = sys.argv[1:3] if len(sys.argv) > 2 else ("brown-fiction", "detective")
    corpus = next(each for each in load_generation_suite() if each.name == name)
    with open_progress(Console(stderr=True)) as progress:
        folder = checkpoints_folder() / "oversteering" / task_name(name, concept)
        task = make_task(
            corpus, concept, read_corpus(corpus, progress.say), SAMPLES, SEED, folder, progress.say
        )
        rows = measure(task, progress.say)
    write_results("oversteering", rows, ["python", "-m", "benchmarks.oversteering", name, concept])


def measure(task: Task, say) -> list[dict[str, float | int | str | None]]:
    """A row for every budget, from the base model on."""
    reader = LanguageModel.load(LanguageModelConfig(name=JUDGE), say)
    coherence = Coherence.fit(task.texts, CoherenceConfig(model=JUDGE), reader, say)
    config = GenerationConfig(samples=SAMPLES, new_tokens=TOKENS, batch_size=SAMPLES)
    desk = Desk(task, config, coherence, LoraConfig(), say)
    pens = {0.0: Pen()} | {nats: _steered(desk, nats) for nats in BUDGETS}
    written = {nats: desk.write(f"steered-{nats}", pen) for nats, pen in pens.items()}
    hard = desk.write(f"practice-{BUDGETS[-1]}", pens[BUDGETS[-1]], task.practice_prompts)
    spoiled = desk.read(hard)
    taught = _taught(
        task, Texts(spoiled.activations, spoiled.pointer_log_odds, np.ones(len(hard), dtype=bool))
    )
    embedder = load_embedder(progress=say)
    judges = {
        "a": embedding_judge(lambda texts: embedder.encode(list(texts), show_progress_bar=False)),
        "b": word_judge(),
    }
    texts = {str(nats): [sample.text for sample in samples] for nats, samples in written.items()}
    judged = judge_passages(task.unseen, texts, judges, WritingConfig(), seed_for(SEED, 0, "judging"))
    rows = []
    for nats, samples in written.items():
        read = desk.read(samples)
        row: dict[str, float | int | str | None] = {"generator": "steered", "nats_per_token": nats}
        row |= {"membership": float(sigmoid(task.targets["basin"].log_odds(read)).mean())}
        row |= {"membership_taught": float(taught(read).mean())}
        row |= {
            f"cluster_score_{which}": float(np.nanmean(cluster_scores([judged[which]], str(nats))))
            for which in judged
        }
        row |= {"coherent_share": float(desk.coherent(samples).mean()), "samples": len(samples)}
        rows.append(row)
    return rows


def _steered(desk: Desk, nats: float) -> Pen:
    config = UpdatingConfig(method="mean_difference", layers=STEERED_LAYERS, budget_nats=nats)
    return desk.vector("basin", config)


def _taught(task: Task, spoiled: Texts):
    """Membership of single texts after one more redrawing that knows the spoiled ones."""
    readout = task.refined.with_generated(spoiled).readout
    return lambda read: readout.membership(read.activations, read.pointer_log_odds)


if __name__ == "__main__":
    main()
