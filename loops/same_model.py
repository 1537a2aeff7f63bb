"""Whether stored rounds are of the model that is at hand: of its width, and recorded at its layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agent.errors import BasinError
from loops.records import RoundRecord

if TYPE_CHECKING:
    from agent.language_model import LanguageModel


def refuse_other_model(run: str, records: Sequence[RoundRecord], language_model: LanguageModel) -> None:
    """Refuse rounds that another model has made, before anything is computed with them.

    Raises:
        BasinError: naming the round, its width or layers, and those of the model.
    """
    for record in records:
        concept = record.concept
        for array in (concept.readout and concept.readout.weights, record.activations):
            if array is not None:
                recorded, width = array.shape[-2:]
                if recorded != len(language_model.layers):
                    raise _refusal(run, record, language_model, f"{recorded} recorded layers", "layers")
                _same_width(run, record, language_model, width)
        if concept.vector is not None:
            _same_width(run, record, language_model, concept.vector.width)
            if max(concept.vector.layers) >= language_model.depth:
                raise _refusal(
                    run, record, language_model, f"a vector at layer {max(concept.vector.layers)}", "layers"
                )


def _same_width(run: str, record: RoundRecord, language_model: LanguageModel, width: int) -> None:
    if width != language_model.width:
        raise _refusal(run, record, language_model, f"width {width}", "width")


def _refusal(run: str, record: RoundRecord, language_model: LanguageModel, has: str, of: str) -> BasinError:
    own = {
        "width": f"width {language_model.width}",
        "layers": f"{len(language_model.layers)} recorded layers of {language_model.depth}",
    }[of]
    return BasinError(
        f"Round {record.round} of {run} was made with another model ({has}) than {language_model.config.name!r} "
        f"({own}): put the model back that the run was made with."
    )
