"""TensorBoard event files of a run, in its folder `events`: `tensorboard --logdir checkpoints`.

One file a round, made of the stored round alone and written whole or not at all. So a resume neither repeats nor loses a
step: what is missing is made from the rounds, what belongs to no round any more goes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from loops.records import RoundRecord, typical_samples

FOLDER = "events"
FILE = re.compile(r"events\.out\.tfevents\.\d+\.round_(\d{3,})")
WRITING = {
    *("agreement", "base_agreement", "degenerate_agreement", "coherence", "base_coherence"),
    *("repetitive", "broken", "loss"),
}
CONCEPT = {
    *(
        "size",
        "members",
        "drift",
        "contraction",
        "pointer_kept",
        "redundancy",
        "redundancy_share",
        "mediation",
    ),
    *("nats_per_token", "z_score", "pointer_loading", "evidence_loading", "words_held"),
}
LEFT_OUT = {"round", "topic"}
"""Numbers that are names."""
PASSAGES = 5
"""Texts that are kept of a round."""
MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|~:>])")


def scalars(record: RoundRecord) -> dict[str, float]:
    """The numbers of a round by name: `concept/drift`, `writing/agreement`, `training/...`, `cost/...`."""
    numbers = {
        f"{_group(key)}/{key}": float(value)
        for key, value in record.metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and key not in LEFT_OUT
    }
    for stage, value in record.cost.items():
        numbers[f"cost/{stage}" if stage == "peak_gb" else f"cost/seconds_{stage}"] = float(value)
    return numbers | ({"cost/seconds": record.seconds} if record.cost else {})


def keep_events(run: Path, records: Sequence[RoundRecord], config: Mapping[str, Any]) -> None:
    """Make the event files of a run those of `records`; what is there already is left as it is.

    Raises:
        OSError: the folder cannot be written.
    """
    folder = run / FOLDER
    folder.mkdir(exist_ok=True)
    wanted = {_name(record.round): record for record in records}
    for file in folder.iterdir():
        if FILE.fullmatch(file.name) and file.name not in wanted:
            file.unlink()
    for name, record in wanted.items():
        if not (folder / name).exists():
            _write(run, folder / name, list(_events(record, config, _written_at(run, record.round))))


def _group(key: str) -> str:
    return "writing" if key in WRITING else "concept" if key in CONCEPT else "training"


def _name(number: int) -> str:
    """TensorBoard reads files in the order of their names."""
    return f"events.out.tfevents.{number:010d}.round_{number:03d}"


def _written_at(run: Path, number: int) -> float:
    """When the round became whole, so that the same rounds give the same files."""
    return (run / f"round_{number:03d}" / "manifest.json").stat().st_mtime


def _events(record: RoundRecord, config: Mapping[str, Any], moment: float) -> Iterator[bytes]:
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.summary import histogram, scalar, text

    yield Event(wall_time=moment, file_version="brain.Event:2").SerializeToString()
    summaries = [scalar(name, value) for name, value in scalars(record).items()]
    summaries.append(histogram("concept/membership", record.concept.membership, bins="auto"))
    chosen = typical_samples(record.generated) or [each for each in record.generated if each.kind == "base"]
    if chosen:
        told = (
            f"**membership {each.membership:.2f}**\n\n{_markdown(each.whole)}" for each in chosen[:PASSAGES]
        )
        summaries.append(text(f"written/{chosen[0].kind}", "\n\n---\n\n".join(told)))
    if record.round == 0:
        lines = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True).splitlines()
        summaries.append(text("run/config", "\n".join(f"    {line}" for line in lines)))
    for summary in summaries:
        yield Event(wall_time=moment, step=record.round, summary=summary).SerializeToString()


def _markdown(text: str) -> str:
    """A text that is shown as it is: TensorBoard reads Markdown, in which a passage could name a picture to be fetched."""
    safe = text.encode("utf-8", errors="replace").decode().replace("&", "&amp;").replace("<", "&lt;")
    return MARKDOWN.sub(r"\\\1", safe)


def _write(run: Path, file: Path, events: Sequence[bytes]) -> None:
    from tensorboardX.record_writer import RecordWriter

    draft = (
        run / f".events.tmp-{os.getpid()}"
    )  # outside the folder: TensorBoard takes all that it finds there
    try:
        writer = RecordWriter(str(draft))
        for event in events:
            writer.write(event)
        writer.close()
        os.replace(draft, file)
    finally:
        draft.unlink(missing_ok=True)
