"""Adapters of one run's documents by length of the lesson: `python -m benchmarks.lesson split|write|draw`.

`split` holds out a fifth of a corpus. `write` takes a run on the rest. It trains every generator of a kind and a
number of tokens once, and gives it a row in results/lesson.json. With CORPUS_TOKENS, training starts from the
adapter of all documents, and the passages are by the contrast with it, as in a run. Each writes on openings of
held-out documents; its passages, written/NAME.json in --out, are what `benchmarks.reading make` takes. `draw`
writes docs/images/growth.png: a run's held-out losses, and the cluster scores of a sheet, by tokens.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import re
import sys
import time
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console

from agent.adapting.adapt import held_out_losses
from agent.adapting.config import LessonConfig, LoraConfig
from agent.adapting.contrast import contrasted
from agent.adapting.lesson import draw_documents
from agent.adapting.supervised import fit_lora
from agent.corpora.load import CorpusConfig, iter_records, load_corpus
from agent.corpora.passages import PassagesConfig, split
from agent.errors import BasinError
from agent.judging.gold import every_gold_labels
from agent.language_model.adapter import Adapter
from agent.language_model.decoding.config import GenerationConfig, ParticleConfig
from agent.language_model.model import LanguageModel
from agent.types import PassageSet, document_id, seed_for
from benchmarks.results import RESULTS, with_earlier, write_results
from loops.api.classifier import read_texts
from loops.checkpoint.atomic import begin_folder
from loops.checkpoint.find import open_run
from loops.checkpoint.store import RunStore
from loops.evaluation.generation.task import random_documents
from loops.evaluation.generation.workspace import saved_samples
from loops.monitor.progress import show_progress
from loops.round.context import with_texts
from loops.round.particles import member_log_odds, particle_writer
from loops.round.writing import openings

KINDS = ("basin", "topic", "random", "gold", "corpus")
GENERATOR = re.compile(rf"base|({'|'.join(KINDS)}):(\d+)(?::(\d+))?(?::(\d+))?")
PROMPT_WORDS, NEW_TOKENS = 9, 280
Row = dict[str, Any]
app = typer.Typer(add_completion=False)


def membership(kind: str, store: RunStore, passages: PassageSet, seed: int) -> np.ndarray:
    """Of each passage: the concept's, the topic's, that of as many random documents, the labels', or 1."""
    concept, of = store.load_chosen(None).concept.membership, passages.document_of
    if kind == "topic":
        return store.load(0).concept.membership
    if kind == "random":
        return random_documents(concept, of, seed)
    if kind == "gold":
        labels = every_gold_labels(store.config.corpus, passages.documents)[0].of_passages(of)
        return np.asarray(labels, dtype=float)
    return concept if kind == "basin" else np.ones(len(of))


class Trial:
    """A run, its model, and the openings of held-out documents."""

    def __init__(
        self,
        run: str,
        held_out: str,
        out: Path,
        lora: LoraConfig,
        *,
        model: str | None,
        number: int,
        seed: int,
        particles: int,
        penalty: float,
    ) -> None:
        self.store, self.out, self.lora, self.seed = open_run(run), out, lora, seed
        self.particles = particles
        self.passages = with_texts(self.store.load_passages(), self.store.config.corpus)
        unread = split(load_corpus(CorpusConfig(source=held_out)), PassagesConfig(per_document=8))
        known = {each.id for each in self.passages.documents}
        if any(each.id in known for each in unread.documents):
            raise BasinError(f"{held_out} holds documents that the run has read; take them out.")
        self.prompts = openings(unread.texts, number, PROMPT_WORDS, seed_for(seed, 0, "openings"))
        self.seeds = [seed_for(seed, at, "lesson") for at in range(number)]
        reads = self.store.config.language_model
        self.model = LanguageModel.load(
            reads.model_copy(update={"name": model, "layers": ()}) if model else reads
        )
        self.config = GenerationConfig(samples=number, new_tokens=NEW_TOKENS, repetition_penalty=penalty)
        same = str(self.store.path.resolve()), self.model.fingerprint, self.prompts, seed, repr(lora)
        begin_folder(out, hashlib.sha256(repr(same).encode()).hexdigest()[:16], "another folder with --out")

    def adapter(self, kind: str, tokens: int, corpus_tokens: int) -> tuple[Adapter, Row]:
        """The adapter, trained from the corpus's or, at 0, from the model, and what training measured."""
        place = self.out / "adapters" / f"{kind}-{tokens}-from-{corpus_tokens}"
        if (saved := Adapter.saved_in(place)) is not None:
            return saved, json.loads((place / "row.json").read_bytes())
        start = self.adapter("corpus", corpus_tokens, 0)[0] if corpus_tokens else None
        weights = membership(kind, self.store, self.passages, self.seed)
        config = LessonConfig(tokens=tokens)
        lesson = draw_documents(self.model, self.passages, weights, config, self.seed)
        begin = time.perf_counter()
        folder = self.out / "training" / place.name
        adapter, history = fit_lora(self.model, lesson, self.lora, seed=self.seed, folder=folder, start=start)
        row: Row = {"tokens": lesson.tokens, "seconds": time.perf_counter() - begin}
        row |= held_out_losses(history, lesson, self.lora.batch)
        place.mkdir(parents=True, exist_ok=True)
        (place / "history.json").write_text(json.dumps(history))
        (place / "row.json").write_text(json.dumps(row))
        adapter.save(place)
        return adapter, row

    def write(self, name: str, adapter: Adapter | None) -> None:
        """Passages on all openings, kept as `written/NAME.json`."""
        name += f"-particles-{self.particles}" if self.particles > 1 else ""
        name += f"-penalty-{self.config.repetition_penalty:g}" if self.config.repetition_penalty > 1 else ""
        given = self.prompts, self.seeds

        def texts() -> list[str]:
            model = self.model.adapted(adapter)
            if self.particles == 1:
                return model.generate(*given, self.config)
            concept, settings = self.store.load_chosen(None).concept, ParticleConfig(particles=self.particles)
            wanted = member_log_odds(concept.single, concept.membership)
            score = partial(read_texts, concept.readout, self.model)
            return particle_writer(model, score, wanted, self.config, settings)(*given)

        saved_samples(self.out / "written" / f"{name}.json", *given, texts)


@app.command("split")
def split_corpus(corpus: Path, out: Path) -> None:
    """Write OUT/seen and OUT/held, each with a file of the corpus's name, and openings of no member.

    Held out are documents whose identifier is divisible by five; held/ids.txt lists them.
    """
    config = CorpusConfig(source=str(corpus))
    gold = every_gold_labels(config, documents := load_corpus(config))
    member = {
        each.id for labels in gold for each, label in zip(documents, labels.labels, strict=True) if label
    }
    records = {document_id(text): record for record, text in iter_records(config)}
    held = [name for name in records if int(name, 16) % 5 == 0]
    parts = {
        f"seen/{corpus.name}": records.keys() - held,
        f"held/{corpus.name}": set(held),
        "held/openings.jsonl": set(held) - member,
    }
    for name, chosen in parts.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        with (lzma.open if name.endswith(".xz") else open)(out / name, "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(records[each]) + "\n" for each in records if each in chosen)
    (out / "held" / "ids.txt").write_text("\n".join(held), encoding="utf-8")


@app.command()
def write(
    run: str,
    held_out: str,
    generators: Annotated[list[str], typer.Argument(metavar="KIND:TOKENS[:CORPUS_TOKENS[:CONTRAST]]")],
    out: Path = Path("checkpoints/lesson"),
    number: int = 40,
    model: Annotated[str | None, typer.Option(help="That writes, in place of the run's.")] = None,
    seed: int = 0,
    learning_rate: Annotated[float, typer.Option(min=1e-6)] = LoraConfig().learning_rate,
    particles: Annotated[int, typer.Option(help="Per opening, read by the run's own model.")] = 1,
    penalty: Annotated[float, typer.Option(min=1, help="Of repetition.")] = 1.0,
) -> None:
    """Train and write; `base` is the model alone. With CORPUS_TOKENS, from the corpus's adapter and against it."""
    rows: list[Row] = []
    try:
        with show_progress(Console(stderr=True)):
            lora = LoraConfig(learning_rate=learning_rate)
            how = {"number": number, "seed": seed, "particles": particles, "penalty": penalty}
            trial = Trial(run, held_out, out, lora, model=model, **how)
            for name in generators:
                found = GENERATOR.fullmatch(name)
                if found is None:
                    raise BasinError(f"{name} is no generator; write KIND:TOKENS, as basin:400000.")
                kind, tokens, against = found[1], int(found[2] or 0), int(found[3] or 0)
                adapter, row = trial.adapter(kind, tokens, against) if kind else (None, {})
                about = {"run": trial.store.name, "model": trial.model.name, "seed": seed}
                about["learning_rate"] = learning_rate
                rows += [{"generator": kind, **about, "from_corpus": against, **row}] if row else []
                if adapter is not None and against:
                    adapter = contrasted(adapter, trial.adapter("corpus", against, 0)[0], int(found[4] or 1))
                trial.write(name.replace(":", "-"), adapter)
    except BasinError as error:
        raise SystemExit(f"Error: {error}") from None
    same = ("generator", "run", "model", "seed", "learning_rate", "tokens", "from_corpus")
    kept = with_earlier(rows, lambda row: tuple(row[name] for name in same), RESULTS / "lesson.json")
    write_results("lesson", kept, ["python", "-m", "benchmarks.lesson", *sys.argv[1:]])


@app.command()
def draw(run: str, sheet: str, file: Path = Path("docs/images/growth.png")) -> None:
    """Draw how a run's lessons grow; SHEET is how the sheets' names begin."""
    taught, read = (
        json.loads((RESULTS / f"{name}.json").read_bytes())["rows"] for name in ("lesson", "reading")
    )
    figure = Figure(figsize=(8.4, 3.8), dpi=100, layout="constrained")
    losses, scores = figure.subplots(1, 2)
    for row in (row for row in taught if row["run"] == run and row["generator"] == "basin"):
        points = [point.split(":") for point in row["member_loss_curve"].split()]
        at, loss = np.array(points, float).T  # lessons differ in the books held out, so changes are drawn
        losses.plot(at / 1000, loss - loss[0], label=f"{row['tokens']:,}")
    losses.set(xlabel="thousand tokens taught", ylabel="change of held-out loss (nats per token)")
    losses.legend(title="length of the lesson", frameon=False, fontsize=8)
    readers: dict[str, list[Row]] = {}
    for row in sorted(read, key=lambda row: row["tokens_taught"] or 0):
        if row["sheet"].startswith(sheet) and row["tokens_taught"]:
            readers.setdefault(f"{row['sheet']}, {row['reader']}", []).append(row)
    columns = ("tokens_taught", "reader_cluster_score", "error")
    for (reader, rows), marker in zip(readers.items(), "os^D", strict=False):
        at, score, error = ([row[name] for row in rows] for name in columns)
        scores.errorbar(at, score, error, marker=marker, capsize=3, label=reader)
    scores.axhline(1, color="#777777", linestyle="--", linewidth=0.8)
    scores.set(xscale="log", xlabel="tokens taught", ylabel="cluster score (real members: 1)")
    figure.legend(
        *scores.get_legend_handles_labels(), loc="outside lower right", ncols=2, frameon=False, fontsize=8
    )
    FigureCanvasAgg(figure).print_png(file)


if __name__ == "__main__":
    app()
