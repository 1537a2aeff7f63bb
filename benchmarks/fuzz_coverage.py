"""`python -m benchmarks.fuzz_coverage READER [--runs N]`: bytes that libFuzzer bends towards code that was not reached yet.

Needs the `fuzz` extra (atheris). It begins from the seeds of `benchmarks.fuzz` and holds a reader to the same promises; a
failing input is kept in tests/faults/failures, and ends the search.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer


def main(
    reader: Annotated[str, typer.Argument(help="As in benchmarks.fuzz.")],
    runs: Annotated[int, typer.Option(min=1, help="How many inputs.")] = 100_000,
    seed: Annotated[int, typer.Option(min=1)] = 1,
    longest: Annotated[int, typer.Option(min=1, help="Bytes of an input, at most.")] = 4096,
) -> None:
    """Search one reader for inputs that it does not survive."""
    import atheris

    # Before anything else imports them; libraries below are left as they are.
    with atheris.instrument_imports(include=["agent.corpora", "agent.corpora.passages", "agent.errors"]):
        import agent.corpora.load
        import agent.corpora.passages
        import agent.files.yaml_file  # noqa: F401
    from benchmarks.fuzz import FAILURES
    from benchmarks.fuzzing.targets import TARGETS
    from benchmarks.fuzzing.watching import Failed, survive
    from benchmarks.fuzzing.working import keep

    target = TARGETS[reader]
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        scratch, seeds = Path(folder) / "scratch", Path(folder) / "seeds"
        scratch.mkdir()
        seeds.mkdir()
        for number, content in enumerate(target.seeds):
            (seeds / str(number)).write_bytes(content)

        def once(content: bytes) -> None:
            try:
                survive(target.check, content, scratch)
            except Failed as failure:
                path = keep(reader, failure.kind, content, FAILURES)
                print(f"{reader}: {failure}: kept as {path.name}", file=sys.stderr)
                raise

        options = [
            f"-runs={runs}",
            f"-seed={seed}",
            f"-max_len={longest}",
            f"-artifact_prefix={folder}/",
            "-timeout=60",
        ]
        atheris.Setup([sys.argv[0], *options, str(seeds)], once)
        atheris.Fuzz()


if __name__ == "__main__":
    typer.run(main)
