"""The two ways a command may end badly, and nothing else.

Belongs here: exception types that the command line turns into one sentence and an exit code.
Does not belong here: formatting, logging, or errors that only one module knows.
"""


class UsageError(ValueError):
    """The person asked for something that can't be done as asked (exit code 2).

    The message is one sentence: what, where, what to do.
    """


class CheckFailed(RuntimeError):
    """The data failed a stopping check, so nothing was published (exit code 1)."""
