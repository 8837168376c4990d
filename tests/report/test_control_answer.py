"""The sentence that compares backbones with mean color and a thumbnail."""

from pathlib import Path

import pytest
from scipy import stats

from graft.report.control_answer import control_answer
from graft.report.leaderboard import rank_jobs
from graft.results.records import Record

HIGH, LOW = [0.80, 0.81, 0.82, 0.83, 0.84, 0.85], [0.70, 0.72, 0.71, 0.74, 0.75, 0.74]
SIMILAR = [0.71, 0.70, 0.73, 0.72, 0.76, 0.75]
OWN = {"thumbnail": "graft.backbone.Thumbnail", "vgg16": "graft.backbone.VGG16"}


def record(option: str, accuracies: list[float], head: str = "solved", model: str | None = None, **dataset) -> Record:
    trials = [{"seed": seed, "accuracy": accuracy} for seed, accuracy in enumerate(accuracies)]
    backbone = {"_target_": OWN.get(option, "graft.backbone_torchvision.Torchvision"), "model": model or option}
    if option in OWN:
        del backbone["model"]
    name = f"{model or option} {head} {dataset or ''}"
    config = {"backbone": backbone, "dataset": dataset}
    return Record(name, {"trials": trials, "config": config}, Path(name), {"backbone": option}, label=name)


CONTROL = record("thumbnail", LOW)


@pytest.mark.parametrize(
    ("jobs", "said"),
    [
        ([record("vgg16", HIGH)], "vgg16 is better than a control, mean color and an 8x8 thumbnail (72.7 %) (paired"),
        ([record("vgg16", HIGH), record("resnet18", HIGH)], "resnet18 and vgg16 are better than a control, "),
        ([record(name, HIGH) for name in ("vgg16", "a", "b")], "All 3 backbones are better than a control, "),
        ([record("vgg16", HIGH), record("resnet18", SIMILAR)], "Not shown to be better than a control, mean color and"),
        ([record("vgg16", [1 - value for value in HIGH])], "Not shown to be better than a control, "),
        ([record("vgg16", HIGH[:2])], "Nothing was tested against a control, "),
    ],
)
def test_backbones_that_are_not_better_are_named(jobs: list[Record], said: str):
    (sentence,) = control_answer(rank_jobs([*jobs, CONTROL]))
    assert sentence.startswith(said)


def test_only_those_that_are_not_better_are_named_by_their_networks():
    jobs = [record("timm", SIMILAR, model="resnet18.a1_in1k"), record("vit_b_16", SIMILAR), record("vgg16", HIGH)]
    (sentence,) = control_answer(rank_jobs([*jobs, CONTROL]))
    assert sentence.endswith(": resnet18.a1_in1k and vit b 16 (paired tests, corrected for 3 comparisons).") or (
        sentence.endswith(": vit b 16 and resnet18.a1_in1k (paired tests, corrected for 3 comparisons).")
    )


def test_one_job_that_is_better_is_enough():
    jobs = [record("vgg16", HIGH), record("vgg16", SIMILAR, head="knn")]
    (sentence,) = control_answer(rank_jobs([*jobs, CONTROL]))
    assert sentence.startswith("vgg16 is better")
    assert "corrected for 2 comparisons" in sentence


def test_a_single_comparison_is_the_paired_t_test():
    near = [value + add for value, add in zip(LOW, (0.02, -0.005, 0.015, 0.01, -0.002, 0.02), strict=True)]
    found = stats.ttest_rel(near, LOW).pvalue
    (sentence,) = control_answer(rank_jobs([record("vgg16", near), CONTROL]))
    assert sentence.startswith("vgg16 is better" if found < 0.05 else "Not shown to be better")


def test_jobs_are_compared_on_the_same_data_however_it_is_prepared():
    control = record("thumbnail", LOW, small_per_class=5)
    jobs = [record("vgg16", HIGH, small_per_class=5, size=32), record("resnet18", HIGH, small_per_class=9)]
    (sentence,) = control_answer(rank_jobs([*jobs, control]))
    assert sentence.startswith("vgg16 is better")


def test_without_a_control_or_another_backbone_nothing_is_said():
    assert control_answer(rank_jobs([record("vgg16", HIGH), record("resnet18", LOW)])) == []
    assert control_answer(rank_jobs([CONTROL])) == []
    assert control_answer(rank_jobs([])) == []
