"""A report as one JSON object, for scripts."""

import json
from typing import Any

from graft.report.compare import Report
from graft.report.rows import column
from graft.report.table import table_rows


def as_json(report: Report) -> str:
    """Return a report as JSON text: numbers as `leaderboard.csv` has them, null for what is unknown.

    The keys are

    - metric: whose values rows have; a loss has a minus, as in `leaderboard.csv`;
    - ranked_by: the same; null if the jobs are not ranked;
    - claim: for what the intervals of the best job hold; null likewise;
    - sentence: the answer in words, or why there is none;
    - rows: for each finished job, the best first, job, trials, mean, ci95 (low and high) and to_best: mean, ci95, p
      and verdict of its difference to the best job; null for the best and for jobs that are not ranked;
    - failed: why jobs and trials failed, by name;
    - skipped: why jobs were skipped whose backbone's weights could not be had, by name;
    - left_out: why files and jobs were left out, by name;
    - unfinished: jobs that a sweep was to run and that have not finished, and what can be done, by name.
    """
    records, board, ranked = report.records, report.board, report.board.comparison is not None
    content = {
        "metric": board.metric,
        "ranked_by": board.metric if ranked else None,
        "claim": report.claim or None,
        "sentence": report.sentences[0] if ranked else board.order if board.records else "no job has finished",
        "rows": [_row(row, board.metric) for row in table_rows(board.table)],
        "failed": records.failed,
        "skipped": records.skipped,
        "left_out": records.damaged | records.read_without | records.pruned | records.refits,
        "unfinished": records.unfinished,
    }
    return json.dumps(content, indent=2, allow_nan=False, default=_plain)


def _row(row: dict[str, Any], metric: str) -> dict[str, Any]:
    """Return a finished job."""
    compared = None
    if row.get("standing") not in (None, "best"):
        difference = {"mean": row["difference"], "ci95": _ends(row["difference_low"], row["difference_high"])}
        compared = {**difference, "p": row["p"], "verdict": row["standing"]}
    ends = _ends(*(row[column(metric, f"ci95_{end}")] for end in ("low", "high")))
    return {"job": row["job"], "trials": row["trials"], "mean": row[metric], "ci95": ends, "to_best": compared}


def _ends(low: float | None, high: float | None) -> list[float] | None:
    return None if low is None or high is None else [low, high]


def _plain(number: Any) -> Any:
    """Return a number of NumPy as one of Python."""
    return number.item()
