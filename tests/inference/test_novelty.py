from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch import nn

from graft.data.datamodule import SmallDataModule
from graft.data.dataset import MNIST5k
from graft.data.preprocess import Preprocess
from graft.errors import GraftError
from graft.inference import novelty
from graft.inference.novelty import NOVELTY, Novelty, direction, known_features, read_novelty, write_novelty
from graft.training.features import FeatureStore


def test_novelty_is_the_mean_distance_to_the_nearest_training_images():
    known, others = torch.rand(99, 7), torch.rand(20, 7)
    model = Novelty(known)
    unit = [nn.functional.normalize(each).numpy() for each in (known, others)]
    nearest = NearestNeighbors(n_neighbors=5, algorithm="brute").fit(unit[0])
    left_out, _ = nearest.kneighbors()  # without an image itself
    expected = np.sort(left_out.mean(1))[94]  # the 95th of 99: 0.95 * 100
    assert model.threshold == pytest.approx(expected, rel=1e-4)
    distances, _ = nearest.kneighbors(unit[1])
    np.testing.assert_allclose(model.scores(others), distances.mean(1) / expected, rtol=1e-3)


def test_one_in_twenty_images_of_the_same_kind_is_novel_and_others_are_all():
    same = torch.randn(4, 300, 16) + 3
    share = [float((Novelty(part).scores(torch.randn(2000, 16) + 3) > 1).float().mean()) for part in same]
    assert np.mean(share) == pytest.approx(0.05, abs=0.02)
    assert (Novelty(same[0]).scores(torch.randn(100, 16) - 3) > 1).all()


def test_large_feature_maps_are_averaged_and_small_ones_kept():
    maps = torch.rand(2, 300, 3, 3)
    torch.testing.assert_close(direction(maps), nn.functional.normalize(maps.mean((2, 3))))
    torch.testing.assert_close(direction(maps[:, :20]), nn.functional.normalize(maps[:, :20].flatten(1)))


def frozen_stages() -> nn.Sequential:
    return nn.Sequential(Preprocess([1, 28, 28]), nn.MaxPool2d(4), nn.Flatten())


def test_a_job_s_features_are_those_of_its_training_images_in_equal_shares(
    digits: MNIST5k, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    module = SmallDataModule(digits, range(3), 10)
    store, frozen = FeatureStore(tmp_path, torch.device("cpu")), frozen_stages()
    trained = module.train_images[module.rows["train"].unique()]
    found = known_features(module, frozen, store)
    assert found is not None
    assert found.dtype == torch.float16
    expected = direction(store.features(frozen, digits.images, trained))
    assert sorted(found.float().sum(1).tolist()) == pytest.approx(sorted(expected.sum(1).tolist()), abs=5e-3)
    monkeypatch.setattr(novelty, "MAX_VALUES", 49 * 50)
    fewer = known_features(module, frozen, store)
    assert fewer is not None
    assert len(fewer) == 50
    nearest = (expected @ fewer.float().T).argmax(0)
    labels = digits.images.labels[trained][nearest]
    assert labels.bincount()[[1, 3, 5, 7, 9]].tolist() == pytest.approx([10] * 5, abs=3)
    monkeypatch.setattr(novelty, "MAX_VALUES", 49 * 19)
    assert known_features(module, frozen, store) is None


def test_a_job_s_file_is_read_again_and_is_small(tmp_path: Path):
    known = direction(torch.rand(30, 8))
    write_novelty(tmp_path, known.half())
    torch.testing.assert_close(read_novelty(tmp_path, 1).known, known, atol=1e-3, rtol=0)
    assert novelty.MAX_VALUES * 2 + 4096 < 2_000_000
    with pytest.raises(GraftError, match="of another model: 8 features, not 9"):
        read_novelty(tmp_path, 1).scores(torch.rand(2, 9))
    (tmp_path / NOVELTY).write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(GraftError, match="damaged"):
        read_novelty(tmp_path, 1)
    write_novelty(tmp_path, known[:19])
    with pytest.raises(GraftError, match="damaged"):
        read_novelty(tmp_path, 1)
    write_novelty(tmp_path, None)
    assert not (tmp_path / NOVELTY).exists()
    with pytest.raises(GraftError, match=r"jobs with fewer than 20 training images did not write; .* resume=false"):
        read_novelty(tmp_path, 1)
