"""The answer in words of all jobs below a folder."""

from collections.abc import Callable
from pathlib import Path

from graft.report.compare import compare_jobs


def test_jobs_whose_networks_predict_one_class_are_named(run: Callable[..., dict], tmp_path: Path):
    words = ("source=scratch", "dropout=0", "trials=2", "dataset.test_per_class=20", "test_curve=false")
    run(*words, "epochs=5", name="relu")
    said = "Networks that predict one class for every test image have learned nothing: "
    assert not any(said in sentence for sentence in compare_jobs([tmp_path]).sentences)
    run(*words, "epochs=1", "activation=sigmoid", name="sigmoid")
    (sentence,) = [sentence for sentence in compare_jobs([tmp_path]).sentences if said in sentence]
    assert sentence.removeprefix(said).endswith("sigmoid with epochs 1 (2 of 2 trials).")
    assert "relu" not in sentence
