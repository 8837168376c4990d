"""Small pictures of two classes in several domains, and a table of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas
from PIL import Image

from graft.data import load
from graft.data.dataset_table import Table
from graft.tables.table_files import list_table

SITES = ("north", "south", "west")


def write_sites(
    root: Path, sites: Sequence[str] = SITES, images: int = 15, patients: int = 0, classes: Sequence[str] = ("a", "b")
) -> pandas.DataFrame:
    """Write pictures whose brightness is their class's, and labels.csv; return the table.

    Args:
        root: the folder.
        sites: the domains.
        images: of each class and domain.
        patients: with a column of them, patient k has every k-th image of all domains; 0: without.
        classes: their names.
    """
    random, rows = np.random.default_rng(0), []
    for site in sites:
        for label in classes:
            for number in range(images):
                name = f"{SITES.index(site) if site in SITES else site}_{label}_{number:02}.png"
                gray = random.integers(0, 100, (12, 12)) + 120 * (label == classes[0])
                Image.fromarray(gray.astype(np.uint8)).save(root / name)
                rows.append({"file": name, "label": label, "site": site, "patient": f"P{number % (patients or 1)}"})
    table = pandas.DataFrame(rows)
    table = table if patients else table.drop(columns="patient")
    table.to_csv(root / "labels.csv", index=False)
    return table


def split(root: Path, **settings: Any) -> Table:
    """Return the data set of a folder's labels.csv, whose domains are its column site."""
    list_table.cache_clear()
    load.table.cache_clear()
    given = {"domain": "site", "small_domain": "south", "small_per_class": 3, "big": "rest", "small": "all"}
    return Table(file=str(root / "labels.csv"), **{**given, **settings})


def files(data: Table, indices: Any) -> set[str]:
    """Return the names of the files that indices mean."""
    return {data.images.folder.paths[int(index)].name for index in indices}  # type: ignore[attr-defined]


def used(data: Table, seeds: Sequence[int] = range(4)) -> set[str]:
    """Return the files that trials train, validate or are tested on."""
    drawn = [part for seed in seeds for part in (*data.sample(seed), data.tested(seed))]
    return set().union(*(files(data, part) for part in drawn))
