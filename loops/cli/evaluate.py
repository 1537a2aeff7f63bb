"""`basin evaluate membership` and `basin evaluate generation`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(
    no_args_is_help=True, help="Measure refiners and generators over a suite of labelled concepts."
)

Corpora = Annotated[
    list[str] | None, typer.Option("--corpus", metavar="NAME", help="Only this corpus; repeatable.")
]


@app.command()
def membership(
    *,
    corpora: Corpora = None,
    methods: Annotated[
        list[str] | None, typer.Option("--method", metavar="NAME", help="Only this method; repeatable.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Topic models and splits per corpus.")] = 3,
    suite: Annotated[
        Path | None, typer.Option(help="Corpora and concepts; by default configs/suites/membership.yaml.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of rows; by default membership among the runs.")
    ] = None,
) -> None:
    """Compare the refiner with its rivals on held-out documents; finished rows are not repeated."""
    from loops.checkpoint.find import checkpoints_folder
    from loops.evaluation.membership.evaluate import evaluate_membership
    from loops.evaluation.membership.suite import SUITE_FILE, load_suite
    from loops.evaluation.tables import show_evaluation
    from loops.monitor.progress import show_progress

    whole, folder = load_suite(suite or SUITE_FILE), out or checkpoints_folder() / "membership"
    with show_progress(Console(stderr=True)):
        rows = evaluate_membership(whole, methods or (), range(seeds), folder, only=corpora or ())
    show_evaluation(rows, Console())


@app.command()
def generation(
    *,
    corpora: Corpora = None,
    concepts: Annotated[
        list[str] | None, typer.Option("--concept", metavar="NAME", help="Only this concept; repeatable.")
    ] = None,
    generators: Annotated[
        list[str] | None, typer.Option("--generator", metavar="NAME", help="Only this generator; repeatable.")
    ] = None,
    samples: Annotated[int, typer.Option(min=8, max=100_000, help="Passages per generator.")] = 48,
    tokens: Annotated[int, typer.Option(min=64, help="Tokens that an adapter is trained on.")] = 60_000,
    seed: Annotated[int, typer.Option(min=0, help="Of topics, split, sampling and training.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="Leave out the story judge, which is slow.")] = False,
    suite: Annotated[
        Path | None, typer.Option(help="Corpora and concepts; by default configs/suites/membership.yaml.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for samples and adapters; by default generation among the runs."),
    ] = None,
) -> None:
    """Generate from a concept by every generator and judge the samples; finished ones are not repeated."""
    from loops.checkpoint.find import checkpoints_folder
    from loops.evaluation.generation.evaluate import evaluate_generation
    from loops.evaluation.membership.suite import SUITE_FILE, load_suite
    from loops.evaluation.tables import show_generation
    from loops.monitor.progress import show_progress

    whole, folder = load_suite(suite or SUITE_FILE), out or checkpoints_folder() / "generation"
    with show_progress(Console(stderr=True)):
        rows = evaluate_generation(
            whole,
            folder,
            only=corpora or (),
            concepts=concepts or (),
            generators=generators or (),
            samples=samples,
            seed=seed,
            tokens=tokens,
            quick=quick,
        )
    show_generation(rows, Console())
