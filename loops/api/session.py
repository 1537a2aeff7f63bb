"""What `basin run`, `basin resume` and `Run` share: settings from Python, and one session of a run."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from agent.errors import BasinError, quoted
from agent.progress import begin_stage

if TYPE_CHECKING:
    from loops.checkpoint.store import RunStore

logger = logging.getLogger(__name__)


def work_on(
    store: RunStore, message: str, console: Console, until: int | None = None, accept_model: bool = False
) -> None:
    """Run rounds, then measure, draw and report.

    Args:
        message: logged first, before slow imports.
        until: the last round, run even if the concept is still before; by default as configured.
        accept_model: go on with other models than those of the stored rounds, and keep that with the run.

    Raises:
        BasinError: another process writes to the run, or as `loops.round.context.open_context` and `loops.refine.refine`.
    """
    from loops.monitor.loggers import require_loggers
    from loops.monitor.progress import show_progress

    with store.exclusive(), show_progress(console, store.path / "run.log"):
        logger.info(message)
        from loops.refine import refine
        from loops.report.make import ReportPage, run_watchers
        from loops.report.terminal import report_run
        from loops.round.context import open_context

        require_loggers(store.config.logging)
        context = open_context(store, accept_model)
        with run_watchers(store, context) as watchers:
            refine(context, store, until, watchers)
        begin_stage(max(store.rounds(), default=0), "measure")
        report_run(store, console, context.real.activations)
        if page := ReportPage(store, context).finish():
            console.print(f"Page: {escape(str(page))}", soft_wrap=True, highlight=False)


def rounds_kept(store: RunStore) -> str:
    """The rounds that an interrupted run still has, as a clause."""
    return f"{len(store.rounds())} whole rounds are kept"


def overrides_of(settings: object, prefix: str = "") -> list[str]:
    """Return `{"topics": {"count": 20}}` or `{"topics.count": 20}` as `["topics.count=20"]`.

    Raises:
        BasinError: a name that is not a string, or a value that YAML cannot hold.
    """
    if not isinstance(settings, Mapping):
        raise BasinError(
            f'settings are names and values, and were {quoted(settings)}: write {{"topics.count": 20}}.'
        )
    found: list[str] = []
    for key, value in settings.items():
        if not isinstance(key, str) or not key.strip() or "=" in key:
            raise BasinError(f"{quoted(key)} is no name of a setting; write for example topics.count.")
        if isinstance(value, Mapping) and value:
            found += overrides_of(value, f"{prefix}{key}.")
            continue
        try:
            text = json.dumps(value, default=_plain, ensure_ascii=False, allow_nan=False)  # is also YAML
        except (AttributeError, TypeError, ValueError):
            raise BasinError(
                f"{key} was {quoted(value)}, which a configuration cannot hold; give numbers, texts, lists or None."
            ) from None
        found.append(f"{prefix}{key}={text}")
    return found


def _plain(value: Any) -> Any:
    """A path, a set or a NumPy number as JSON holds it."""
    if isinstance(value, Path):
        return str(value)
    return sorted(value) if isinstance(value, set | frozenset) else value.item()
