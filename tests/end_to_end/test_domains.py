"""A table with sites: training on the images of one, and transfer to those of another, as a user types it."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pandas
import pytest
from domain_tables import write_sites

Train = Callable[..., CompletedProcess[str]]
JOB = (
    "dataset=table",
    "dataset.file=labels.csv",
    "dataset.domain=site",
    "dataset.small_per_class=4",
    "source.epochs=1",
    "epochs=3",
    "trials=3",
)


def result(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


@pytest.mark.slow
def test_a_domain_is_pre_trained_on_and_another_is_tested(tmp_path: Path, train: Train):
    table = write_sites(tmp_path).set_index("file")
    ran = train(*JOB, "dataset.big_domain=north", "dataset.small_domain=south", "name=a")
    assert ran.returncode == 0, ran.stderr
    words = (
        "dataset.domain=site: big split north (30 images); small split south (30 images); in neither west (30 images)"
    )
    assert words in ran.stdout
    assert "pre-trained on 30 images" in ran.stdout
    assert "big: north; small: south; neither: west" in ran.stdout
    images = pandas.read_csv(tmp_path / "outputs" / "a" / "images.csv")
    assert set(images["domain"]) == {"south"}
    assert (images["domain"] == table.loc[images["path"], "site"].to_numpy()).all()
    assert result(tmp_path / "outputs" / "a")["images"]["domains"]["big"] == {"north": 30}
    again = train(*JOB, "dataset.big_domain=[north]", "dataset.small_domain=[south]", "name=b")
    assert "pre-trained on" not in again.stdout  # the cache has these weights
    accuracies = [result(tmp_path / "outputs" / name)["accuracy"] for name in "ab"]
    assert accuracies[0] == accuracies[1]
    other = train(*JOB, "dataset.big_domain=west", "dataset.small_domain=south", "name=c")
    assert "pre-trained on 30 images" in other.stdout
    refused = train(*JOB, "dataset.big_domain=west", "dataset.small_domain=south", "name=a")
    assert "a has the result of another configuration (dataset.big_domain differ)" in refused.stderr


@pytest.mark.slow
def test_a_sweep_of_small_domains_is_of_jobs_with_different_test_images(tmp_path: Path, train: Train):
    write_sites(tmp_path)
    scratch = [*(word for word in JOB if "source" not in word), "source=scratch"]
    same = train("-m", *scratch, "dataset.small_domain=south,[south]", "name=same")
    assert "1 of 2 jobs repeats a configuration" in same.stdout + same.stderr
    ran = train("-m", *scratch, "dataset.small_domain=south,west", "name=a")
    assert ran.returncode == 0, ran.stderr
    folders = sorted(path.parent for path in (tmp_path / "outputs" / "a").rglob("result.json"))
    tested = [result(folder)["contents"]["tested_on"] for folder in folders]
    assert len(set(tested)) == 2
    assert "tested on different images" in " ".join(ran.stdout.split())


@pytest.mark.slow
def test_rounds_keep_the_column_of_domains_and_a_refit_trains_on_the_small_domain_alone(tmp_path: Path, train: Train):
    table = write_sites(tmp_path)
    words = [*JOB[:-1], "dataset.small_domain=[south,west]", "name=a"]
    ran = train(*words, "trials=auto", "trials_min=2", "trials_max=4")
    assert ran.returncode == 0, ran.stderr
    images = pandas.read_csv(tmp_path / "outputs" / "a" / "images.csv")
    assert set(images["domain"]) == {"south", "west"}
    refit = train("run=outputs/a", "refit=all", "name=final", "trials=1")
    assert refit.returncode == 0, refit.stderr
    trained = pandas.read_csv(tmp_path / "outputs" / "final" / "images.csv")
    assert set(trained["path"]) == set(table[table["site"] != "north"]["file"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dataset.small_domain=east"], "dataset.small_domain must be of the values of the column site, north, south"),
        ([], "dataset.small_domain must be given with dataset.domain=site"),
        (["dataset.small_domain=south", "dataset.big_domain=south"], "dataset.big_domain must be without south"),
    ],
)
def test_a_mistake_is_said_before_anything_trains(tmp_path: Path, train: Train, words: list[str], message: str):
    write_sites(tmp_path, images=4)
    ran = train(*JOB, *words, "name=a")
    assert ran.returncode == 1
    assert message in ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (tmp_path / "outputs" / "a" / "result.json").exists()
