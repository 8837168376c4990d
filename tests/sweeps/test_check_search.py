"""A search is refused if it has no validation images to choose by, or finished jobs of data that have changed."""

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT
from domain_tables import write_sites
from folders import forget, write_classes, write_picture
from hydra import compose, initialize_config_dir
from PIL import Image

from graft.errors import GraftError
from graft.sweeps.check_search import refuse_changed
from graft.sweeps.check_sweep import check_sweep

REFUSED = r"no validation images of the small split, and sweep=random .* try dataset.val_per_class=20"


def searched(folder: Path, *words: str) -> bool:
    """Check a search as train.py -m does, whose folder is below one; return whether it may run."""
    out = folder / "out"
    given = ("sweep=random", "source=scratch", "dataset.small_per_class=2", f"hydra.sweep.dir={out}")
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", [*given, f"cache={folder}/cache", *words], return_hydra_config=True)
        return bool(check_sweep(config, out))


@pytest.fixture
def table(tmp_path: Path) -> list[str]:
    """Write pictures of which only the north has validation images; return the words of a transfer to the south."""
    rows = write_sites(tmp_path)
    place = rows.groupby(["site", "label"]).cumcount()
    rows["split"] = "train"
    rows.loc[place < 4, "split"] = "test"
    rows.loc[(place == 4) & (rows.site == "north"), "split"] = "val"
    rows.to_csv(tmp_path / "labels.csv", index=False)
    return ["dataset=table", f"dataset.file={tmp_path}/labels.csv", "dataset.domain=site"]


@pytest.mark.slow
def test_validation_images_of_the_big_domain_alone_are_none(table: list[str], tmp_path: Path):
    with pytest.raises(GraftError, match=REFUSED):
        searched(tmp_path, *table, "dataset.small_domain=south")
    assert not (tmp_path / "out").exists()
    assert searched(tmp_path, *table, "dataset.small_domain=south", "dataset.val_per_class=2")
    assert searched(tmp_path, *table, "dataset.small_domain=north")


def test_validation_images_of_the_big_classes_alone_are_none(tmp_path: Path):
    counts = {f"{part}_{name}": 4 for part in ("train", "test") for name in ("a", "b", "c", "d")}
    write_classes(tmp_path / "photos", **counts, val_a=2, val_b=2)
    words = ["dataset=image_folder", f"dataset.root={tmp_path}/photos"]
    with pytest.raises(GraftError, match=REFUSED):
        searched(tmp_path, *words, "dataset.big=[a,b]", "dataset.small=[c,d]")
    assert searched(tmp_path, *words, "dataset.big=[c,d]", "dataset.small=[a,b]")
    with pytest.raises(GraftError, match=r"source\._target_ must be a class that inherits from graft\."):
        searched(tmp_path, *words, "source._target_=collections.OrderedDict")


def test_a_stored_data_set_without_validation_images_has_none(tmp_path: Path):
    datasets = pytest.importorskip("datasets")
    pictures = [Image.new("L", (6, 6), 20 * number) for number in range(8)]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["dog", "cat"])})
    columns = {"image": pictures, "label": [number % 2 for number in range(8)]}
    datasets.Dataset.from_dict(columns, features).save_to_disk(str(tmp_path / "stored"))
    with pytest.raises(GraftError, match=REFUSED):
        searched(tmp_path, "dataset=huggingface", f"dataset.path={tmp_path}/stored")


def test_a_search_does_not_go_on_with_jobs_of_data_that_have_changed(tmp_path: Path, run: Callable[..., dict]):
    write_classes(tmp_path / "photos", train_a=4, train_b=4, test_a=2, test_b=2)
    words = ["dataset=image_folder", f"dataset.root={tmp_path}/photos", "dataset.small_per_class=2", "dataset.size=28"]
    result = run(*words, "source=scratch", "epochs=1", "trials=2")
    cache, done = result["config"]["cache"], {tmp_path / "job": result}
    refuse_changed(done, cache)
    refuse_changed({tmp_path / "old": {"config": result["config"]}}, cache)
    write_picture(tmp_path / "photos/train/a/more.bmp", 77)
    forget()
    with pytest.raises(
        GraftError, match=r"job is a finished job .* content of the data set has changed .* try another"
    ):
        refuse_changed(done, cache)
