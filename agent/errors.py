"""The one exception a user is meant to see."""


class BasinError(Exception):
    """A user's mistake or a missing resource, told in one sentence that names the thing and the remedy.

    The command line prints the sentence and exits with status 1; it never shows a traceback for it.
    """
