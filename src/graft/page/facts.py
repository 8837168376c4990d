"""What the best job's trials said of the test images, as tables beside the leaderboard."""

from pathlib import Path

import pandas

from graft.analysis.confusion_table import confusion_table
from graft.analysis.doubts import label_suspects
from graft.analysis.mistakes import mistakes
from graft.analysis.per_class import per_class
from graft.analysis.predictions import Predictions
from graft.files import write_text

TABLES = {
    "per_class.csv": per_class,
    "confusion.csv": confusion_table,
    "mistakes.csv": mistakes,
    "label_suspects.csv": lambda found: label_suspects(found)[0],
}


def write_facts(found: Predictions | None, job: str, output: Path) -> None:
    """Write the tables of one job into a folder, each with the job's name as first column.

    Args:
        found: its predictions; None: they are not stored, or no job is the best: then an earlier report's are removed.
        job: its name in the leaderboard.
        output: the folder.
    """
    for name, make in TABLES.items():
        if found is None:
            (output / name).unlink(missing_ok=True)
        else:
            table: pandas.DataFrame = make(found)
            table.insert(0, "job", job)
            write_text(output / name, table.to_csv(index=False))
