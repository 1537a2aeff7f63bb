"""`basin ask`: is it your concept? A few passages, one key each."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from loops.cli.arguments import RoundNumber, RunName, print_line
from loops.cli.signals import exit_status

if TYPE_CHECKING:
    from loops.evaluation.ask import Answer, Questions

KEYS: dict[str, Answer] = {"y": "yes", "n": "no", "s": "skip"}
QUIT = "q"


def ask(
    run: RunName,
    *,
    count: Annotated[int, typer.Option("-n", "--number", min=1, max=10_000, help="Passages in all.")] = 20,
    round_number: RoundNumber = None,
    use: Annotated[
        bool, typer.Option("--use", help="Then start a run from round 0 with the size that you gave.")
    ] = False,
) -> None:
    """Show passages, ask whether they are of your concept, and estimate precision, recall and size."""
    from loops.checkpoint.find import open_run
    from loops.evaluation.ask import fork_with_size, open_questions

    store = open_run(run)
    with store.exclusive():
        questions = open_questions(store, round_number)
        try:
            _ask(questions, count)
        except KeyboardInterrupt as stop:
            print_line(f"\nStopped. {_kept(questions)}", error=True)
            raise typer.Exit(exit_status(stop)) from None
    _show(questions)
    if use:
        made = fork_with_size(questions)
        print_line(f"{made.about['origin']['sentence']} `basin resume {made.name}` continues.")


def _ask(questions: Questions, count: int) -> None:
    waiting, console, count = questions.waiting(count), Console(), min(count, len(questions.group))
    if waiting:
        print_line(f"Is it of the concept that you mean? The run started from: {questions.words}.")
        print_line("y: yes, n: no, s: skip, q: stop for now.")
    for number, index in enumerate(waiting, start=count - len(waiting) + 1):
        title, text = questions.shown(index)
        console.print(f"\n[bold]{number} of {count}[/]  [dim]{escape(title)}[/]", highlight=False)
        console.print(escape(text), highlight=False)
        if (key := _key(console)) == QUIT:
            return
        questions.keep(index, KEYS[key])


def _key(console: Console) -> str:
    """The next valid key; the end of the input quits."""
    while True:
        console.print("[bold cyan]y / n / s / q:[/] ", end="")
        try:
            typed = typer.getchar(echo=True) if sys.stdin.isatty() else sys.stdin.readline()
        except EOFError:
            typed = ""
        key = typed.strip().lower()[:1] if typed else QUIT
        if key == QUIT or key in KEYS:
            return key
        console.print("\nNo such key: press y, n, s or q.")


def _kept(questions: Questions) -> str:
    return f"{len(questions.answers)} answers are kept; `basin ask {questions.store.name}` goes on."


def _show(questions: Questions) -> None:
    from loops.monitor.tables import table_of

    if (found := questions.estimates()) is None:
        print_line(f"Too few answers for an estimate. {_kept(questions)}")
        return
    named = (("precision", found.precision), ("recall", found.recall), ("size", found.size))
    rows = [[name, each.value, f"{each.low:.2f} to {each.high:.2f}"] for name, each in named if each]
    Console().print(table_of([f"your {found.answers} answers", "", "90 % interval"], rows, digits=2))
    print_line(found.verdict)
