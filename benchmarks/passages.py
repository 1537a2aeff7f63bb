"""Passages of generators and of held-out documents, as `benchmarks.reading` shows them: cleaned and of one length."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from agent.corpora.load import CorpusConfig, load_corpus
from agent.corpora.passages import PassagesConfig, sentence_ends, split
from agent.errors import BasinError
from agent.judging.gold import SUITE_GOLD_FILE, every_gold_labels
from agent.judging.judges import RealPassages
from agent.judging.writing import cut
from benchmarks.generation import read
from loops.evaluation.generation.task import PLAIN
from loops.evaluation.membership.suite import parts

MARKS = {"“”„«»": '"', "‘’‚`´": "'", "—–―": " - ", "#*_~|<>[]\\\ufffd": " "}
TYPED = str.maketrans({mark: plain for marks, plain in MARKS.items() for mark in marks})
Row = dict[str, Any]


def read_real(source: str, concept: str, held_out: Path | None, seed: int) -> tuple[RealPassages, Row]:
    """Passages of held-out documents, and what a key says of the corpus, with every text by its identifier.

    Held out are the documents that a file names, or the third that `basin evaluate generation` hides.
    """
    config = CorpusConfig(source=source)
    found = split(load_corpus(config), PassagesConfig(per_document=8))
    every = every_gold_labels(config, found.documents, SUITE_GOLD_FILE)
    gold = next((each for each in every if each.concept == concept), None)
    if gold is None:
        raise BasinError(f"{source} has no gold labels for {concept!r} in {SUITE_GOLD_FILE}; add them there.")
    texts, hidden = {each.id: each.text for each in found.documents}, parts(found, seed) == 0
    if held_out:
        hidden = np.isin([*texts], held_out.read_text(encoding="utf-8").split())
    of = found.document_of
    real = RealPassages([*map(clean, found.texts)], gold.labels[of], of).only(hidden[of])
    return real, {"corpus": gold.corpus, "concept": concept, "texts": texts}


def clean(text: str) -> str:
    """The text on one line in plain typography, so that no mark gives its source away."""
    plain = unicodedata.normalize("NFKC", text).translate(TYPED)
    plain = "".join(each for each in plain if each.isprintable() or each.isspace())
    plain = re.sub(r"\s*--+\s*", " - ", plain.replace("''", '"'))
    return " ".join(re.sub(r"\s+([,.;:!?])", r"\1", re.sub(r"\.(\s*\.){2,}", "...", plain)).split())


def excerpt(text: str, offset: int, words: int) -> str | None:
    """What a reader sees of a real document; None where it ends before."""
    return cut(clean(text[offset : offset + 20 * words]), words)


def generated(name: str, file: Path, hidden: str, words: int) -> list[Row]:
    """A generator's passages from their first whole sentence on; shorter ones are left out."""
    found, samples = [], read(file)
    openings = [" ".join(each["prompt"].split()) for each in samples]
    if seen := sum(each not in hidden and each != PLAIN for each in openings):
        raise BasinError(f"{seen} prompts of {name} are not from held-out documents; generate from those.")
    for at, (opening, sample) in enumerate(zip(openings, samples, strict=True)):
        text = clean(sample["text"])
        if opening and not re.search(r"[.!?][\"')]*$", clean(opening)):
            text = text[next(iter(sentence_ends(text)), len(text)) :]
        if (shown := cut(text, words)) is not None:
            found.append({"generator": name, "prompt": at, "text": shown})
    return found


def real_places(
    kind: str, texts: Mapping[str, str], words: int, count: int, rng: np.random.Generator
) -> list[Row]:
    """Random sentence beginnings amid texts, in as many texts as there are; fewer where they are short."""
    found: list[Row] = []
    for name in np.resize(rng.permutation([*texts]), 4 * count).tolist() if texts else ():
        text = texts[name]
        ends = rng.permutation([at for at in sentence_ends(text) if 0.05 < at / len(text) < 0.95])
        at = next((int(at) for at in ends if excerpt(text, int(at), words)), None)
        if at is not None and len(found) < count:
            found.append({"generator": kind, "document": name, "offset": at})
    return found
