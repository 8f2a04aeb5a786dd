"""The exceptions of ballproof: what the user can mend, what is not modelled, and what must never happen."""


class BallproofError(Exception):
    """Every exception that ballproof raises on purpose."""


class InputError(BallproofError, ValueError):
    """What came in is not usable: the message names the argument, what came, what was expected and what to do.

    The command line prints the message as one line and exits with code 2.
    """


class UnsupportedError(InputError):
    """An operation or a setting that is not modelled; raised while the graph is built, never later."""


class DomainError(InputError):
    """A region on which an operation is not defined everywhere, or not bounded: log of an interval that reaches 0, ..."""


class SoundnessError(BallproofError, ArithmeticError):
    """Two proven facts contradict each other, or a bound is NaN: no answer is given. Please report it."""


def of_memory(error: Exception) -> bool:
    """Whether an error, of whatever library, says that no memory was left."""
    words = "out of memory", "allocate memory", "bad_alloc", "bad alloc", "failed to map segment"
    return isinstance(error, MemoryError) or any(w in str(error).lower() for w in words)
