"""The pictures of single images that reports show: every command that writes a report takes them from here."""

from graft.inference.job_images import thumbnails
from graft.page.pictures import PagePictures


def page_pictures() -> PagePictures:
    """Return what reads pictures for a page; nothing is read, and torch is not imported, before a page asks."""
    return PagePictures(thumbnails)
