"""Columns of Hugging Face's data sets that seem to say which part a row is of: Graft takes a data set's splits."""

import logging
from collections.abc import Mapping
from typing import Any

from graft.reading.layout import PART_NAME
from graft.tables.columns import matching

log = logging.getLogger("graft")


def warn_of_parts(path: str, splits: Mapping[str, Any]) -> None:
    """Warn of a column with words such as train and test, which is not read: its test rows may be trained on.

    Args:
        path: of the data set, as it was typed.
        splits: of the data set, by name.
    """
    first = next(iter(splits.values()))
    for column in matching("split", list(first.features)):
        if type(first.features[column]).__name__ not in ("ClassLabel", "Value"):
            continue
        words = getattr(first.features[column], "names", None) or [str(each) for each in first.unique(column)[:20]]
        parts = [word for word in words if PART_NAME.fullmatch(word.strip())]
        if len(parts) > 1:
            log.warning(
                "%s: the column %s (%s) is not read, because parts are the data set's splits, here %s: rows of its "
                "test part may be trained on; save the data with these splits",
                path,
                column,
                ", ".join(parts),
                ", ".join(splits),
            )
