"""A model made better than it was, to be its own successor: does the notion follow the model of the world?"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from agent.concept import Concept
from agent.errors import BasinError
from agent.language_model import LanguageModel
from agent.types import PassageSet
from loops.config import RunConfig
from loops.general_text import general_texts
from loops.progress import Progress
from loops.succession_config import LinkConfig


def improved_model(
    language_model: LanguageModel,
    concept: Concept,
    link: LinkConfig,
    config: RunConfig,
    own: PassageSet,
    folder: Path,
    seed: int,
    progress: Progress,
) -> LanguageModel:
    """The model with an adapter merged into its weights, saved as a model folder of its own, which any tool can load.

    Raises:
        BasinError: it is not said how to improve it, its run trained no adapter, or the folder cannot be written.
    """
    if not (folder / "config.json").exists():
        if link.improved == "own_adapter":
            if concept.adapter is None:
                raise BasinError(
                    "The predecessor's last round has no adapter to go on with; set updating.adapter_from, or improve by "
                    "more_text."
                )
            adapter = concept.adapter
        elif link.improved == "more_text":
            from agent.updating.lora import teach  # slow to import, and most chains do without

            general = config.stitching.model_copy(update={"passages": config.succession.study})
            texts, _ = general_texts(general, own, seed, progress.say)
            lora = config.updating.adapting.lora.model_copy(update={"passages": len(texts)})
            weights = np.ones(len(texts))
            adapter, _ = teach(
                language_model, texts, weights, None, lora, seed, folder / ".training", progress.say
            )
        else:
            raise BasinError(
                "A link without a language_model has to say how the last one's is improved: own_adapter or more_text."
            )
        language_model.adapted(adapter).save(folder)
    return LanguageModel.load(language_model.config.model_copy(update={"name": str(folder)}), progress.say)
