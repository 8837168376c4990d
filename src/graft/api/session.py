"""Hydra and Graft inside another program: `session` sets them up, and leaves the program as it was."""

import gc
import inspect
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobRuntime
from hydra.version import VersionBase

import graft.config.knobs  # noqa: F401  registers the knobs and resolvers before Hydra composes
from graft.api.conf_folder import CONF
from graft.config.refusals import explain
from graft.config.resolvers import typed_as
from graft.ending import known_reason
from graft.errors import GraftError
from graft.process import INTENDED, inside_a_program, stop_looking_for_gpus
from graft.sweeps.grid import forget_jobs

_one_at_a_time = threading.RLock()  # Hydra's state is the whole process's


@contextmanager
def session(words: Sequence[str], verbose: bool) -> Iterator[Any]:
    """Set up Hydra for some words; afterwards all is as it was, and errors are in Graft's words.

    Args:
        words: what a command line would have.
        verbose: whether to show tables, bars and messages, as the command line does.

    Yields:
        Hydra, whose `compose_config` makes configurations.

    Raises:
        GraftError: something that the user can correct.
        KeyboardInterrupt: after Ctrl-C; Lightning would exit instead.
    """
    with ExitStack() as stack:
        stack.enter_context(_one_at_a_time)
        stack.callback(_restore_process())
        stack.enter_context(_own_warnings())
        stack.enter_context(inside_a_program(_warn, quiet=not verbose))
        stack.enter_context(_shown_messages() if verbose else ExitStack())
        stack.enter_context(_in_graft_s_words())
        stack.callback(_restore_hydra())
        stack.enter_context(typed_as(words))
        stack.callback(forget_jobs)
        stack.enter_context(initialize_config_dir(str(CONF), job_name="train", version_base="1.3"))
        stop_looking_for_gpus()
        yield GlobalHydra.instance().hydra


def _warn(message: str) -> None:
    """Warn in the name of the caller's line."""
    frame, level, inside = inspect.currentframe(), 1, ("graft", "hydra", "contextlib")
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in inside:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)


def _restore_hydra() -> Any:
    """Clear Hydra's state, which is that of the program if it uses Hydra itself; return what puts it back."""
    config, runtime, version = HydraConfig.instance(), JobRuntime(), VersionBase.instance()
    before = GlobalHydra.instance().hydra, config.cfg, runtime.conf.copy(), version.version_base
    GlobalHydra.instance().clear()
    config.cfg = None

    def restore() -> None:
        hydra = GlobalHydra.instance()  # Hydra's own context managers replace the instance
        hydra.hydra, config.cfg, runtime.conf, version.version_base = before

    return restore


def _restore_process() -> Any:
    """Return what gives this process its environment, its garbage collection and its signals' handlers back."""
    environment, frozen_objects = dict(os.environ), gc.get_freeze_count()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
        if not frozen_objects:
            gc.unfreeze()
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                if handler is not None and signal.getsignal(number) is not handler:
                    signal.signal(number, handler)

    return restore


@contextmanager
def _own_warnings() -> Iterator[None]:
    """Hide warnings about intended behavior, and what Lightning says of every fit."""
    with warnings.catch_warnings():
        for message in INTENDED:
            warnings.filterwarnings("ignore", message)
        yield


@contextmanager
def quiet_libraries(levels: Mapping[str, int | str]) -> Iterator[None]:
    """Let loggers of libraries be as quiet as on the command line.

    Args:
        levels: of loggers, by name.
    """
    before = {name: logging.getLogger(name).level for name in levels}
    try:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def _shown_messages() -> Iterator[None]:
    """Show Graft's messages on the output."""
    logger, handler = logging.getLogger("graft"), logging.StreamHandler(sys.stdout)
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before


@contextmanager
def _in_graft_s_words() -> Iterator[None]:
    """Raise errors that the user can correct as a `GraftError`, in the command line's words."""
    try:
        yield
    except SystemExit as end:
        if isinstance(end.__context__, KeyboardInterrupt):  # Lightning's way to end a fit
            raise KeyboardInterrupt from None
        raise
    except GraftError:
        raise
    except Exception as error:
        words = explain(error) or known_reason(error)
        if words is None:
            raise
        raise GraftError(words) from None
