"""The inventory: splits are those of training, and images in memory have an inventory, too."""

from pathlib import Path

from domain_tables import split, write_sites

from graft.audit.inventory import Inventory
from graft.data.dataset import MNIST5k


def test_splits_are_those_of_training():
    data = MNIST5k(big=[0, 2, 4, 6, 8], small=[1, 3, 5, 7, 9], test_per_class=250)
    found = Inventory(data)
    test = {int(index) for index, split in zip(found.indices, found.splits, strict=True) if split == "test"}
    big = {int(index) for index, split in zip(found.indices, found.splits, strict=True) if split == "big"}
    assert test == set(data.test.tolist())
    assert big == set(data.big.tolist())
    assert found.lines([])["splits"] == "train 1,250, test 1,250, big 2,500"
    assert found.names[:2] == ["0", "1"]
    assert found.ignored() == []


def test_only_chosen_classes_are_audited():
    found = Inventory(MNIST5k(big=[], small=[1, 7]))
    assert len(found.indices) == 1000
    said = found.lines([])
    assert said["images"] == "1,000 of 5,000 (4,000 of classes that are not chosen)"
    assert said["classes"] == "2: 1 500, 7 500"


def test_domains_are_counted_with_their_classes_and_are_the_splits_of_training(tmp_path: Path):
    table = write_sites(tmp_path)
    data = split(tmp_path, big_domain="west", test_per_class=5)
    said = Inventory(data).lines([])
    assert said["domains"] == "south 30 (a 15, b 15), west 30 (a 15, b 15)"
    assert said["splits"] == "train 20, test 10, big 30"
    assert said["images"] == "60 of 90 (30 of classes or domains that are not chosen)"
    table[table["site"] != "west"].to_csv(tmp_path / "labels.csv", index=False)
    counted = Inventory(split(tmp_path, small_domain=None)).lines([])
    assert counted["domains"] == "north 30 (a 15, b 15), south 30 (a 15, b 15)"
