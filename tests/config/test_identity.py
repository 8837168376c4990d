"""What identifies jobs and pre-trainings.

The literals were recorded at 7345b70, before modules moved into rooms, and again when version 0.2.0 of the results gave
each trial its own dropout masks.
"""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from graft.config.build import to_plain
from graft.config.identity import (
    check_existing_result,
    choices,
    content_digests,
    job_identity,
    result_config,
    without_hydra,
)
from graft.errors import GraftError, OtherResult
from graft.run.make_plan import make_plan
from graft.seed import seeded
from graft.training.source import Big

Configure = Callable[..., DictConfig]
DIGITS = tuple("0123456789")


def not_read() -> str:
    pytest.fail("the images are read, though they decide nothing")


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
        assert plan.source.key(network, plan.data, trainer) == "cnn-af7c97c5aeb24197271260ab"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "same"),
    [
        (["trials_at_once=1"], True),
        (["resume=true"], True),
        (["report.baseline=source:scratch"], True),
        (["report.margin=1"], True),
        (["report.figures=[svg,pdf]"], True),
        (["trainer=ddp", "trainer.devices=2"], True),
        (["trainer.accelerator=cpu"], True),
        (["trainer.precision=bf16-mixed"], False),
        (["trainer.accumulate_grad_batches=2"], False),
        (["seed=1"], False),
        (["trials_vary=data"], False),
        (["trials_vary=init"], False),
        (["trials=16"], False),
        (["trials=auto"], False),
        (["trials_min=5", "trials_max=50"], True),  # without trials=auto
        (["test_curve=false"], False),
        (["logger=none"], True),
        (["logger=[tensorboard,csv]"], True),
        (["stop.patience=5"], False),
        (["stop.min_delta=0.1"], True),  # without patience
        (["weights=best"], False),
        (["frozen_precision=bf16-mixed"], False),
        (["+callbacks.x._target_=mypkg.X"], False),
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


def test_the_least_and_the_most_trials_are_part_of_the_identity_with_trials_auto(configure: Configure):
    least, most = (to_plain(configure("trials=auto", words)) for words in ("trials_min=7", "trials_max=70"))
    identities = {job_identity(each, "images") for each in (to_plain(configure("trials=auto")), least, most)}
    assert len(identities) == 3


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


@pytest.mark.parametrize("typed", [[], ["trials_vary"]])
def test_results_without_trials_vary_have_trials_that_vary_in_all(
    configure: Configure, tmp_path: Path, typed: list[str]
):
    default, other = to_plain(configure()), to_plain(configure("trials_vary=init"))
    old = {key: value for key, value in default.items() if key != "trials_vary"}
    assert job_identity(old, "images") == job_identity(default, "images") != job_identity(other, "images")
    check_existing_result(default, written(tmp_path / "x", old), lambda: "images", typed)
    check_existing_result(old, written(tmp_path / "x", default), lambda: "images")
    for first, second in ((old, other), (other, old), (default, other), (other, default)):
        with pytest.raises(GraftError, match=r"another configuration \(trials_vary differ\)"):
            check_existing_result(second, written(tmp_path / "x", first), lambda: "images", typed)


def test_results_without_newer_keys_are_those_of_their_defaults(configure: Configure, tmp_path: Path):
    default = to_plain(configure())
    newer = ("stop", "weights", "frozen_precision", "callbacks", "logger")
    old = {key: value for key, value in default.items() if key not in newer}
    assert job_identity(old, "images") == job_identity(default, "images")
    check_existing_result(default, written(tmp_path / "x", old), not_read)
    for words, key in (
        (["stop.patience=5"], "stop.patience"),
        (["weights=best"], "weights"),
        (["+callbacks.x._target_=mypkg.X"], "callbacks.x._target_"),
    ):
        other = to_plain(configure(*words))
        for first, second in ((old, other), (other, old), (default, other), (other, default)):
            with pytest.raises(OtherResult, match=rf"another configuration \({re.escape(key)}[^)]* differ\)"):
                check_existing_result(second, written(tmp_path / "x", first), not_read)
    one, two = (to_plain(configure("+callbacks.x._target_=mypkg.X", f"+callbacks.x.size={size}")) for size in (1, 2))
    assert job_identity(one, "images") != job_identity(two, "images")


def test_a_damaged_result_is_no_other_configuration_s(configure: Configure, tmp_path: Path):
    config = to_plain(configure())
    check_existing_result(config, tmp_path, not_read)
    for damaged in ("", "{}", "[]", '{"config": {"see'):
        (tmp_path / "result.json").write_text(damaged)
        check_existing_result(config, tmp_path, not_read)


def test_a_key_that_an_older_result_does_not_know_is_no_difference(configure: Configure, tmp_path: Path):
    cfg = configure("tune=full")
    old = to_plain(cfg)
    del old["tune"]["batch_norm"]
    (tmp_path / "result.json").write_text(json.dumps({"config": old}))
    check_existing_result(to_plain(cfg), tmp_path, not_read)
    old["head"]["_target_"] = "graft.head.Dense"
    (tmp_path / "result.json").write_text(json.dumps({"config": old}))
    with pytest.raises(GraftError, match=r"another configuration \(head\._target_ differ\)"):
        check_existing_result(to_plain(cfg), tmp_path, not_read)


def written(folder: Path, config: dict, **contents: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(json.dumps({"config": config, "contents": contents}))
    return folder


@pytest.mark.parametrize(
    ("first", "second", "key"),
    [
        ([], ["+optimizer.amsgrad=true"], "optimizer.amsgrad"),
        (["+optimizer.amsgrad=true"], [], "optimizer.amsgrad"),
        ([], ["~optimizer.fused"], "optimizer.fused"),
        (["~optimizer.fused"], [], "optimizer.fused"),
        ([], ["+trainer.max_steps=5"], "trainer.max_steps"),
        (["+trainer.max_steps=5"], [], "trainer.max_steps"),
        ([], ["+source.optimizer.weight_decay=0.1"], "source.optimizer.weight_decay"),
        ([], ["+source.head.input_dropout=0.5"], "source.head.input_dropout"),
    ],
)
def test_a_key_that_only_one_of_two_configurations_has_is_a_difference(
    configure: Configure, tmp_path: Path, first: list[str], second: list[str], key: str
):
    folder = written(tmp_path / "x", to_plain(configure(*first)))
    typed = [word.lstrip("+~").split("=")[0] for word in second]
    with pytest.raises(GraftError, match=rf"another configuration \({re.escape(key)} differ\)"):
        check_existing_result(to_plain(configure(*second)), folder, not_read, typed)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (["+optimizer.amsgrad=false"], []),
        ([], ["+optimizer.amsgrad=false"]),
        (["dropout=0.50"], ["dropout=0.5"]),
        (["lr=1e-3"], ["lr=0.001"]),
        (["lr=1"], ["lr=1.0"]),
        (["regularize.mixup=1"], ["regularize.mixup=1.0"]),
        (["regularize.ema=0"], ["regularize.ema=0.0"]),
        (["augment=digits", "augment.rotate=15.0"], ["augment=digits"]),
        (["head=dense", "head.widths=[512]"], ["head=dense", "head.widths=[ 512 ]"]),
        (["optimizer.betas=[0,0.999]"], ["optimizer.betas=[0.0,0.999]"]),
        (["dataset.small=[1,3]", "dataset.big=[0]"], ["dataset.small=['1', '3']", "dataset.big=['0']"]),
        (["trainer.accelerator=cpu"], []),
    ],
)
def test_one_configuration_is_one_job_however_it_was_typed(
    configure: Configure, tmp_path: Path, first: list[str], second: list[str]
):
    one, other = to_plain(configure(*first)), to_plain(configure(*second))
    check_existing_result(other, written(tmp_path / "x", one, classes=DIGITS), not_read)
    if "amsgrad" not in "".join([*first, *second]):
        assert job_identity(one, "images", DIGITS) == job_identity(other, "images", DIGITS)


def test_a_whole_number_and_a_fraction_of_batches_stay_two_jobs(configure: Configure):
    one, share = (to_plain(configure(f"+trainer.limit_train_batches={limit}")) for limit in ("1", "1.0"))
    assert job_identity(one, "images") != job_identity(share, "images")


def test_classes_are_the_same_by_name_and_by_number(configure: Configure, tmp_path: Path):
    classes = ["bird", "cat", "dog"]
    named, numbered, other = (
        to_plain(configure("dataset=image_folder", "dataset.root=x", f"dataset.small={small}"))
        for small in ("[cat,dog]", "[1,2]", "[dog,cat]")
    )
    assert job_identity(named, "images", classes) == job_identity(numbered, "images", classes)
    assert job_identity(named, "images", classes) != job_identity(other, "images", classes)
    check_existing_result(numbered, written(tmp_path / "x", named, classes=classes), not_read)
    with pytest.raises(GraftError, match=r"dataset\.small differ"):
        check_existing_result(other, tmp_path / "x", not_read)


def test_a_file_is_its_content_whatever_its_name(configure: Configure, tmp_path: Path):
    for name, content in (("a", b"one"), ("copy", b"one"), ("b", b"two")):
        (tmp_path / name).write_bytes(content)

    def at(name: str) -> dict:
        return to_plain(configure("source=file", f"source.path={tmp_path}/{name}"))

    def identity(name: str) -> str:
        return job_identity(at(name), "images", (), content_digests(at(name)))

    first = identity("a")
    assert content_digests(at("a")) == {"source.path": hashlib.blake2b(b"one").hexdigest()[:32]}
    assert content_digests(at("nowhere")) == {}
    assert identity("copy") == first != identity("b")
    folder = written(tmp_path / "x", at("a"), files=content_digests(at("a")))
    check_existing_result(at("copy"), folder, not_read)
    with pytest.raises(GraftError, match=r"source\.path differ"):
        check_existing_result(at("b"), folder, not_read)
    (tmp_path / "a").write_bytes(b"two")
    check_existing_result(at("a"), folder, not_read)  # no other configuration, but another job: it runs again
    assert identity("a") == identity("b") != first


def test_a_class_of_the_user_s_own_is_its_source(configure: Configure, edit: Callable[[str], None], tmp_path: Path):
    def identity(*overrides: str) -> str:
        config = to_plain(configure(*overrides))
        return job_identity(config, "images", (), content_digests(config))

    edit("class Wide: pass\nclass Deep:\n  class Inner: pass\n")
    plain, wide = identity(), identity("head._target_=ours.Wide")
    inner = identity("head._target_=ours.Deep.Inner")
    assert len({plain, wide, inner, identity("head._target_=ours.Deep")}) == 4
    callback = identity("+callbacks.mine._target_=ours.Wide")
    config = to_plain(configure("head._target_=ours.Wide"))
    folder = written(tmp_path / "x", config, files=content_digests(config))
    edit("class Wide: size = 2\nclass Deep:\n  class Inner: pass\n")
    assert identity() == plain
    assert wide != identity("head._target_=ours.Wide")
    assert callback != identity("+callbacks.mine._target_=ours.Wide")
    assert inner != identity("head._target_=ours.Deep.Inner")
    check_existing_result(config, folder, not_read)  # no other configuration, but another job: it runs again
    with pytest.raises(GraftError, match=r"head\._target_ differ"):
        check_existing_result(to_plain(configure("head._target_=ours.Deep")), folder, not_read)


def test_a_word_of_graft_s_own_is_no_file_even_where_one_is_called_so(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    for name in ("weights", "relu", "DEFAULT", "mine.txt"):
        (tmp_path / name).touch()
    config = to_plain(configure("source=imagenet", "backbone=resnet18", "+head.notes=mine.txt"))
    assert list(content_digests(config)) == ["head.notes"]


def test_a_file_that_cannot_be_read_is_named(configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "w").touch()
    monkeypatch.setattr("graft.content.digest", lambda path: path.open("rb" if path.name != "w" else "x"))
    with pytest.raises(GraftError, match=r"/w cannot be read \(File exists\); try a copy"):
        content_digests(to_plain(configure("source=file", f"source.path={tmp_path}/w")))


def test_a_data_set_is_its_images_wherever_they_are(configure: Configure, tmp_path: Path):
    def at(root: str, *words: str) -> dict:
        return to_plain(configure("dataset=image_folder", f"dataset.root={root}", *words))

    one, two = at("one"), at("two")
    assert job_identity(one, "images") == job_identity(two, "images") != job_identity(one, "others")
    folder = written(tmp_path / "x", one, images="images")
    check_existing_result(two, folder, lambda: "images")
    with pytest.raises(OtherResult, match=r"\(dataset\.root differ\)"):
        check_existing_result(two, folder, lambda: "others")
    with pytest.raises(OtherResult, match=r"\(dataset\.root differ\)"):
        check_existing_result(two, written(tmp_path / "old", one), lambda: "images")  # of an older version
    with pytest.raises(OtherResult, match=r"dataset\.root.* lr.* differ"):
        check_existing_result(at("two", "lr=0.1"), folder, not_read)


def test_torchvision_s_data_sets_are_their_images_too(configure: Configure):
    default, moved, offline = (
        to_plain(configure("dataset=mnist", *words)) for words in ([], ["dataset.root=x"], ["dataset.download=false"])
    )
    assert len({job_identity(each, "images") for each in (default, moved, offline)}) == 1
    assert (
        job_identity(default, "images") == "1162af82c8df4671983ac52b"
    )  # with version 0.1.0 f4a2b278cfdd5b13286bce26, as at 7345b70


@pytest.mark.parametrize(
    ("group", "key", "value"),
    [("dataset", "folds", "5"), ("dataset", "interpolation", "bicubic"), ("tune", "lr_factor", "0.1")],
)
def test_a_newer_key_is_part_of_the_identity_and_its_absence_is_not(
    configure: Configure, group: str, key: str, value: str
):
    plain, changed = (to_plain(configure(*overrides)) for overrides in ([], [f"{group}.{key}={value}"]))
    assert plain[group][key] in (None, 1.0)
    older = {**plain, group: {name: each for name, each in plain[group].items() if name != key}}
    assert job_identity(plain, "images") == job_identity(older, "images") != job_identity(changed, "images")


def test_a_table_without_domains_is_what_it_was_before_they_came(configure: Configure, tmp_path: Path):
    table = ["dataset=table", "dataset.file=labels.csv", "source=scratch"]
    default = to_plain(configure(*table))
    keys = ("domain", "big_domain", "small_domain")
    old = {**default, "dataset": {key: value for key, value in default["dataset"].items() if key not in keys}}
    assert job_identity(old, "images") == job_identity(default, "images")
    check_existing_result(default, written(tmp_path / "x", old), not_read)
    check_existing_result(old, written(tmp_path / "y", default), not_read)
    words = ("small_domain=A", "small_domain=B", "small_domain=[A,B]", "small_domain=A dataset.big_domain=C")
    domains = [to_plain(configure(*table, "dataset.domain=site", *f"dataset.{each}".split())) for each in words]
    assert len({job_identity(each, "images") for each in (default, *domains)}) == 5
    with pytest.raises(OtherResult, match=r"dataset.small_domain"):
        check_existing_result(domains[0], written(tmp_path / "z", old), lambda: "images")
    renamed = to_plain(configure(*table, "dataset.domain=ward", "dataset.small_domain=[A]"))
    assert job_identity(renamed, "images") == job_identity(domains[0], "images")  # the images have the domains
