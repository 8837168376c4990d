"""The pictures of single images that reports show: every command that writes a report takes them from here."""

import functools
from collections.abc import Sequence

from graft.config.target import targets
from graft.inference.job_images import thumbnails
from graft.page.pictures import Explained, PagePictures
from graft.results.records import Record


def page_pictures(explain: bool = False, modules: Sequence[str] | None = None) -> PagePictures:
    """Return what reads pictures for a page; nothing is read, and torch is not imported, before a page asks.

    Args:
        explain: whether to explain predictions of jobs whose configuration does not ask for it, too.
        modules: packages of the user's own whose networks may be built; None: those that a job's configuration names,
            as the program has just run the job.
    """
    return PagePictures(thumbnails, functools.partial(_explanations, modules), explain)


def _explanations(modules: Sequence[str] | None, record: Record, numbers: Sequence[int]) -> dict[int, Explained]:
    from graft.inference.explain import explanations

    if modules is None:
        found = [option for group in ("backbone", "head") for _, option in targets(record.config.get(group), group)]
        modules = [str(option["_target_"]).partition(".")[0] for option in found]
    return {number: Explained(*each) for number, each in explanations(record, numbers, modules).items()}
