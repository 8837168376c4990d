"""What identifies jobs and pre-trainings.

The literals were recorded at 7345b70, before modules moved into rooms, and again when version 0.2.0 of the results gave
each trial its own dropout masks.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from graft.config.build import to_plain
from graft.config.identity import check_existing_result, choices, job_identity, leaves, result_config, without_hydra
from graft.errors import GraftError
from graft.run.make_plan import make_plan
from graft.seed import seeded
from graft.training.source import Big

Configure = Callable[..., DictConfig]


@pytest.mark.parametrize(
    ("overrides", "identity"),
    [
        ([], "f21d618f609dc453289bf0a4"),
        (["head=dense512"], "7ab5f31293dae55d8812e873"),
        (["source=scratch", "tune=full"], "aac5072f654a8ccf0c3db666"),
        (["tune=thaw", "augment=digits", "regularize.ema=0.9", "schedule=cosine"], "988763444a13e6c6b9be4339"),
        (["backbone=resnet18", "source=scratch", "dataset.size=32"], "284aba350af81477870ca4ed"),
    ],
)
def test_jobs_keep_their_identity(configure: Configure, overrides: list[str], identity: str):
    cfg = configure("keep_weights=best", *overrides)
    assert job_identity(to_plain(cfg), make_plan(cfg).data.images.fingerprint) == identity


def test_the_default_pre_training_keeps_its_name(configure: Configure):
    plan = make_plan(configure())
    assert isinstance(plan.source, Big)
    with seeded(plan.source.seed, "pretrain"):
        network = plan.backbone()
        trainer = plan.trainer(max_epochs=plan.source.epochs, logger=False, limit_val_batches=0)
        assert plan.source.key(network, plan.data, trainer) == "cnn-c7f3e5b9f9a64e24c86f325a"


@pytest.mark.parametrize(
    ("overrides", "same"),
    [
        (["trials_at_once=1"], True),
        (["resume=true"], True),
        (["report.baseline=source:scratch"], True),
        (["trainer=ddp", "trainer.devices=2"], True),
        (["trainer.accelerator=cpu"], True),
        (["trainer.precision=bf16-mixed"], False),
        (["trainer.accumulate_grad_batches=2"], False),
        (["seed=1"], False),
        (["trials=16"], False),
        (["test_curve=false"], False),
    ],
)
def test_keys_that_change_results_only_by_rounding_are_not_part_of_the_identity(
    configure: Configure, overrides: list[str], same: bool
):
    default, other = (to_plain(configure(*words)) for words in ([], overrides))
    assert default != other
    assert (result_config(default) == result_config(other)) is same
    assert (job_identity(default, "images") == job_identity(other, "images")) is same
    assert job_identity(default, "images") != job_identity(default, "other images")


def test_the_identity_does_not_depend_on_the_folders_and_on_the_order_of_keys(configure: Configure):
    config = to_plain(configure())
    moved = {**config, "name": "elsewhere", "cache": "elsewhere"}
    assert job_identity(dict(reversed(moved.items())), "images") == job_identity(config, "images")


def test_hydra_s_part_is_left_out_and_its_choices_are_read():
    cfg = OmegaConf.create({
        "head": {"widths": [1]},
        "hydra": {"runtime": {"choices": {
            "tune": "auto", "head": "dense", "experiment": None, "sweep": "null", "hydra/launcher": "basic"}}},
    })  # fmt: skip
    assert without_hydra(cfg) == {"head": {"widths": [1]}}
    assert list(choices(cfg.hydra).items()) == [("head", "dense"), ("tune", "auto")]


def test_leaves_are_values_by_dotted_keys():
    assert leaves({"a": 1, "b": {"c": [2], "d": {"e": None}}, "f": {}}) == {"a": 1, "b.c": [2], "b.d.e": None}


def test_a_damaged_result_is_no_other_configuration_s(configure: Configure, tmp_path: Path):
    config = to_plain(configure())
    check_existing_result(config, tmp_path)
    for damaged in ("", "{}", "[]", '{"config": {"see'):
        (tmp_path / "result.json").write_text(damaged)
        check_existing_result(config, tmp_path)


def test_a_key_that_an_older_result_does_not_know_is_no_difference(configure: Configure, tmp_path: Path):
    cfg = configure("tune=full")
    old = to_plain(cfg)
    del old["tune"]["batch_norm"]
    (tmp_path / "result.json").write_text(json.dumps({"config": old}))
    check_existing_result(to_plain(cfg), tmp_path)
    old["head"]["_target_"] = "graft.head.Dense"
    (tmp_path / "result.json").write_text(json.dumps({"config": old}))
    with pytest.raises(GraftError, match=r"another configuration \(head\._target_ differ\)"):
        check_existing_result(to_plain(cfg), tmp_path)
