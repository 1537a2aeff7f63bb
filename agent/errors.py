"""The one exception a user is meant to see, and how it quotes others."""


class BasinError(Exception):
    """A user's mistake or a missing resource, told in one sentence that names the thing and the remedy.

    The command line prints the sentence and exits with status 1; it never shows a traceback for it.
    """


def first_sentence(error: Exception) -> str:
    """The first sentence of an error's message, at most 160 characters, for quoting inside a `BasinError`."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return line.split(". ")[0].rstrip(".:")[:160]
