"""The command line: one lazy group that imports a command's module when the command is called."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperCommand, TyperGroup

from agent.errors import BasinError, printable
from loops.cli.launch import joined
from loops.cli.signals import clean_shutdown, detach_output, exit_status, lost_output

COMMANDS = {
    "Start": {
        "run": ("start:run", "Start a run."),
        "resume": ("start:resume", "Continue a run from its last complete round."),
        "topics": ("topics:topics", "Browse topics, and print a config that starts from one."),
    },
    "Look": {
        "inspect": ("look:inspect", "Print a run's rounds, members and samples, or follow its log."),
        "report": ("look:report", "Write a run as one HTML file."),
        "measure": ("look:measure", "Compare a run's rounds with gold labels."),
        "ask": ("ask:ask", "Answer about a few passages: is it your concept?"),
    },
    "Use": {
        "generate": ("use:generate", "Generate passages from a concept."),
        "export": ("use:export", "Write a round's concept for another program."),
        "evaluate": ("evaluate:app", "Measure refiners and generators over a labelled suite."),
    },
    "Compare models": {
        "map": ("models:map_basin", "Follow many starting pointers to their fixed points."),
        "stitch": ("models:stitch", "Carry a concept into another model by a learned map."),
        "match": ("models:match", "Find a concept in another model, without a map."),
        "succeed": ("models:succeed", "Hand a concept from model to model."),
    },
    "Maintain": {
        "doctor": ("maintain:doctor", "Check this machine, or what a model supports."),
        "verify": ("maintain:verify", "Check every file of a run."),
        "fork": ("maintain:fork", "Start a run that continues another with other settings."),
    },
}
"""By help panel and name: where the command is defined, and its line in `basin --help`."""


class LazyGroup(TyperGroup):
    """Lists commands without importing them, and reports a user's mistake in one sentence."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for panel, commands in COMMANDS.items():
            for name, (_, summary) in commands.items():
                self.commands[name] = TyperCommand(name, help=summary, rich_help_panel=panel)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and load_command(str(name)), rest

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BasinError as error:
            raise _failed(str(error)) from None
        except OSError as error:
            if error.errno is None or error.filename is None:
                raise  # not raised by the operating system
            reason = f"{error.filename} cannot be used ({error.strerror}): check the name, its permissions and its disk."
            raise _failed(str(BasinError(reason))) from None
        except KeyboardInterrupt as stop:
            Console(stderr=True).print("Stopped.")
            raise typer.Exit(exit_status(stop)) from None


def load_command(name: str) -> Any:
    """Import a command's module and return the command."""
    (place,) = (commands[name][0] for commands in COMMANDS.values() if name in commands)
    module, attribute = place.split(":")
    found = getattr(importlib.import_module(f"loops.cli.{module}"), attribute)
    if not isinstance(found, typer.Typer):
        alone = typer.Typer(add_completion=False)
        alone.command(name)(found)
        found = alone
    return typer.main.get_command(found)


def _failed(sentence: str) -> typer.Exit:
    Console(stderr=True).print(
        f"[bold red]Error:[/] {escape(printable(sentence))}", soft_wrap=True, highlight=False
    )
    return typer.Exit(1)


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Turn a rough topic into the concept it points at, by letting a language model refine it.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"basin {version('basin')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit."),
    ] = False,
) -> None: ...


def _require_working_directory() -> None:
    """End in one sentence where libraries would fail without a word on the cause."""
    try:
        os.getcwd()
    except FileNotFoundError:
        _failed("The working directory no longer exists: change to another one.")
        raise SystemExit(1) from None


def main() -> None:
    """Run the command line."""
    detach_output()
    try:
        _require_working_directory()
        with clean_shutdown(), joined(sys.argv[1:]):
            app(prog_name="basin")
    except BasinError as error:
        _failed(str(error))
        raise SystemExit(1) from None
    except SystemExit as end:
        if reason := lost_output():
            _failed(f"The output is not complete ({reason}): make room, or write it to another place.")
        raise SystemExit(end.code or int(reason is not None)) from None


if __name__ == "__main__":
    main()
