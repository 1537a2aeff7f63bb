"""Membership of passages steered ever harder: `python -m benchmarks.oversteering [CORPUS CONCEPT]`.

Passages are read in an unsteered pass by the concept, by judges trained on gold labels, and for coherence.
`membership_taught` is after over-steered passages on other openings were used as negative examples.
"""

from __future__ import annotations

import sys

import numpy as np

from agent.adapting.config import AdaptingConfig
from agent.clustering.texts import Texts
from agent.hub.embedders import load_embedder
from agent.judging.judges import trained_judges
from agent.judging.writing import WritingConfig, cluster_scores, judge_passages
from agent.language_model.coherence import Coherence, CoherenceConfig
from agent.language_model.decoding.config import GenerationConfig
from agent.language_model.load import LanguageModelConfig
from agent.language_model.model import LanguageModel
from agent.membership.log_odds import sigmoid
from agent.types import seed_for
from agent.updating import UpdatingConfig
from benchmarks.results import write_results
from loops.checkpoint.find import checkpoints_folder
from loops.evaluation.generation.evaluate import JUDGE
from loops.evaluation.generation.generators import STEERED_LAYERS
from loops.evaluation.generation.task import Task, make_task, read_corpus
from loops.evaluation.generation.workspace import Intervention, Workspace
from loops.evaluation.membership.suite import load_suite, task_name

BUDGETS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
"""KL(steered || base) in nats per token."""
SAMPLES, TOKENS, SEED = 24, 100, 0


def main() -> None:
    """Write results/oversteering.json."""
    name, concept = sys.argv[1:3] if len(sys.argv) > 2 else ("brown-fiction", "detective")
    corpus = next(each for each in load_suite() if each.name == name)
    folder = checkpoints_folder() / "oversteering" / task_name(name, concept)
    task = make_task(read_corpus(corpus), concept, samples=SAMPLES, seed=SEED, folder=folder)
    write_results("oversteering", measure(task), ["python", "-m", "benchmarks.oversteering", name, concept])


def measure(task: Task) -> list[dict[str, float | int | str | None]]:
    """A row for every budget, from the base model on."""
    reader = LanguageModel.load(LanguageModelConfig(name=JUDGE))
    coherence = Coherence.fit(task.texts, CoherenceConfig(model=JUDGE), reader)
    config = GenerationConfig(samples=SAMPLES, new_tokens=TOKENS, batch_size=SAMPLES)
    workspace = Workspace(task, config, coherence, AdaptingConfig())
    steered = {nats: UpdatingConfig(layers=STEERED_LAYERS, budget_nats=nats) for nats in BUDGETS}
    interventions = {0.0: Intervention()}
    interventions |= {nats: workspace.vector("basin", each) for nats, each in steered.items()}
    written = {nats: workspace.write(f"steered-{nats}", each) for nats, each in interventions.items()}
    hard = workspace.write(f"practice-{BUDGETS[-1]}", interventions[BUDGETS[-1]], task.prompts)
    read = workspace.read(hard)
    negative = Texts(read.activations, read.pointer_log_odds, np.ones(len(hard), dtype=bool))
    readout = task.recluster(negative).readout
    embedder = load_embedder()
    judges = trained_judges(lambda texts: embedder.encode(list(texts), show_progress_bar=False))
    texts = {str(nats): [sample.text for sample in samples] for nats, samples in written.items()}
    judged = judge_passages(task.unseen, texts, judges, WritingConfig(), seed_for(SEED, 0, "judging"))
    rows = []
    for nats, samples in written.items():
        read = workspace.read(samples)
        after = readout.membership(read.activations, read.pointer_log_odds)
        row: dict[str, float | int | str | None] = {"generator": "steered", "nats_per_token": nats}
        row |= {"membership": float(sigmoid(task.targets["basin"].log_odds(read)).mean())}
        row |= {"membership_taught": float(after.mean())}
        for which in judged:
            scores = cluster_scores([judged[which]], str(nats))
            row[f"cluster_score_{which}"] = float(np.nanmean(scores))
        rows.append(
            row | {"coherent_share": float(workspace.coherent(samples).mean()), "samples": len(samples)}
        )
    return rows


if __name__ == "__main__":
    main()
