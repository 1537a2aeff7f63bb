"""PEFT, transformers, datasets and scikit-learn: what the exports of weights and labels are for."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np
import torch

from benchmarks.interop.bench import TOKENS, Bench, Row, agreement, row


def rows(bench: Bench) -> list[Row]:
    """Everything that loads from a folder."""
    return [*_peft(bench), *_transformers(bench), *_hook(bench), *_datasets(bench), *_sklearn(bench)]


def _peft(bench: Bench) -> list[Row]:
    from peft import PeftModel

    from agent.steering.gate import PLAIN

    model = PeftModel.from_pretrained(bench.own.twin(), bench.export("adapter", bench.adapted))
    concept = bench.store.load(bench.adapted).concept
    adapted = bench.own.adapted(concept.adapter)
    with adapted.steer(None, 1.0, PLAIN):
        expected = bench.logits_of(adapted.model)
    ours = bench.logits(None)
    theirs = bench.logits_of(model)
    return [
        row(
            "adapter",
            "PEFT",
            "peft",
            "cosine of the change of logits with the adapter's here (value)",
            value=agreement(theirs - ours, expected - ours),
        )
    ]


def _transformers(bench: Bench) -> list[Row]:
    import transformers

    found = []
    for form in ("float32", "bfloat16"):
        folder = bench.export("model", bench.adapted, form)
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        ours = bench.logits(None)
        found.append(
            row(
                "model",
                "transformers",
                "transformers",
                f"in {form}: cosine of the change of logits with Basin's (value)",
                value=agreement(bench.logits_of(model) - ours, bench.logits(bench.adapted) - ours),
            )
        )
    write = transformers.pipeline("text-generation", model=str(bench.export("model", bench.adapted)))
    write.tokenizer.padding_side = "left"
    transformers.set_seed(0)
    how = {"max_new_tokens": TOKENS, "do_sample": True, "temperature": 0.9, "top_k": 64, "top_p": 0.95}
    made: Any = write(bench.prompts, batch_size=len(bench.prompts), **how)
    texts = [each[0]["generated_text"] for each in made]
    found.append(
        row(
            "model",
            "transformers pipeline",
            "transformers",
            "mean membership of what it writes (value); of what Basin writes with the base model (base)",
            value=bench.membership(texts, bench.adapted),
            base=bench.membership(bench.write_here(None), bench.adapted),
        )
    )
    return found


def _hook(bench: Bench) -> list[Row]:
    from transformers import LogitsProcessorList

    from loops.api.attach import ConceptLogits, steered

    model, ours = bench.own.twin(), bench.logits(None)
    change = bench.logits(bench.adapted) - ours
    with steered(model, bench.store.path, bench.adapted):
        found = [
            row(
                "steered()",
                "transformers",
                "transformers",
                "in a context: cosine of the change of logits with Basin's (value)",
                value=agreement(bench.logits_of(model) - ours, change),
            )
        ]
    processor = ConceptLogits(model, bench.store.path, bench.adapted)
    same = 0
    for text in bench.texts[:4]:
        ids = torch.tensor([bench.ids(text)])
        how = {
            "max_new_tokens": 16,
            "do_sample": False,
            "attention_mask": torch.ones_like(ids),
            "pad_token_id": 2,
        }
        processed = model.generate(ids, logits_processor=LogitsProcessorList([processor]), **how)
        with steered(model, bench.store.path, bench.adapted):
            same += int(torch.equal(processed, model.generate(ids, **how)))
    found.append(
        row(
            "ConceptLogits",
            "transformers",
            "transformers",
            "share of 4 texts of 16 greedy tokens that come out as the steered model's (value)",
            value=same / 4,
        )
    )
    return found


def _datasets(bench: Bench) -> list[Row]:
    import datasets

    with tempfile.TemporaryDirectory() as cache:
        rows_there = datasets.load_dataset(
            str(bench.export("dataset", bench.adapted)), split="train", cache_dir=cache
        )
        kept = rows_there.filter(lambda each: each["inside"])
        apart = np.abs(
            np.array(rows_there["membership"][:]) - bench.store.load(bench.adapted).concept.membership
        ).max()
        return [
            row(
                "dataset",
                "datasets",
                "datasets",
                f"{len(rows_there)} rows, {len(kept)} inside; largest difference of membership (value)",
                value=float(apart),
            )
        ]


def _sklearn(bench: Bench) -> list[Row]:
    from sklearn.metrics import roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    from loops.api.classifier import ConceptClassifier

    concept, passages = bench.store.load(bench.adapted).concept, bench.store.load_passages().texts
    chosen = list(range(0, len(passages), 8))
    pipeline = make_pipeline(FunctionTransformer(list), ConceptClassifier(bench.store.path, bench.adapted))
    found = pipeline.predict_proba([passages[at] for at in chosen])[:, 1]
    return [
        row(
            "ConceptClassifier",
            "scikit-learn",
            "scikit-learn",
            f"in a pipeline: AUC on {len(chosen)} passages against the run's own membership (value)",
            value=float(roc_auc_score(concept.inside[chosen], found)),
        )
    ]
