"""The command line, as a user meets it."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas
import pytest
from conftest import ROOT

from graft.errors import GraftError

Train = Callable[..., subprocess.CompletedProcess[str]]
TINY = ("trials=2", "epochs=2", "source.epochs=1")


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 1
    assert "Traceback" not in done.stderr + done.stdout
    for word in words:
        assert word in done.stderr + done.stdout


def test_help_names_the_groups_and_imports_nothing_heavy():
    script = f"""
import atexit, runpy, sys
atexit.register(lambda: print("HEAVY" if "torch" in sys.modules else "LIGHT"))
sys.argv = ["train.py", "--help"]
runpy.run_path({str(ROOT / "src/train.py")!r}, run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "LIGHT" in done.stdout
    assert re.search(r"  head.dropout=\$\{dropout\} +dropout rate before the output layer, in \[0, 1\)\n", done.stdout)
    assert (
        "head: dense, dense512, kernel_ridge, knn, lda, logistic, nearest_mean, plain, ridge, solved, svm"
        in done.stdout
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trails=3"], "no key trails; did you mean trials?"),
        (["+dropout=0.5"], "dropout exists, and + adds a new key; try dropout= without +"),
        (["=3"], "=3 has no key"),
        (["dropout=0", "dropout=0.5"], "dropout is typed twice, as 0 and 0.5"),
        (["dropout=${lr2}"], "dropout refers to a key that has no value"),
        (["~dropout"], "dropout must be given, got nothing; try the command without ~dropout"),
        (["hydra/launcher=foo"], "no option foo for hydra/launcher; there are basic"),
        (["experiment=best_mnist"], "no option best_mnist for experiment; did you mean best_mnist100?"),
        (["--config-dir", "nope"], "nope' not found"),
        (["--experimental-rerun", "nope"], "File nope does not exist!"),
        (["hydra.run.dir=file"], "cannot write to file (File exists), seen from "),
        (["-m", "trials=range(1,5,0)"], "trials=range(1,5,0) cannot be listed"),
        (["+droput=0.5"], "droput must be left out, because there is no such key, got 0.5; try dropout="),
        (["head=dens"], "no option dens for head; did you mean dense?"),
        (["dropout=1.5"], "dropout must be in [0, 1), got 1.5; try dropout=0.5"),
        (["epochs=-1"], "epochs must be a whole number of at least 1, got -1"),
        (["trials=0"], "trials must be auto or a whole number of at least 1"),
        (["trials=auto", "trials_min=1"], "trials_min must be a whole number of at least 2, got 1"),
        (["-m", "trials=auto,15"], "trials=auto cannot be swept, because it compares all jobs of the sweep"),
        (["regularize.clip=true"], "regularize.clip must be null or a number above 0, got true"),
        (["head=ridge", "tune=full"], "tune.thaw must be 0 with head=ridge"),
        (["trainer=ddp", "trainer.devices=2", "batch_size=1"], "batch_size must be at least 2 with 2 devices"),
        (["dataset.small=[2,3]"], "dataset.big must be without classes of dataset.small=[2,3]"),
        (["hydra.run.dir=file/run"], "cannot write to file/run (Not a directory)"),
        (["cache=file/cache"], "cannot write to file/cache (Not a directory)"),
        (["-m", "dropout=0,1.5"], "dropout must be in [0, 1), got 1.5"),
        (["-m", "activation=relu,rleu"], "activation must be relu, tanh, sigmoid or gelu, got rleu"),
        (["-m", "head=plain,dens"], "no option dens for head; did you mean dense?"),
        (["-m", "head=glob(x*)"], "this sweep has no jobs"),
        (["-m", "name=a,b"], "name= cannot be swept"),
        (["-m", "+hydra.sweeper.params={dropout:'0,1.5'}"], "hydra.sweeper.params is not checked; try its keys"),
        (["report.baseline=scratch"], "report.baseline must be null or the key and value of one of the jobs"),
        (["-m", "head=plain,dense", "report.baseline=head:dense512"], "these jobs differ in head:dense, head:plain"),
    ],
)
def test_bad_configurations_are_refused_before_anything_is_made(
    train: Train, tmp_path: Path, words: list[str], message: str
):
    (tmp_path / "file").touch()
    done = train(*words)
    refused(done, message)
    assert "HYDRA_FULL_ERROR" not in done.stderr
    assert not list(tmp_path.rglob("*.json"))
    assert not list(tmp_path.rglob("config.yaml"))


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        (["dataset.small_per_class=999"], ["at most 250, the images to draw from class 1"]),
        (["dataset=mnist", "dataset.root=no", "dataset.download=false"], ["dataset.root=no", "dataset=mnist5k"]),
        (["source=file", "source.path=no.safetensors"], ["source.path=no.safetensors does not exist"]),
        (["backbone.keep=3"], ["backbone.keep must be from 0 to 2"]),
        (["source=imagenet"], ["CNN has no published weights; try source=big, or backbone=vgg16"]),
        (["backbone=vgg16", "source=imagenet", "source.weights=V3"], ["source.weights must be one of IMAGENET1K_V1"]),
        (["backbone=vgg16"], ["takes images from 32x32 pixels up, got 28x28; try dataset.size=32, or dataset.pad=2"]),
        (["dataset=image_folder", "dataset.root=no", "source=scratch"], ["dataset.root=no is not a folder"]),
        (
            ["experiment=lecture_mnist_vgg16_plain", "source=big"],
            ["source.weights must be an argument of graft.source.Big", "try ~source.weights"],
        ),
    ],
)
def test_what_the_data_or_files_do_not_allow_is_refused_before_training(
    run: Callable[..., dict], tmp_path: Path, words: list[str], messages: list[str]
):
    with pytest.raises(GraftError) as error:
        run(*words)
    assert all(message in str(error.value) for message in messages)
    assert not list(tmp_path.rglob("result.json"))
    assert not list(tmp_path.rglob("pretrained/*"))


@pytest.mark.slow
def test_what_only_the_data_tell_ends_without_a_traceback(train: Train, tmp_path: Path):
    refused(train("dataset.small_per_class=999"), "at most 250, the images to draw from class 1")
    assert not list(tmp_path.rglob("result.json"))


@pytest.mark.slow
def test_a_path_is_read_as_it_was_typed(train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for typed, meant in (("~/Küche=1", tmp_path / "Küche=1"), ("Anna's & (2)", "Anna's & (2)")):
        done = train("source=file", f"source.path={typed}", "name=x")
        refused(done, f"source.path={meant} does not exist")


@pytest.mark.slow
def test_an_error_in_code_of_the_user_s_own_is_told_with_its_line(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    source = (
        "from pytorch_lightning import Callback\nclass Raises(Callback):\n  def on_fit_end(self, *_):\n    {}['lost']\n"
    )
    (tmp_path / "mine.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'src'}:{tmp_path}")
    words = ("+callbacks.mine._target_=mine.Raises", "source=scratch", *TINY[:2])
    for command in (words, ("-m", *words, "seed=0,1")):
        done = train(*command)
        said = done.stdout + done.stderr
        assert done.returncode == 1
        assert f"code of your own failed in {tmp_path}/mine.py, line 4; finished work is kept:" in said
        assert "KeyError: 'lost'" in said


def test_one_job_leaves_its_files_and_says_its_answer(train: Train, tmp_path: Path):
    done = train(*TINY, "name=first", "width=64")
    assert done.returncode == 0, done.stderr
    assert "width=64 has no effect: none of the chosen options uses it" in done.stderr
    folder = tmp_path / "outputs" / "first"
    result = json.loads((folder / "result.json").read_text())
    assert f"{100 * result['accuracy']['mean']:.1f} %" in done.stdout
    assert result["parameters"] == {"total": 26_821, "trainable": 8_005, "frozen": 18_816}
    assert "Non-trainable params" not in done.stdout + done.stderr  # the answer's parameters are enough
    files = {path.name for path in folder.iterdir()}
    assert files >= {
        "history.csv",
        "curves.png",
        "confusion.png",
        "reliability.png",
        "per_class.csv",
        "confusion.csv",
        "mistakes.csv",
        "label_suspects.csv",
        "weights.safetensors",
        "model.yaml",
        ".hydra",
        "tensorboard",
        "train.log",
    }
    assert list((folder / "tensorboard" / "first").glob("events*"))

    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    refused(
        train(*TINY, "name=first", "dropout=0"),
        "has the result of another configuration (head.dropout, dropout, width differ)",
    )
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_sweep_shares_its_work_and_ends_in_a_ranked_table(train: Train, tmp_path: Path):
    done = train("-m", "head=dense512,plain", "dropout=0,0.5", *TINY)
    assert done.returncode == 0, done.stderr
    assert (done.stdout + done.stderr).count("pre-trained on") == 1
    assert len(list((tmp_path / "outputs/cache/features").rglob("*.safetensors"))) == 1
    (folder,) = [path for path in (tmp_path / "outputs").iterdir() if path.name != "cache"]
    assert folder.name == "head=dense512,plain_dropout=0,0.5_trials=2_epochs=2_source.epochs=1"
    table = pandas.read_csv(folder / "leaderboard.csv")
    jobs = {f"head={head}_dropout={rate}" for head in ("dense512", "plain") for rate in ("0", "0.5")}
    assert set(table["job"]) == {*jobs, "head=solved_baseline=self"}
    assert re.search(r"head=solved \(base", done.stdout)  # the table may break the line
    assert "what is solved at once" in done.stdout
    assert table["accuracy"].is_monotonic_decreasing
    for job, mean in zip(table["job"], table["accuracy"], strict=True):
        assert json.loads((folder / job / "result.json").read_text())["accuracy"]["mean"] == pytest.approx(mean)
        assert job.partition("_base")[0] in done.stdout
        assert job.replace("_baseline=self", " (baseline)") in (folder / "leaderboard.md").read_text()


def test_a_failing_job_is_reported_and_leaves_the_others_alone(train: Train, tmp_path: Path):
    done = train("-m", "dataset.small_per_class=5,999", "name=sweep", *TINY)
    refused(done, "failed dataset.small_per_class=999: dataset.small_per_class must be at most 250")
    folder = tmp_path / "outputs" / "sweep"
    assert (folder / "dataset.small_per_class=5" / "result.json").exists()
    failed = folder / "dataset.small_per_class=999"
    assert "at most 250" in json.loads((failed / "failure.json").read_text())["error"]
    assert "at most 250" in (failed / "train.log").read_text()
    ranked = {"dataset.small_per_class=5", "dataset.small_per_class=5_head=solved_baseline=self"}
    assert set(pandas.read_csv(folder / "leaderboard.csv")["job"]) == ranked


@pytest.mark.slow
def test_a_backbone_without_published_weights_is_skipped_and_tried_again(train: Train, tmp_path: Path):
    folder = tmp_path / "outputs" / "sweep"
    before = folder / "backbone=cnn" / "failure.json"
    before.parent.mkdir(parents=True)
    before.write_text('{"error": "no route to host", "unavailable": "graft.backbone.CNN"}')  # of an earlier run
    done = train("-m", "backbone=cnn,thumbnail", "source=imagenet", "head=solved", "trials=2", "name=sweep")
    refused(
        done,
        "skipped backbone=cnn: CNN has no published weights; try source=big, or backbone=vgg16",
        "1 of 2 jobs was skipped: the backbone's weights could not be had.",
    )
    assert "no route" not in done.stdout + before.read_text()
    assert list(pandas.read_csv(folder / "leaderboard.csv")["job"]) == ["backbone=thumbnail"]


@pytest.mark.slow
def test_trial_runs_are_told_and_make_the_exit_status_non_zero(train: Train, tmp_path: Path):
    tiny = ("trials=2", "epochs=2", "source=scratch", "backbone.keep=0")
    reason = "a trial run: the test saw 167 of 1,250 images"
    refused(train("name=one", *tiny, "+trainer.limit_test_batches=1"), reason, "test 167")
    done = train("-m", "name=sweep", *tiny, "+trainer.limit_test_batches=1.0,1")
    refused(done, f"failed +trainer.limit_test_batches=1: {reason}")
    assert list(pandas.read_csv(tmp_path / "outputs/sweep/leaderboard.csv")["job"]) == [
        "+trainer.limit_test_batches=1.0"
    ]
    again = train("-m", "name=sweep", *tiny, "+trainer.limit_test_batches=1.0,1")
    refused(again, reason, "+trainer.limit_test_batches=1.0 is finished")


@pytest.mark.slow
def test_a_signal_in_a_fit_ends_it_with_one_line_and_its_exit_status(tmp_path: Path):
    words = ("source=scratch", "backbone.keep=0", "trials=2", "epochs=1000000", "test_curve=false", "name=long")
    command = [sys.executable, str(ROOT / "src" / "train.py"), *words]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    until = time.monotonic() + 120
    while (
        not list(tmp_path.rglob("events*")) and time.monotonic() < until
    ):  # the fit has begun, with Lightning's handler
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "stopped; the same command resumes with -m or resume=true" in said
    assert "Traceback" not in said
    assert not list(tmp_path.rglob("result.json"))


@pytest.mark.slow
def test_a_sweep_with_trials_auto_runs_in_rounds_and_a_second_run_adds_nothing(train: Train, tmp_path: Path):
    words = (
        "-m",
        "dropout=0,0.5",
        "trials=auto",
        "trials_min=2",
        "trials_max=3",
        "source=scratch",
        "epochs=2",
        "name=s",
    )
    done = train(*words)
    assert done.returncode == 0, done.stderr
    untested = "none of 2 configurations is decided, because a test needs 6 trials"
    assert f"round 1 of trials 0 to 1: {untested}, 2 go on" in done.stdout + done.stderr
    assert "trials=auto: 6 of at most 6 trials; " in done.stdout
    results = {path: path.read_bytes() for path in (tmp_path / "outputs" / "s").glob("*/result.json")}
    assert [len(json.loads(content)["trials"]) for content in results.values()] == [3, 3]
    again = train(*words)
    assert again.returncode == 0, again.stderr
    assert results == {path: path.read_bytes() for path in results}
    assert done.stdout.splitlines()[-1] == again.stdout.splitlines()[-1]
