"""Findings: what an audit says of single images, a row each in `audit.csv`, whose column `exclude` is the user's."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from graft.files import write_bytes

KINDS = (  # the order of the rows
    *("ignored", "unreadable", "exact copy", "near copy", "altered copy"),
    *("label suspect", "blank", "outlier", "confusion", "shortcut"),
)


@dataclass(frozen=True)
class Finding:
    """A row of `audit.csv`.

    Attributes:
        finding: one of `KINDS`.
        file: the image, as images.csv names it; empty if the finding is about all images.
        class_name: its class.
        split: train, val, test or big.
        other: the image or the class that it is compared with.
        score: how sure: a correlation, a probability, or as `detail` says.
        detail: in words.
        hash: digest of its contents.
        exclude: for the user, who marks what `dataset.exclude` leaves out.
    """

    finding: str
    file: str = ""
    class_name: str = ""
    split: str = ""
    other: str = ""
    score: float | None = None
    detail: str = ""
    hash: str = ""
    exclude: str = ""


def write_findings(path: Path, findings: Sequence[Finding]) -> None:
    """Write a table, a row for each finding; the column of `class_name` is `class`."""
    text = io.StringIO(newline="")
    columns = ["class" if each.name == "class_name" else each.name for each in fields(Finding)]
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(columns)
    for finding in findings:
        values = asdict(finding)
        values["score"] = "" if finding.score is None else f"{finding.score:.4g}"
        rows.writerow(values.values())
    write_bytes(path, text.getvalue().encode())
