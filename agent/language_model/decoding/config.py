"""Settings of generation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from agent.config import StageConfig


class GenerationConfig(StageConfig):
    """Generation in a round. Every passage has exactly `new_tokens` tokens: it cannot end early."""

    samples: int = Field(48, ge=1)
    """Passages per round."""
    new_tokens: int = Field(90, ge=1)
    prompt_words: int = Field(9, ge=1)
    """Words of a real passage that open a generated one; they never name the concept."""
    batch_size: int = Field(48, ge=1)
    temperature: float = Field(0.9, ge=0)
    """0 takes the likeliest token, whatever `top_k` and `top_p`."""
    top_k: int = Field(64, ge=1)
    top_p: float = Field(0.95, gt=0, le=1)
    """Applied inside the `top_k` likeliest tokens."""
    repetition_penalty: float = Field(1.0, ge=1)
    engine: Literal["own", "vllm"] = "own"
    """`vllm` writes a run's passages with vLLM, where that is installed; see `vllm_engine.py`."""


class ParticleConfig(StageConfig):
    """Sampling to a moment, see `particles.py`."""

    particles: int = Field(8, ge=1)
    """Per opening; 1 is plain sampling."""
    block: int = Field(32, ge=1)
    """Tokens between two resamplings, roughly: blocks are equally long."""
    resample_below: float = Field(0.5, ge=0, le=1)
    """Share of the particles that the effective sample size may fall to."""
    most_lambda: float = Field(2.0, ge=0)
