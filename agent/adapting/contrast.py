"""A concept's adapter against that of the whole corpus: W = W_c + alpha (W_c - W_D).

What both adapters learned, the corpus's manner, cancels in the difference. What remains is the
concept. This is DExperts' contrast of an expert with an anti-expert (Liu et al. 2105.03023), taken
between weights as in task arithmetic (Ilharco et al. 2212.04089): it costs nothing in writing.
"""

from __future__ import annotations

import torch

from agent.language_model.adapter import Adapter


def contrasted(concept: Adapter, corpus: Adapter, alpha: float) -> Adapter:
    """One adapter with both low-rank products, (1 + alpha) times the concept's minus alpha the corpus's.

    Its rank is the sum of theirs. Both must adapt the same maps, with the same alpha by rank.
    """
    scale = concept.config["lora_alpha"] / concept.config["r"]
    assert scale == corpus.config["lora_alpha"] / corpus.config["r"]
    rank = concept.config["r"] + corpus.config["r"]
    tensors = {
        name: torch.cat([own, corpus.tensors[name]])
        if "lora_A" in name
        else torch.cat([(1 + alpha) * own, -alpha * corpus.tensors[name]], dim=1)
        for name, own in concept.tensors.items()
    }
    return Adapter({**concept.config, "r": rank, "lora_alpha": scale * rank}, tensors)
