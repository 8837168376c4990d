"""The pictures of single images that reports show: every command that writes a report takes them from here."""

from collections.abc import Sequence

from graft.inference.job_images import thumbnails
from graft.page.pictures import Explained, PagePictures
from graft.results.records import Record


def page_pictures(explain: bool = False) -> PagePictures:
    """Return what reads pictures for a page; nothing is read, and torch is not imported, before a page asks.

    Args:
        explain: whether to explain predictions of jobs whose configuration does not ask for it, too.
    """
    return PagePictures(thumbnails, _explanations, explain)


def _explanations(record: Record, numbers: Sequence[int]) -> dict[int, Explained]:
    from graft.inference.explain import explanations

    return {number: Explained(*found) for number, found in explanations(record, numbers).items()}
