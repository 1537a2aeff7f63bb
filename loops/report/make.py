"""`basin report`, and the page that a run keeps up to date while it works."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import BasinError, first_sentence
from loops.checkpoint.store import RunStore
from loops.report import page
from loops.report.page import write
from loops.report.run_page.kept import keep_plane, keep_tokens, load_tokens, readout_digest
from loops.report.run_page.material import Material, gather
from loops.report.run_page.page import run_page
from loops.report.run_page.places import kept_plane
from loops.report.run_page.token_evidence import load_reader, read_tokens

if TYPE_CHECKING:
    from agent.language_model.model import LanguageModel
    from loops.records import RoundRecord
    from loops.round.context import RunContext
logger = logging.getLogger(__name__)

FILE = "report.html"


@dataclass(frozen=True)
class Made:
    """A page that was written."""

    path: Path
    megabytes: float
    sentences: Sequence[str]
    """What is not in it, and why."""


def make_report(store: RunStore, out: Path | None, tokens: bool | None) -> Made:
    """Write the page of a run, by default beside its rounds.

    Args:
        tokens: read some passages word by word: anew, or fail (True); never (False); or where the newest round was not read yet
            and the language model is at hand (None).

    Raises:
        BasinError: there is nothing to show, the file cannot be written, or as `load_reader` where words are asked for.
    """
    page.obtain()
    material, sentences = gather(store), []
    has_readout = material.newest.concept.readout is not None
    if has_readout and (tokens or (tokens is None and not _is_read(material))):
        try:
            material = _read(material, store.path, load_reader(material))
        except BasinError as error:
            if tokens:
                raise
            sentences.append(f"Nothing new was read word by word: {error}")
    if has_readout and material.activations is None and material.plane is None:
        sentences.append(
            "The real passages' activations are not in the cache: the map shows what topic and concept make of them instead."
        )
    made = _write(material, store.path, out)
    return replace(made, sentences=[*material.notes, *sentences])


def refresh(store: RunStore, records: Sequence[RoundRecord], context: RunContext) -> None:
    """Write the page of a run that is going on. Whatever goes wrong with it is said, and the run goes on."""
    if store.config.report.refresh:
        with _softly():
            material = Material(
                store.name,
                store.about,
                store.config,
                records,
                context.passages,
                context.pointer,
                certificate=store.load_certificate(),
                activations=context.real.activations,
                tokens=load_tokens(store.path),
            )  # without what gold labels say: nobody reads that while a run goes on
            _write(material, store.path, None)


def finish(store: RunStore, context: RunContext) -> Path | None:
    """The last page of a run, also word by word; None where it is not wanted, or something went wrong, which is said."""
    config = store.config.report
    if not config.refresh:
        return None
    with _softly():
        page.obtain()
        material = replace(gather(store), activations=context.real.activations)
        if config.tokens and not _is_read(material):
            with _softly():
                material = _read(material, store.path, context.language_model)
        return _write(material, store.path, None).path
    return None


def _write(material: Material, run: Path, out: Path | None) -> Made:
    """The page, and beside the rounds the plane that it stands on."""
    kept = kept_plane(material)
    path = out or run / FILE
    size = write(run_page(material, kept), path)
    if kept is not None and material.activations is not None:
        keep_plane(run, readout_digest(material.newest.concept.readout), kept)
    return Made(path, size / 1e6, ())


def _read(material: Material, run: Path, language_model: LanguageModel) -> Material:
    tokens = read_tokens(material, language_model)
    if tokens is None:
        return material
    keep_tokens(run, tokens)
    return replace(material, tokens=tokens)


def _is_read(material: Material) -> bool:
    """Whether what was read word by word is of the newest round."""
    readout = material.newest.concept.readout
    return material.tokens is not None and material.tokens.digest == readout_digest(readout)


@contextmanager
def _softly() -> Iterator[None]:
    """A page is no reason for a run to fail."""
    try:
        yield
    except Exception as error:  # whatever it is: rounds are worth more than their picture
        logger.info(f"The page could not be written ({first_sentence(error)}); `basin report` tries again.")
