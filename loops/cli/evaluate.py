"""`basin evaluate …`: arguments to settings, nothing else. Slow imports wait for their command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

evaluate = typer.Typer(
    no_args_is_help=True, help="Measure the parts of Basin over a suite of concepts that somebody labelled."
)


@evaluate.command()
def membership(
    corpora: Annotated[
        list[str] | None, typer.Option("--corpus", metavar="NAME", help="Only this corpus; may be repeated.")
    ] = None,
    methods: Annotated[
        list[str] | None, typer.Option("--method", metavar="NAME", help="Only this method; may be repeated.")
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=1, max=1000, help="How many topic models and splits of each corpus.")
    ] = 3,
    suite: Annotated[
        Path | None, typer.Option(help="Corpora and concepts; by default configs/suites/membership.yaml.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where rows are kept; by default membership.jsonl among the runs.")
    ] = None,
) -> None:
    """Compare the refiner with its rivals on unseen documents; what is in the file already is not done again."""
    from loops.checkpoint.find import checkpoints_folder
    from loops.evaluation.membership.evaluate import evaluate_membership
    from loops.evaluation.membership.suite import SUITE_FILE, load_suite
    from loops.evaluation.membership.table import show_evaluation
    from loops.monitor.progress import show_progress

    whole, done = load_suite(suite or SUITE_FILE), out or checkpoints_folder() / "membership.jsonl"
    with show_progress(Console(stderr=True)):
        rows = evaluate_membership(whole, methods or (), range(seeds), done, only=corpora or ())
    show_evaluation(rows, Console())


@evaluate.command()
def generation(
    corpora: Annotated[
        list[str] | None, typer.Option("--corpus", metavar="NAME", help="Only this corpus; may be repeated.")
    ] = None,
    concepts: Annotated[
        list[str] | None,
        typer.Option("--concept", metavar="NAME", help="Only this concept; may be repeated."),
    ] = None,
    generators: Annotated[
        list[str] | None,
        typer.Option("--generator", metavar="NAME", help="Only this generator; may be repeated."),
    ] = None,
    samples: Annotated[int, typer.Option(min=8, max=100_000, help="Passages of each generator.")] = 48,
    passages: Annotated[
        int, typer.Option(min=8, max=100_000, help="Passages in the lesson of an adapter.")
    ] = 240,
    seed: Annotated[int, typer.Option(min=0, help="Of topics, split, sampling and training.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="Leave out the story judge, which is slow.")] = False,
    suite: Annotated[
        Path | None, typer.Option(help="Corpora and concepts; by default configs/suites/generation.yaml.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for samples and adapters; by default generation among the runs."),
    ] = None,
) -> None:
    """Write from a concept in every way there is, and judge what was written; what is in the folder is not made again."""
    from loops.checkpoint.find import checkpoints_folder
    from loops.evaluation.generation.evaluate import evaluate_generation
    from loops.evaluation.generation.suite import SUITE_FILE, load_generation_suite
    from loops.evaluation.generation.table import show_generation
    from loops.monitor.progress import show_progress

    whole, folder = load_generation_suite(suite or SUITE_FILE), out or checkpoints_folder() / "generation"
    with show_progress(Console(stderr=True)):
        rows = evaluate_generation(
            whole,
            folder,
            only=corpora or (),
            concepts=concepts or (),
            generators=generators or (),
            samples=samples,
            seed=seed,
            passages=passages,
            quick=quick,
        )
    show_generation(rows, Console())
