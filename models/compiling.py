"""Whether programs are being compiled, told to whoever shows progress.

A backend calls the Python function once for each program, to trace it; what it does with the trace
is compiling too, and ends as `ended` is called in the same thread.
"""

import functools
import threading
from collections.abc import Callable

_tracing: dict[int, bool] = {}
"""By thread that compiles: whether it is still tracing."""


def anywhere() -> bool:
    """Whether any thread of this process is compiling a program."""
    return bool(_tracing)


def ended() -> None:
    """This thread has compiled a program. While it traces one, that was a part of it."""
    thread = threading.get_ident()
    if not _tracing.get(thread, True):
        del _tracing[thread]


def traced(function: Callable, *, whole: bool) -> Callable:
    """A function whose calls, by the backend, mean that this thread compiles.

    Args:
        function: What the backend traces.
        whole: Whether compiling ends with the trace, for want of anything that tells more.
    """

    @functools.wraps(function)
    def call(*arguments: object, **named: object) -> object:
        thread = threading.get_ident()
        _tracing[thread] = True
        try:
            result = function(*arguments, **named)
        except BaseException:
            _tracing.pop(thread, None)
            raise
        _tracing[thread] = False
        if whole:
            ended()
        return result

    return call
