"""The command line: arguments to configuration, nothing else. Slow imports wait for their command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from agent.errors import BasinError, printable
from loops.cli.arguments import ConfigName, RunName, complete_config
from loops.cli.basin_map import map_command
from loops.cli.checkpoints import fork_command, prune_command, verify_command
from loops.cli.evaluate import evaluate
from loops.cli.export import export_command
from loops.cli.probe import probe_command
from loops.cli.report import compare_command, report_command
from loops.cli.signals import ends_softly, exit_status, outlast_terminal
from loops.cli.topics import topics_command
from loops.cli.transfer import match_command, stitch_command, succeed_command
from loops.cli.watch import watch_command

if TYPE_CHECKING:
    from loops.checkpoint.store import RunStore


class _OneSentence(TyperGroup):
    """A user's mistake ends in one sentence and status 1, an interrupt in 130, SIGTERM in 143; never a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BasinError as error:
            _tell(error)
            raise typer.Exit(1) from None
        except OSError as error:
            if error.errno is None or error.filename is None:
                raise  # not the operating system's, or nothing that could be named
            reason = f"{error.filename} cannot be used ({error.strerror}): check the name, its permissions and its disk."
            _tell(BasinError(reason))
            raise typer.Exit(1) from None
        except KeyboardInterrupt as stop:
            Console(stderr=True).print("Stopped.")
            raise typer.Exit(exit_status(stop)) from None


def _tell(error: BasinError) -> None:
    Console(stderr=True).print(
        f"[bold red]Error:[/] {escape(printable(str(error)))}", soft_wrap=True, highlight=False
    )


app = typer.Typer(
    cls=_OneSentence,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Turn a rough topic into the concept it points at, by letting a language model refine it.",
)


def _tell_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"basin {version('basin')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_tell_version, help="Print the version and end."),
    ] = False,
) -> None: ...


app.add_typer(evaluate, name="evaluate")
app.command(name="compare")(compare_command)
app.command(name="export")(export_command)
app.command(name="fork")(fork_command)
app.command(name="map")(map_command)
app.command(name="match")(match_command)
app.command(name="probe")(probe_command)
app.command(name="prune")(prune_command)
app.command(name="report")(report_command)
app.command(name="stitch")(stitch_command)
app.command(name="succeed")(succeed_command)
app.command(name="topics")(topics_command)
app.command(name="verify")(verify_command)
app.command(name="watch")(watch_command)

RoundNumber = Annotated[
    int | None, typer.Option("--round", min=0, help="Which round; by default the newest.")
]
MaximumRounds = Annotated[int | None, typer.Option(min=1, help="At most this many rounds in all.")]


@app.command()
def run(
    config: ConfigName,
    name: Annotated[
        str | None, typer.Option(help="By default the config's name, numbered when it is taken.")
    ] = None,
    rounds: MaximumRounds = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a setting.")
    ] = None,
) -> None:
    """Start a run: point, then refine round after round until the notion stops moving."""
    from agent.config import find_config
    from loops.checkpoint.find import fresh_path, named_path
    from loops.checkpoint.store import RunStore
    from loops.config import load_config

    overrides = [*(settings or []), *([f"rounds={rounds}"] if rounds else [])]
    config = find_config(config)
    resolved = load_config(config, overrides)
    path = named_path(name) if name is not None else fresh_path(config.stem)
    store = RunStore.create(path, resolved, config, overrides)
    _work(store, f"Run {store.name} in {store.path}")


@app.command()
def resume(
    run: RunName,
    rounds: MaximumRounds = None,
    as_begun: Annotated[
        bool, typer.Option("--as-begun", help="Ignore that the config file was changed since the run began.")
    ] = False,
) -> None:
    """Go on from the last whole round, with the configuration the run began with."""
    from loops.checkpoint.find import find_run, heed_file
    from loops.checkpoint.store import RunStore

    store = RunStore.open(find_run(run))  # what was damaged is told when it is mended
    if not as_begun:
        store = heed_file(store)
    _work(store, f"Run {store.name} goes on", rounds)


@app.command()
def inspect(
    run: RunName,
    round_number: RoundNumber = None,
    limit: Annotated[int, typer.Option("-n", min=1, help="Passages per list.")] = 10,
) -> None:
    """Print a run's table; with --round also members, what changed hands with the topic and since the last round, samples."""
    from loops.checkpoint.find import open_run
    from loops.report.terminal import show_round, show_run

    store = open_run(run)
    show_run(store, Console())
    if round_number is not None:
        show_round(store, round_number, limit, Console())


@app.command()
def measure(
    run: RunName,
    writing: Annotated[
        bool, typer.Option("--writing", help="Also judge what the newest round wrote.")
    ] = False,
) -> None:
    """Compare a run with gold labels, where its corpus has any; the run itself never sees them."""
    from loops.checkpoint.find import open_run
    from loops.evaluation import measure
    from loops.monitor.progress import show_progress
    from loops.report.terminal import show_judgement, show_run

    store = open_run(run)
    with show_progress(Console(stderr=True)):
        measure.measure(store)
        judged = measure.judge(store) if writing else None
    show_run(store, Console())
    if judged is not None:
        show_judgement(judged, Console())


@app.command()
def generate(
    run: RunName,
    round_number: RoundNumber = None,
    count: Annotated[int, typer.Option("-n", min=1, max=100_000, help="How many passages.")] = 3,
    prompt: Annotated[str | None, typer.Option(help="By default the openings of real passages.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    strength: Annotated[
        float, typer.Option(help="Times the round's steering vector; 0 is the base model.")
    ] = 1.0,
    best_of: Annotated[
        int,
        typer.Option(
            "--best-of",
            min=1,
            max=1000,
            help="Passages on every prompt, of which the readable one that belongs most is kept.",
        ),
    ] = 1,
    accept: Annotated[
        bool,
        typer.Option(
            "--filter", help="Let the base model write, and keep what the concept accepts: exact, and slow."
        ),
    ] = False,
    tries: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="With --filter, how many passages to write at most.")
    ] = 400,
) -> None:
    """Write from the concept of a round."""
    from loops.api.generate import write, write_accepted
    from loops.checkpoint.find import open_run
    from loops.monitor.progress import show_progress
    from loops.report.terminal import show_passage

    store = open_run(run)
    with show_progress(Console(stderr=True)):
        if not accept:
            written = write(store, round_number, count, prompt, seed, strength, best_of)
        else:
            kept = write_accepted(store, round_number, count, prompt, seed, tries)
            written = [(each.prompt, each.text) for each in kept.passages]
    for opening, text in written:
        show_passage(opening, text, Console())
    if accept:
        Console().print(
            f"\nAccepted {len(written)} of {kept.proposed}: {kept.share:.0%} of what the model writes."
        )


@app.command()
def doctor(
    config: Annotated[
        Path | None,
        typer.Argument(
            help="What to estimate: a YAML file, or the name of an experiment; by default brown.",
            autocompletion=complete_config,
        ),
    ] = None,
) -> None:
    """Say what is installed and cached, how fast this machine is, and what a run would cost."""
    from loops.diagnostics.doctor import examine
    from loops.monitor.progress import show_progress

    with show_progress(Console(stderr=True)):
        examine(config, Console())


def main() -> None:
    """Entry point of the console script."""
    outlast_terminal()
    with ends_softly():
        app(prog_name="basin")


def _work(store: RunStore, message: str, until: int | None = None) -> None:
    """Work on a run; an interrupt says what is kept."""
    from loops.api.session import kept_sentence, work_on

    try:
        work_on(store, message, Console(), until)
    except KeyboardInterrupt as stop:
        kept = f"{kept_sentence(store)}; `basin resume {store.name}` goes on."
        Console(stderr=True).print(f"\nStopped. {escape(kept)}", soft_wrap=True, highlight=False)
        raise typer.Exit(exit_status(stop)) from None


if __name__ == "__main__":
    main()
