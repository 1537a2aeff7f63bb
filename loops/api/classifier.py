"""A refined concept as a fitted scikit-learn classifier.

    concept = ConceptClassifier("checkpoints/brown")
    concept.predict_proba(["It was the inspector who found the revolver."])[:, 1]

It works as a step of a `Pipeline`, and in `CalibratedClassifierCV(FrozenEstimator(concept))`.
The first scored text loads the language model.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from sklearn.base import BaseEstimator, ClassifierMixin

from agent.concept import Concept, Readout
from agent.corpora.text import given_text
from agent.errors import BasinError, quoted
from agent.hub.embedders import embed
from agent.membership.log_odds import log_odds, sigmoid, threshold

if TYPE_CHECKING:
    from agent.language_model.model import LanguageModel
    from agent.pointer.topic_model import Pointer


class ConceptClassifier(ClassifierMixin, BaseEstimator):
    """Decides whether a text belongs to the concept of a run's round.

    Each text is scored alone, as the run scores generated texts: by activations and by its sentence
    embedding. Texts much shorter or longer than the run's passages, about 180 words, are
    scored less accurately. Texts are cut at `language_model.max_tokens`.
    """

    def __init__(self, run_folder: str | Path, round: int | None = None, device: str | None = None) -> None:  # noqa: A002
        """Store the arguments; the first scored text checks them.

        Args:
            run_folder: the run's folder, or its name in the checkpoints folder.
            round: by default the newest.
            device: of the language model; by default the run's.
        """
        self.run_folder = run_folder
        self.round = round
        self.device = device

    @property
    def classes_(self) -> np.ndarray:
        """0 is outside, 1 is inside."""
        return np.array([0, 1])

    def fit(self, texts: object = None, labels: object = None) -> ConceptClassifier:
        """Return the classifier unchanged: the run has fitted it. Labels are ignored."""
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict_proba(self, texts: Sequence[str]) -> Float[np.ndarray, "text 2"]:
        """Return each text's probabilities of being outside and inside.

        Raises:
            BasinError: no such run or round, empty texts, or no language model.
        """
        inside = sigmoid(self.decision_function(texts))
        return np.stack([1 - inside, inside], axis=1)

    def predict(self, texts: Sequence[str]) -> np.ndarray:
        """Return 1 for texts that are more likely inside; raises as `predict_proba`."""
        return (self.decision_function(texts) >= 0).astype(int)

    def decision_function(self, texts: Sequence[str]) -> Float[np.ndarray, "text"]:
        """Return the log-odds of being inside, in nats; raises as `predict_proba`."""
        rows = _texts(texts)
        concept, pointer = self._concept
        if not rows:
            return np.empty(0)
        if concept.readout is None:  # round 0 is read by its topic alone
            real = log_odds(pointer.weights(self._loaded()["store"].load_passages().texts))
            return log_odds(pointer.weights(rows)) - threshold(real, concept.size)
        return read_texts(concept.readout, self._language_model, rows)

    @property
    def _concept(self) -> tuple[Concept, Pointer]:
        found = self._loaded()
        return found["concept"], found["pointer"]

    @property
    def _language_model(self) -> LanguageModel:
        found = self._loaded()
        if "language_model" not in found:
            from agent.language_model.model import LanguageModel
            from loops.checkpoint.run_models import refuse_other_model

            config = found["store"].config.language_model
            if self.device is not None:
                config = config.model_copy(update={"device": self.device})
            model = LanguageModel.load(config)
            refuse_other_model(found["store"], [found["record"]], model)
            found["language_model"] = model
        held: LanguageModel = found["language_model"]
        return held

    def _loaded(self) -> dict[str, Any]:
        """Return what was read of the run, read again after its arguments changed."""
        asked = (str(self.run_folder), self.round, self.device)
        if self.__dict__.get("_asked") != asked:
            from loops.checkpoint.find import find_run
            from loops.checkpoint.store import RunStore

            store = RunStore.open(find_run(str(self.run_folder)))
            record = store.load_chosen(self.round)
            self._held = {
                "store": store,
                "record": record,
                "concept": record.concept,
                "pointer": store.load_pointer(),
            }
            self._asked = asked
        return self._held

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the arguments alone: other processes read the run themselves."""
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name not in ("_held", "_asked")}


def read_texts(
    readout: Readout, language_model: LanguageModel, texts: Sequence[str]
) -> Float[np.ndarray, "text"]:
    """Log-odds of new texts by the readers that a readout has; raises as `LanguageModel.record`."""
    embeddings = None if readout.embedding is None else embed(texts)
    return readout.log_odds(language_model.record(texts), embeddings)


def _texts(texts: object) -> list[str]:
    """Return a sequence, an array or a column of texts as a list."""
    if isinstance(texts, str):
        raise BasinError("A single text was given: put it into a list.")
    if isinstance(texts, bytes) or not hasattr(texts, "__iter__"):
        raise BasinError(f"A concept scores a list of texts, not {quoted(texts)}.")
    rows = np.asarray(texts if hasattr(texts, "__len__") else list(texts), dtype=object)
    if rows.ndim == 2 and rows.shape[1] == 1:  # a data frame's single column
        rows = rows[:, 0]
    if rows.ndim != 1:
        raise BasinError(f"A concept scores a list of texts, not an array of {rows.ndim} axes.")
    return [given_text(each, f"Text number {number} of {len(rows)}") for number, each in enumerate(rows, 1)]
