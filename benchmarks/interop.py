"""Exports of a run, opened in the programs they are for: `python -m benchmarks.interop RUN [--consumer NAME]`.

Writes results/interop.json, a row per export and consumer; a consumer that is not installed keeps its rows.
llama-cpp-python, repeng, steering-vectors and BERTopic come from PYTHONPATH, llama-completion from PATH, and
`LLAMA_CPP` names a checkout of llama.cpp with its converter.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from jaxtyping import Float

from agent.corpora.load import load_corpus
from agent.corpora.passages import split
from agent.errors import BasinError
from agent.judging.gold import every_gold_labels
from agent.language_model.decoding.config import GenerationConfig
from agent.language_model.model import LanguageModel
from agent.pointer.examples import from_examples, from_keywords
from agent.pointer.imported import from_bertopic, from_sklearn
from agent.pointer.topic_model import Pointer, TopicModel
from agent.steering.control_vector import read_control_vector
from benchmarks.results import RESULTS, with_earlier, write_results
from benchmarks.speed_rivals import apply_rows, converted
from loops.api.attach import steered
from loops.checkpoint.find import find_run
from loops.checkpoint.store import RunStore
from loops.export.formats import FORMATS, export_round
from loops.export.subject import Export

Row = dict[str, Any]
READ, GREEDY = 8, 16
"""Passages whose next-token logits are compared, and greedy texts with as many tokens each."""
COSINE = "cosine of the change of logits with Basin's"
PROGRAM = "llama-completion"
PACKAGES = {
    "PEFT": "peft",
    "steering-vectors": "steering_vectors",
    "llama.cpp": "llama_cpp",
    "BERTopic": "bertopic",
}
PACKAGES |= {name: name for name in ("transformers", "datasets", "scikit-learn", "repeng")}
PACKAGES |= {f"scikit-learn {name}": "scikit-learn" for name in ("LDA", "NMF")}


@dataclass(eq=False)
class Bench:
    """One run: `steered` is a round with a vector alone, `adapted` one with a vector and an adapter."""

    store: RunStore
    folder: Path
    steered: int
    adapted: int

    def export(self, name: str, number: int, form: str = "float32") -> Path:
        """A round's export, made once."""
        path = self.folder / f"round{number}-{form}-{name}{FORMATS[name].ending}"
        if not path.exists():
            export_round(Export.of(self.store, number, dtype=form), name, path)
        return path

    @cached_property
    def own(self) -> LanguageModel:
        return LanguageModel.load(self.store.config.language_model.model_copy(update={"dtype": "float32"}))

    def openings(self, count: int, words: int) -> list[str]:
        """First words of passages from all over the corpus."""
        whole = self.store.load_passages().texts
        return [" ".join(whole[int(at)].split()[:words]) for at in np.linspace(0, len(whole) - 1, count)]

    @cached_property
    def texts(self) -> list[str]:
        return self.openings(READ, 40)

    def ids(self, text: str) -> list[int]:
        return list(self.own.tokenizer(text)["input_ids"])

    @cache  # noqa: B019 (one bench a process)
    def logits(self, number: int | None) -> Float[np.ndarray, "text word"]:
        """Basin's next-token logits: of a round's model, or of the base model."""
        model, concept = self._writer(number)
        with nullcontext() if concept is None else model.steer(concept.vector):
            return self.logits_of(model.model)

    @torch.no_grad()
    def logits_of(self, model: Any) -> Float[np.ndarray, "text word"]:
        return np.stack([model(torch.tensor([self.ids(text)])).logits[0, -1].numpy() for text in self.texts])

    def greedy(self, number: int | None) -> list[str]:
        """Basin's likeliest continuations of the prompts."""
        model, concept = self._writer(number)
        how = GenerationConfig(new_tokens=GREEDY, temperature=0)
        return model.generate(self.openings(GREEDY, 9), range(GREEDY), how, concept and concept.vector)

    def _writer(self, number: int | None) -> tuple[LanguageModel, Any]:
        if number is None:
            return self.own, None
        concept = self.store.load(number).concept
        return self.own.adapted(concept.adapter), concept

    def agreement(self, theirs: np.ndarray, number: int) -> float:
        """Of a change of logits with the one that a round makes in Basin."""
        return agreement(theirs, self.logits(number) - self.logits(None))


def agreement(theirs: np.ndarray, ours: np.ndarray) -> float:
    """Mean cosine of two changes of logits, text by text: 1 where they do the same."""
    theirs, ours = (each - each.mean(axis=1, keepdims=True) for each in (theirs, ours))
    norms = np.linalg.norm(theirs, axis=1) * np.linalg.norm(ours, axis=1)
    return float(((theirs * ours).sum(axis=1) / np.maximum(norms, 1e-12)).mean())


def row(export: str, consumer: str, effect: str, value: float, base: float | None = None) -> Row:
    """A row: `effect` says in words what `value` and `base` are."""
    package = PACKAGES.get(consumer, "")
    try:
        found = version(package) if package else None
    except PackageNotFoundError:  # a folder on PYTHONPATH, without an installer's metadata
        found = str(getattr(sys.modules.get(package), "__version__", "unknown"))
    told = {"consumer": consumer, "version": found, "effect": effect, "value": value, "base": base}
    return {"tool": export, **told}


def hugging_face(bench: Bench) -> Iterator[Row]:
    """PEFT, transformers, datasets and scikit-learn."""
    import datasets
    import transformers
    from peft import PeftModel

    number, plain = bench.adapted, bench.logits(None)
    concept = bench.store.load(number).concept
    theirs = bench.logits_of(PeftModel.from_pretrained(bench.own.twin(), bench.export("adapter", number)))
    adapted = bench.logits_of(bench.own.adapted(concept.adapter).model)
    yield row("adapter", "PEFT", f"{COSINE} by the adapter", agreement(theirs - plain, adapted - plain))
    for form in ("float32", "bfloat16"):
        folder = bench.export("model", number, form)
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        value = bench.agreement(bench.logits_of(model) - plain, number)
        yield row("model", "transformers", f"{form}: {COSINE}", value)
    model = bench.own.twin()
    with steered(model, bench.store.path, number):
        value = bench.agreement(bench.logits_of(model) - plain, number)
    yield row("steered()", "transformers", COSINE, value)
    with tempfile.TemporaryDirectory() as folder:
        rows = datasets.load_dataset(str(bench.export("dataset", number)), split="train", cache_dir=folder)
        apart = float(np.abs(np.array(rows["membership"][:]) - concept.membership).max())
    yield row("dataset", "datasets", f"{len(rows)} rows; largest difference of membership", apart)


def rivals(bench: Bench) -> Iterator[Row]:
    """repeng and steering-vectors with our vector."""
    np.float_ = np.float64  # type: ignore[attr-defined]  # repeng was written for numpy 1
    import safetensors.torch
    from repeng import ControlModel, ControlVector
    from steering_vectors import SteeringVector

    number = bench.steered
    theirs = ControlVector.import_gguf(bench.export("control-vector", number))
    model = ControlModel(bench.own.twin(), list(theirs.directions))
    plain = bench.logits_of(model)
    model.set_control(theirs)
    value = bench.agreement(bench.logits_of(model) - plain, number)
    yield row("control-vector", "repeng", COSINE, value)
    model.unwrap()
    tensors = safetensors.torch.load_file(bench.export("safetensors", number))
    vector = SteeringVector({int(name.removeprefix("layer_")) - 1: each for name, each in tensors.items()})
    plain_model = bench.own.twin()
    with vector.apply(plain_model):
        value = bench.agreement(bench.logits_of(plain_model) - bench.logits(None), number)
    yield row("safetensors", "steering-vectors", COSINE, value)


def llama(bench: Bench) -> Iterator[Row]:
    """llama.cpp by llama-cpp-python: the control vector, also one layer off on purpose, and the merged model."""
    base, vector, number = base_model(bench), bench.export("control-vector", bench.steered), bench.steered
    plain = llama_logits(base, None, bench)
    right, off = (bench.agreement(llama_logits(base, vector, bench, by) - plain, number) for by in (0, 1))
    yield row("control-vector", "llama.cpp", f"{COSINE}, and one block off", right, off)
    merged = converted(bench.export("model", bench.adapted), bench.folder / "merged.gguf")
    value = bench.agreement(llama_logits(merged, None, bench) - plain, bench.adapted)
    yield row("model", "llama.cpp", f"converted: {COSINE}", value)


def base_model(bench: Bench) -> Path:
    """The base model in float32, as one GGUF file."""
    bench.own.model.save_pretrained(bench.folder / "base")
    bench.own.tokenizer.save_pretrained(bench.folder / "base")
    return converted(bench.folder / "base", bench.folder / "base.gguf")


def llama_logits(model: Path, vector: Path | None, bench: Bench, off: int = 0) -> np.ndarray:
    """Next-token logits in llama.cpp; `direction.N` fills row N - 1, moved by `off`."""
    from llama_cpp import Llama, llama_cpp

    loaded = Llama(str(model), n_ctx=512, n_threads=1, verbose=False)
    rows = np.zeros((llama_cpp.llama_model_n_layer(loaded.model), loaded.n_embd()), dtype=np.float32)
    if vector is not None:
        for layer, direction in read_control_vector(vector).directions.items():
            rows[layer - 2 + off] = direction.numpy()
        apply_rows(llama_cpp, loaded.ctx, rows)
    found = []
    for text in bench.texts:
        loaded.reset()
        loaded.eval(bench.ids(text))
        pointer = llama_cpp.llama_get_logits_ith(loaded.ctx, -1)
        found.append(np.array(np.ctypeslib.as_array(pointer, shape=(loaded.n_vocab(),))))
    return np.stack(found)


def programs(bench: Bench) -> Iterator[Row]:
    """llama.cpp's own program, greedy and sampled. Raises `ImportError` where it is not on PATH."""
    if shutil.which(PROGRAM) is None:
        raise ImportError(f"{PROGRAM} is not on PATH")
    told = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True)
    commit = {"version": (re.search(r"commit (\w+)", told.stdout + told.stderr) or ["", "unknown"])[1]}
    base, vector, number = base_model(bench), bench.export("control-vector", bench.steered), bench.steered
    there = [_completed(base, prompt, vector) for prompt in bench.openings(GREEDY, 9)]
    shares = [
        float(np.mean([one.strip() == other.strip() for one, other in zip(there, here, strict=True)]))
        for here in (bench.greedy(number), bench.greedy(None))
    ]
    effect = f"share of {GREEDY} greedy texts equal to Basin's under the vector, and to the base model's"
    yield row("control-vector", PROGRAM, effect, *shares) | commit


def _completed(model: Path, prompt: str, vector: Path) -> str:
    """The program's greedy continuation."""
    command = [PROGRAM, "--model", str(model), "--prompt", prompt, "--control-vector", str(vector)]
    command += ["--predict", str(GREEDY), "--threads", "1", "--temp", "0", "--seed", "0"]
    command += ["--no-conversation", "--no-display-prompt", "--simple-io"]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    return told.stdout.removesuffix("\n").removesuffix(" [end of text]").rstrip("\n")


def pointers(bench: Bench) -> Iterator[Row]:
    """Topics of scikit-learn and BERTopic, keywords and examples: AP before any refinement.

    Gold labels measure here, and choose the topic nearest to the words for no method.
    """
    from sklearn.metrics import average_precision_score

    config = bench.store.config
    passages = split(load_corpus(config.corpus), config.passages)
    gold = next(iter(every_gold_labels(config.corpus, passages.documents))).of_passages(passages.document_of)
    words = config.topics.seed_words or config.topics.words

    def worth(pointer: Pointer) -> float:
        return float(average_precision_score(gold, pointer.weights(passages.texts)))

    base, effect = worth(bench.store.load_pointer()), "AP on passages, and the run's own topic's"
    yield row("keywords", "list", effect, worth(Pointer(from_keywords(words, passages.documents), 0)), base)
    inside = [text for text, label in zip(passages.texts, gold, strict=True) if label]
    examples = from_examples(inside[:: max(1, len(inside) // 5)][:5], passages.documents)
    yield row("examples", "5 labelled passages", effect, worth(Pointer(examples, 0)), base)
    for name in ("scikit-learn LDA", "scikit-learn NMF", "BERTopic"):
        model = _fitted(name, passages)
        topic = int(np.argmax(model.mass_on(words)))
        yield row("topic_model", name, effect, worth(Pointer(model, topic)), base)


def _fitted(name: str, passages: Any) -> TopicModel:
    """A topic model of another library; BERTopic's on Basin's own embeddings."""
    from sklearn import cluster, decomposition
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

    if name == "BERTopic":
        from bertopic import BERTopic

        from loops.round.context import embedded

        parts = {"umap_model": decomposition.PCA(5, random_state=0)}
        parts |= {"hdbscan_model": cluster.KMeans(20, random_state=0, n_init=3)}
        model = BERTopic(**parts, vectorizer_model=CountVectorizer(stop_words="english", min_df=2))
        model.fit(passages.texts, np.asarray(embedded(passages)[1]))
        return from_bertopic(model, passages.texts)
    running = [document.text.split() for document in passages.documents]
    chunks = [" ".join(each[at : at + 1000]) for each in running for at in range(0, len(each), 1000)]
    counts = CountVectorizer if name.endswith("LDA") else TfidfVectorizer
    vectorizer = counts(stop_words="english", min_df=5, max_df=0.5)
    matrix = vectorizer.fit_transform(chunks)
    if name.endswith("LDA"):
        fitted = decomposition.LatentDirichletAllocation(10, random_state=0, max_iter=20).fit(matrix)
    else:
        fitted = decomposition.NMF(10, random_state=0, max_iter=500).fit(matrix)
    return from_sklearn(fitted, vectorizer)


CONSUMERS = {each.__name__: each for each in (hugging_face, rivals, llama, programs, pointers)}


def keep(part: str, found: Sequence[Row], folder: Path = RESULTS) -> None:
    """Replace a consumer's rows."""
    rows = with_earlier(
        [{**each, "part": part} for each in found], lambda each: each["part"], folder / "interop.json"
    )
    rows.sort(key=lambda each: list(CONSUMERS).index(each["part"]))
    write_results("interop", rows, ["python", "-m", "benchmarks.interop", *sys.argv[1:]], folder)


def main(
    run: Annotated[str, typer.Argument(help="A run of both kinds of rounds.")],
    consumer: Annotated[list[str] | None, typer.Option(help=f"One of {', '.join(CONSUMERS)}.")] = None,
) -> None:
    """Try the consumers and keep their rows."""
    try:
        store = RunStore.open(find_run(run))
    except BasinError as error:
        raise SystemExit(f"Error: {error}") from None
    numbers = [number for number in store.rounds() if number]
    adapted = [number for number in numbers if store.load(number).concept.adapter is not None]
    steers = [number for number in numbers if number not in adapted]
    if not adapted or not steers:
        raise SystemExit(f"Error: {store.name} needs a round that steers alone and one with an adapter.")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(store, Path(folder), steers[-1], adapted[-1])
        for name in consumer or CONSUMERS:
            try:
                keep(name, list(CONSUMERS[name](bench)))
            except ImportError as missing:
                print(f"{name}: not tried, {missing}", file=sys.stderr)


if __name__ == "__main__":
    typer.run(main)
