"""Image files that tables name: each row's file, class, part, group and domain, with all faulty rows in one message."""

import functools
import logging
import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from graft.errors import GraftError
from graft.nouns import counted, few
from graft.reading.class_folders import Folder, ImageFile, audit_name, readable
from graft.reading.counts import classes_words, ignored_words
from graft.reading.decode import pixel_limit
from graft.reading.group_pattern import groups_of
from graft.reading.known_files import Memory
from graft.reading.layout import MAX_NAMES, PARTS, FoundFile
from graft.reading.pictures import shown
from graft.tables.located import Located
from graft.tables.table_labels import class_names, domain_names, group_names
from graft.tables.table_rows import Listing, Row, meaning_of_parts, read_rows

log = logging.getLogger("graft")


def table_parts(listing: Listing) -> set[str]:
    """Return the parts that tables name; no image is read.

    Raises:
        GraftError: a table cannot be read, or has no clear meaning.
    """
    splits = [row.split for row in read_rows(listing, Located(listing.suffix))]
    return set(meaning_of_parts(splits, listing.words).values())


@functools.lru_cache(maxsize=4)  # a sweep's jobs share one listing
def list_table(
    listing: Listing,
    skip_unreadable: bool,
    max_pixels: int | None = None,
    cache: Path | None = None,
    excluded: frozenset[str] = frozenset(),
) -> Folder:
    """List the image files that tables name, by part, class and path, whatever the order of the rows.

    Args:
        listing: the tables.
        skip_unreadable: whether to leave out files that are missing or cannot be decoded.
        max_pixels: the most pixels of a file; None: Pillow's limit.
        cache: as `list_folder` has it.
        excluded: names of files that are left out if they are missing or cannot be read.

    Raises:
        GraftError: a table cannot be read, or names all faulty rows, or there are unreadable files that are not to be
            skipped.
    """
    located = Located(listing.suffix)
    rows = read_rows(listing, located)
    parts = meaning_of_parts([row.split for row in rows], listing.words)
    paths = [located(row.folder, row.image) for row in rows]
    faults = [*_empty_cells(rows, parts, listing.columns.domain), *_twice(rows, paths)]
    existing = [path for path in paths if path is not None]
    root = _root(listing, rows, existing) if existing else rows[0].folder
    missing = [place for place, path in enumerate(paths) if path is None and rows[place].image.strip()]
    marked = {place: name for place in missing if (name := audit_name(root, _path(rows[place]))) in excluded}
    faults += _missing(rows, missing, [] if skip_unreadable else [place for place in missing if place not in marked])
    if faults:
        raise GraftError(f"{listing.words} has rows that cannot be used:\n" + "\n".join(faults))
    if missing:
        names = few(_named(rows, missing), MAX_NAMES)
        log.warning("left out %s without a file: %s", counted(len(missing), "row"), names)
    all_rows = _found(listing, rows, paths, parts)
    found, skipped = ([file for file in all_rows if bool(file.reason) is missed] for missed in (False, True))
    found = sorted(_grouped(listing, root, found), key=lambda file: _order(root, file))
    memory, listed = Memory(cache, os.path.abspath(root), listing.words, skip_unreadable, max_pixels), time.time_ns()
    with pixel_limit(max_pixels):
        files, left_out = readable(root, found, skip_unreadable, memory, listing.words, excluded)
    _check_training(listing.words, found, files)
    located.say()
    known = {file.path for file in files}
    skipped += [file._replace(reason="unreadable") for file in found if file.path not in known]
    ignored = [file.reason for file in skipped]
    counts = Counter(file.class_name for file in files)
    log.info("%s images of %s%s", f"{len(files):,}", classes_words(counts), ignored_words(ignored))
    left_out = (*marked.values(), *left_out)
    return Folder(root, files, dict(Counter(ignored)), listing.words, tuple(skipped), left_out, listed)


def _found(
    listing: Listing, rows: Sequence[Row], paths: Sequence[Path | None], parts: Mapping[str, str]
) -> list[FoundFile]:
    """Return the file of each row; those that do not exist have a reason."""
    names = class_names([row.label for row in rows], listing.words)
    column = listing.columns.domain
    domains = domain_names([row.domain for row in rows], f"dataset.domain={column}") if column else [""] * len(rows)
    groups = group_names([row.group for row in rows])
    return [
        FoundFile(path or _path(row), name, parts.get(row.split, "train"), "" if path else "missing", group, domain)
        for row, path, name, group, domain in zip(rows, paths, names, groups, domains, strict=True)
    ]


def _path(row: Row) -> Path:
    """Return where a row's file would be, if there were one."""
    return row.folder / row.image.strip()


def _grouped(listing: Listing, root: Path, found: Sequence[FoundFile]) -> list[FoundFile]:
    """Return the files with the groups that a pattern finds, if one is given."""
    if listing.group_pattern is None:
        return list(found)
    groups = groups_of([file.path.relative_to(root).as_posix() for file in found], listing.group_pattern)
    return [file._replace(group=group) for file, group in zip(found, groups, strict=True)]


def _order(root: Path, file: FoundFile) -> tuple[int, str, bytes]:
    return PARTS.index(file.part), file.class_name, os.fsencode(file.path.relative_to(root).as_posix())


def _root(listing: Listing, rows: Sequence[Row], paths: Sequence[Path]) -> Path:
    """Return the folder from which files are named: the one of relative paths or, with files elsewhere, a common one.

    So a table names the same files by relative and by absolute paths.
    """
    folders = {Path(os.path.normpath(row.folder)) for row in rows}
    folder = folders.pop()
    if not folders and all(path.is_relative_to(folder) for path in paths):
        return folder
    return Path(os.path.commonpath([path.parent for path in paths]))


def _empty_cells(rows: Sequence[Row], parts: Mapping[str, str], domain: str | None) -> Iterator[str]:
    """Yield what is wrong with rows that lack a value, or have one that means nothing."""
    grouped = any(row.group for row in rows)
    kinds = {
        "without a path": [row.where for row in rows if not row.image.strip()],
        "without a label": [row.where for row in rows if not row.label],
        "without a group (dataset.group=null does without groups)": [
            row.where for row in rows if grouped and not row.group
        ],
        f"without a value in the column {domain}, which is dataset.domain (fill it in, or remove these rows)": [
            row.where for row in rows if domain and not row.domain
        ],
        "of no part: train, val and test are, and names like them (dataset.split=null does without parts)": [
            f"{row.where} ({row.split or 'empty'})" for row in rows if parts and row.split not in parts
        ],
    }
    for kind, places in kinds.items():
        if places:
            yield f"{len(places):,} {kind}: {few(places, MAX_NAMES)}"


def _twice(rows: Sequence[Row], paths: Sequence[Path | None]) -> Iterator[str]:
    """Yield what is wrong with files that several rows name, and say different things of."""
    by_path = defaultdict(list)
    for place, path in enumerate(paths):
        if path is not None:
            by_path[path].append(place)
    for key in ("label", "split", "group", "domain"):
        pairs = []
        for path, places in by_path.items():
            different = {getattr(rows[place], key): place for place in reversed(places)}
            if len(different) > 1:
                said = [f"{value or 'empty'} in {rows[place].where}" for value, place in reversed(different.items())]
                pairs.append(f"{shown(path.name)} ({' and '.join(said)})")
        if pairs:
            yield f"{len(pairs):,} files with two {key}s: {few(pairs, MAX_NAMES)}"


def _missing(rows: Sequence[Row], missing: Sequence[int], refused: Sequence[int]) -> Iterator[str]:
    """Yield what is wrong with rows whose file does not exist, if some are refused, or there are no others."""
    if len(missing) == len(rows):
        refused = missing
    if refused:
        folders = ", ".join(sorted({shown(rows[place].folder) for place in refused}))
        skip = ", or dataset.skip_unreadable=true leaves them out" if len(missing) < len(rows) else ""
        yield (
            f"{len(refused):,} whose file does not exist, seen from {folders}: "
            f"{few(_named(rows, refused), MAX_NAMES)}; try dataset.root=DIR{skip}"
        )


def _named(rows: Sequence[Row], places: Sequence[int]) -> list[str]:
    return [f"{shown(rows[place].image.strip())} ({rows[place].where})" for place in places]


def _check_training(words: str, found: Sequence[FoundFile], files: Sequence[ImageFile]) -> None:
    """Refuse parts and classes without a readable image, and classes without one to train on."""
    for key, what in (("part", "parts"), ("class_name", "classes")):
        lost = sorted({getattr(file, key) for file in found} - {getattr(file, key) for file in files})
        if lost:
            raise GraftError(f"{words} has {what} without a readable image: {', '.join(lost)}; repair the files")
    trained = {file.class_name for file in files if file.part == "train"}
    untrained = sorted({file.class_name for file in files} - trained)
    if untrained:
        raise GraftError(
            f"{words} has classes without training images: {', '.join(untrained)}; training images' classes "
            f"are {', '.join(sorted(trained))}: rename labels that differ, or remove these rows"
        )
