"""`accelerate launch -m loops.cli run CONFIG`: one run by several processes, on one machine or more."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from agent import processes
from agent.errors import BasinError

SHARED = ("run", "resume")


@contextmanager
def joined(arguments: Sequence[str]) -> Iterator[None]:
    """Run the block in the first process of a launch; the others serve it, and end here.

    Raises:
        BasinError: another command than those of `SHARED`, or as `agent.processes.join`.
    """
    if processes.launched() == 1:
        yield
        return
    finished = False
    try:
        if _join(arguments):
            processes.serve()
            raise SystemExit(0)
        yield
    except SystemExit as end:  # how every command ends
        finished = not end.code
        raise
    finally:
        processes.leave(finished)


def _join(arguments: Sequence[str]) -> int:
    """This process's number; of a refusal, the first process alone speaks."""
    from loops.checkpoint.provenance import commit, versions

    try:
        if not set(SHARED) & set(arguments[:1]):
            raise BasinError(
                f"Only basin {' and basin '.join(SHARED)} are for accelerate launch: start this command without it."
            )
        return processes.join(versions() | {"commit": commit()})
    except BasinError:
        if os.environ["RANK"] == "0":
            raise
        raise SystemExit(1) from None
