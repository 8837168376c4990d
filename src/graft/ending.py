"""How the program ends: its exit status, its last words, and Ctrl-C and SIGTERM.

Do not import torch or Hydra here: Ctrl-C must be heard while they are imported.
"""

import errno
import io
import logging
import os
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from graft.errors import GraftError
from graft.own_code import own_line
from graft.process import let_threads_sleep

ENDINGS = (signal.SIGINT, signal.SIGTERM)  # Ctrl-C, and what schedulers, `timeout` and `kill` send
CLOSED_PIPE = 141  # exit status after `| head` has closed the output, as shells have it

PATIENCE = 10  # seconds that the program has to end after a signal

_stopped: int | None = None  # the exit status, once a signal has come

# Causes that lie with the machine.
MACHINE = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM),
    *(errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ENAMETOOLONG),
}


def prepare() -> None:
    """Set up this process before anything heavy is imported: Ctrl-C shows no traceback, and idle threads sleep.

    Names that the terminal cannot show are escaped. Messages that cannot be logged, because the disk is full or the
    output closed, are dropped: by default each would print a traceback.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a background process may ignore it
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    logging.raiseExceptions = False
    let_threads_sleep()


def end_on_signals(finish: Callable[[], object], remaining: str = "") -> None:
    """Make Ctrl-C and SIGTERM end the program, with exit status 128 and the signal's number, as shells have it.

    Lightning would end one fit only and let the sweep continue after Ctrl-C, and only take note of SIGTERM.

    Args:
        finish: called before the program ends.
        remaining: a clause for the last message, about jobs that keep running.
    """

    def stop(number: int, _: object) -> None:
        default_signals()  # a second signal ends the program without `finish`
        try:
            finish()
        except Exception as error:
            print(reason(error), file=sys.stderr)
        print(f"stopped{remaining}; the same command resumes with -m or resume=true", file=sys.stderr)
        _exit(128 + number)

    if threading.current_thread() is threading.main_thread():
        for number in ENDINGS:
            signal.signal(number, stop)


def _exit(status: int) -> NoReturn:
    """Exit from a signal's handler.

    It may have interrupted a `__del__` or a callback of a C library, which ignore exceptions: then exit again soon. Or
    a library that turns exceptions into its own: then `exit_if_stopped` ends the program, or else a thread does.
    """
    global _stopped
    _stopped = status
    last = threading.Timer(PATIENCE, _exit_at_once, [status])
    last.daemon = True
    last.start()

    def exit_again(ignored: Any) -> None:
        if ignored.exc_type is SystemExit:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
        else:
            sys.__unraisablehook__(ignored)

    if hasattr(signal, "SIGALRM"):  # Windows has no alarms: there the thread ends the program
        sys.unraisablehook = exit_again
        signal.signal(signal.SIGALRM, lambda *_: sys.exit(status))
    sys.exit(status)


def _exit_at_once(status: int) -> None:
    """Exit whatever the main thread does; files are written whole or not at all."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


def exit_if_stopped() -> None:
    """Exit after Ctrl-C or SIGTERM whose `SystemExit` a library has turned into another exception, or swallowed."""
    if _stopped is not None:
        sys.exit(_stopped)


def default_signals() -> None:
    """Make Ctrl-C and SIGTERM end this process at once."""
    for number in ENDINGS:
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def stop_on_error(explain: Callable[[Exception], str | None] = lambda error: None) -> Iterator[None]:
    """Exit with status 1 and the reason after an error, and quietly if the output was closed.

    Args:
        explain: returns an error's reason in Graft's words, None if it knows none.
    """
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would complain at its end
        sys.exit(CLOSED_PIPE)
    except Exception as error:
        exit_if_stopped()
        print(explain(error) or reason(error), file=sys.stderr)
        sys.exit(1)


def reason(error: Exception) -> str:
    """Return why something failed: one line, unless the fault is Graft's, or in code of the user's own."""
    known = known_reason(error)
    if known:
        return known
    own = own_line(error)
    whose = "this is most likely a fault of Graft's own; please report it with this text"
    if own:
        whose = f"code of your own failed{own}; finished work is kept"
    return f"{whose}:\n{shlex.join(sys.argv)}\n{''.join(traceback.format_exception(error)).rstrip()}"


def known_reason(error: BaseException) -> str | None:
    """Return the message of a `GraftError`, or what the machine lacks; None if the fault is Graft's own."""
    if isinstance(error, GraftError):
        return str(error)
    if isinstance(error, OSError) and error.errno in MACHINE:
        place = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{place}; finished work is kept: mend this and run the same command again"
    if isinstance(error, NotADirectoryError | FileExistsError) and error.filename:
        return f"{error.filename} needs a folder where a file is ({error.strerror}); try another place"
    # PyTorch has a class for GPUs' memory only.
    if isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__ or "can't allocate memory" in str(error):
        return "out of memory; try trials_at_once=1, a smaller batch_size= or a smaller dataset.size="
    return None
