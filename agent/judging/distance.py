"""How far what was written is from the base model: KL per token, on the written texts themselves."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import torch
from jaxtyping import Float
from torch import Tensor

from agent.language_model import LanguageModel
from agent.steering_manner import PLAIN, Manner
from agent.steering_vector import SteeringVector
from agent.token_batches import token_batches
from agent.topic_fusion import TopicFusion


@torch.no_grad()
def divergence_on(
    writer: LanguageModel,
    base: LanguageModel,
    prompts: Sequence[str],
    texts: Sequence[str],
    vector: SteeringVector | None = None,
    manner: Manner = PLAIN,
    preamble: str = "",
    fusion: TopicFusion | None = None,
) -> float:
    """KL(writer || base) of the next-token distribution over the texts' own tokens, in nats per token.

    The writer reads `preamble`, opening and text, the base model opening and text; `fusion` changes the writer's scores. A text
    whose tokens come out otherwise after the preamble is left out; NaN where none is left. Temperature and truncation of
    sampling are left out on both sides.
    """
    total, count = 0.0, 0
    for prompt, text in zip(prompts, texts, strict=True):
        ours, theirs = (_batch(base, before + prompt, text) for before in (preamble, ""))
        if not torch.equal(ours.ids[ours.scored], theirs.ids[theirs.scored]):
            continue
        with writer.steer(vector, 1.0, manner=manner):
            steered = writer.states(ours)
        plain = base.states(theirs)
        # What predicts a token stands one place before it.
        states = steered[:, :-1][ours.scored[:, 1:]], plain[:, :-1][theirs.scored[:, 1:]]
        found = base.output.divergences(*states) if fusion is None else _fused(base, *states, fusion)
        total, count = total + float(found.double().sum()), count + len(found)
    return total / count if count else float("nan")


def selection_bound(kept: float, tokens: float) -> float:
    """Nats per token that keeping a share of whole texts adds at most: log(1 / share) / tokens.

    KL(p m / Z || p) <= log(1 / Z) for an acceptance m, and for the best of n at most log n - (n - 1) / n (Beirami et al.
    2401.01879), which is less. 0 where everything is kept.
    """
    return log(1 / kept) / tokens


def _fused(
    base: LanguageModel,
    steered: Float[Tensor, "token width"],
    plain: Float[Tensor, "token width"],
    fusion: TopicFusion,
) -> Float[Tensor, "token"]:
    """`OutputLayer.divergences` of scores that are changed before they become probabilities."""
    unused = torch.zeros(len(steered), 0, dtype=torch.long)  # fusion looks at scores alone
    ours = fusion(unused, base.output.logits(steered)).log_softmax(-1)
    theirs = base.output.logits(plain).log_softmax(-1)
    return (ours.exp() * (ours - theirs)).sum(-1)


def _batch(model: LanguageModel, prompt: str, text: str):
    limit = model.config.max_tokens
    (batch,) = token_batches(model.tokenizer, [text], [prompt], limit)
    return batch.to(model.device)
