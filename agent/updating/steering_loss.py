"""What a steering vector is rewarded for: maths only, over passages that are not paired.

Every member is compared with every other passage of the batch. Log-likelihoods are means per token, in nats, so that
a long passage counts no more than a short one.
"""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import logsigmoid


def with_reference(
    gain: Float[Tensor, "text"], inside: Bool[Tensor, "text"], beta: float
) -> Float[Tensor, ""]:
    """Direct preference with the base model as reference (Rafailov et al. 2305.18290; steering: Cao et al. 2406.00045).

    `-log sigmoid(beta (gain_c - gain_r))` over members c and others r; `gain` is what steering adds to a passage's
    mean log-likelihood, `beta` is per nat of it.
    """
    return -logsigmoid(beta * _differences(gain, gain, inside)).mean()


def reference_free(
    steered: Float[Tensor, "text"],
    reversed_: Float[Tensor, "text"],
    base: Float[Tensor, "text"],
    inside: Bool[Tensor, "text"],
    beta: float,
) -> Float[Tensor, ""]:
    """Reference-free preference steering (RePS, Wu et al. 2505.20809, after SimPO, Meng et al. 2405.14734), two-sided.

    Members c win over others r in `steered`, the log-likelihoods under the vector, and lose under its reverse:
    `-log sigmoid(beta (B+ steered_c - steered_r)) - log sigmoid(beta (B- reversed_r - reversed_c))`, with
    `B+ = max(base_r - base_c, 1)` and `B- = max(base_c - base_r, 1)`: a winner that the base model finds unlikely
    weighs more. The paper's B takes sums over answers to one instruction; passages that share no prompt differ by
    tens of nats for reasons of their own, so here it takes means. Where the paper nulls the direction, this reverses
    it. `beta` is per nat.
    """
    lead = _differences(base, base, inside).detach()
    forward = (-lead).clamp(min=1) * steered[inside][:, None] - steered[~inside][None, :]
    backward = lead.clamp(min=1) * reversed_[~inside][None, :] - reversed_[inside][:, None]
    return -logsigmoid(beta * forward).mean() - logsigmoid(beta * backward).mean()


def above(divergences: Float[Tensor, "token"], budget: float, unevenness: float) -> Float[Tensor, ""]:
    """How far KL(steered || base), as a root mean square over tokens, exceeds `unevenness * budget`, in nats.

    A mean is met by sparing most tokens and forcing a few, which is how a model is made to repeat a keyword; the
    root mean square is not. `unevenness` is the root mean square over the mean that is allowed.
    """
    # Away from 0, where the root has no gradient.
    return (divergences.square().mean().clamp(min=1e-12).sqrt() - unevenness * budget).clamp(min=0)


def _differences(
    members: Float[Tensor, "text"], others: Float[Tensor, "text"], inside: Bool[Tensor, "text"]
) -> Float[Tensor, "member other"]:
    return members[inside][:, None] - others[~inside][None, :]
