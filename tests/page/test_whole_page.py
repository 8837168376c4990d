"""The page: nothing is requested, every text is escaped, and each kind of result has a sensible page."""

import io
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from conftest import ROOT
from PIL import Image
from rich.console import Console
from stored_jobs import store_job

from graft.errors import GraftError
from graft.page import show_job
from graft.page.pictures import Explained, PagePictures
from graft.page.ranking import trials_in_words
from graft.page.show import show_alone, show_jobs, show_sweep
from graft.results import records
from graft.results.outcomes import read_outcomes
from graft.results.records import Record
from graft.run.outcome_writer import write_outcomes

VOID = {"meta", "img", "br", "wbr", "path", "circle", "rect", "link", "input"}
HOSTILE = "\"><script>alert(1)</script>\u202e'&amp; 猫 🐈\x07"


class Parsed(HTMLParser):
    """A page's elements with their attributes, its texts, and the faults of its structure."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == [], self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self.open += [] if tag in VOID else [tag]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag, (tag, self.open)

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def checked(path: Path) -> Parsed:
    """Return a page, after the checks that hold for every one."""
    text = path.read_text(encoding="utf-8")
    page = Parsed(text)
    assert text.startswith('<!DOCTYPE html>\n<html lang="en">')
    for name, attributes in page.elements:
        assert not [key for key in attributes if key.startswith("on") or key == "style"], name
        for key in ("src", "href", "srcset", "action", "data"):
            assert attributes.get(key, "#").startswith(("#", "data:image/")), (name, attributes[key][:50])
    assert not {"iframe", "link", "object", "form", "base"} & {name for name, _ in page.elements}
    assert len(page.all("script")) == 1
    policy = next(each["content"] for each in page.all("meta") if "http-equiv" in each)
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    levels = [int(name[1]) for name, _ in page.elements if re.fullmatch(r"h\d", name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {each["href"][1:] for each in page.all("a")} <= set(ids)
    assert all(each.get("alt") for each in page.all("img"))
    assert all(each.get("scope") in ("row", "col") for each in page.all("th"))
    assert all(each.get("role") == "img" and each.get("aria-label") for each in page.all("svg"))
    assert len(page.all("caption")) == len(page.all("table"))
    return page


def sweep(folder: Path, **more: Any) -> Path:
    for dropout, skill in (("0", 2.0), ("0.5", 1.8), ("0.9", 0.5)):
        store_job(folder, {"dropout": dropout}, skill=skill, **more)
    return folder


def test_a_sweep_s_page_has_all_sections(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    show_sweep(sweep(tmp_path))
    page = checked(tmp_path / "report.html")
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == f"page: {tmp_path}/report.html"
    headings = ("All jobs", "Paired differences", "Confusion matrix", "Classes", "The most certain mistakes")
    headings += (
        "Images on which the two best differ most",
        "Label suspects",
        "Reliability",
        "What was run",
        "What next",
    )
    for heading in headings:
        assert heading in page.words()
    assert "6 trials each (seeds 0 to 5), 60 test images" in page.words()
    assert "360 predictions: 6 trials, 60 test images" in page.words()
    assert "Trial k draws the same images under every configuration" in page.words()
    verdict = next(line for line in printed if "the highest mean" in line or "is best" in line)
    assert verdict in page.words()


def test_the_matrix_sums_all_trials_and_the_table_has_the_ranges(tmp_path: Path):
    job = store_job(tmp_path)
    show_sweep(tmp_path)
    page = checked(tmp_path / "report.html")
    from graft.results.outcomes import read_outcomes

    stored = read_outcomes(job)
    assert stored is not None
    titles = {each["title"] for each in page.all("td") if "title" in each}
    for true, name in enumerate(stored.classes):
        for said, other in enumerate(stored.classes):
            counts = ((stored.test.prediction == said) & (stored.test.label == true)).sum(1)
            what = f"{name} recognized" if true == said else f"{name} taken for {other}"
            (title,) = [each for each in titles if each.startswith(f"{what}: ")]
            assert f": {counts.sum()} of 120 predictions" in title.replace("never", "0")
            if counts.any():
                low, high = counts.min(), counts.max()
                assert title.endswith(f"; {low} a trial" if low == high else f"; {low} to {high} a trial")


def test_names_of_classes_are_whole_in_the_matrix(tmp_path: Path):
    store_job(tmp_path)
    show_sweep(tmp_path)
    style = (tmp_path / "report.html").read_text().partition("</style>")[0]
    cut, _, headers = style.partition("text-overflow: ellipsis; }")
    assert "table.matrix th, table.matrix td" in cut
    assert "table.matrix th { white-space: normal; overflow-wrap: break-word; }" in headers


def test_names_may_hold_anything(tmp_path: Path):
    classes = [HOSTILE, "b" * 300, "{{ 7 * 7 }}"]
    paths = [f"{HOSTILE}/{number}\n.png" for number in range(60)]
    for value in ("<b>x</b>", "javascript:alert(1)"):
        store_job(tmp_path, {"head": value}, classes, paths=paths, choices={"head": value})
    (tmp_path / "<i>").mkdir()
    (tmp_path / "<i>" / "failure.json").write_text(json.dumps({"error": "<script>alert(2)</script>\x07"}))
    show_sweep(tmp_path)
    page = checked(tmp_path / "report.html")
    assert not {"b", "i"} & {name for name, _ in page.elements}
    words = page.words()
    assert HOSTILE.replace("\x07", "\ufffd") in words
    assert "{{ 7 * 7 }}" in words
    assert "<script>alert(2)</script>\ufffd" in words


def thumbnail(record: Record, numbers: Sequence[int]) -> Mapping[int, bytes]:
    content = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(content, "PNG")
    return {number: content.getvalue() for number in numbers if number % 2}


@pytest.mark.slow
def test_pictures_stand_beside_the_images_that_callers_read(tmp_path: Path):
    sweep(tmp_path)

    def explanation(record: Record, numbers: Sequence[int]) -> Mapping[int, Explained]:
        return {number: Explained(content, "<dog>") for number, content in thumbnail(record, numbers).items()}

    show_sweep(tmp_path, pictures=PagePictures(thumbnail, explanation, always=True))
    page = checked(tmp_path / "report.html")
    alts = [each["alt"] for each in page.all("img")]
    shown = {alt for alt in alts if alt.endswith(".png")}
    assert shown
    assert all(int(Path(alt).stem) % 2 for alt in shown)
    assert {alt for alt in alts if alt.startswith("what the model looked at in ")}
    assert page.words().count("explained: <dog>") == len(alts) // 2
    assert re.search(r"\. \d+ of \d+ images are not explained, because they have changed since, or", page.words())
    show_sweep(tmp_path, pictures=PagePictures(thumbnail, lambda *_: {}, always=True))
    words = checked(tmp_path / "report.html").words()
    assert "The images are not explained, because they have changed since, or cannot be read." in words
    assert "not shown: the image has changed since, or cannot be read" in page.words()
    again = f"python src/report.py {tmp_path}"
    assert f"{again} --explain " in page.words()
    show_sweep(tmp_path, pictures=PagePictures(thumbnail, explanation))
    page = checked(tmp_path / "report.html")
    assert f"{again} " in page.words()
    assert "--explain" not in page.words()
    write_report_keys(tmp_path, explain=True)
    show_sweep(tmp_path, pictures=PagePictures(thumbnail, explanation))
    assert f"{again} --explain " in checked(tmp_path / "report.html").words()
    show_sweep(tmp_path)
    assert f"{again} --no-thumbnails " in checked(tmp_path / "report.html").words()


def write_report_keys(folder: Path, **keys: bool) -> None:
    """Write keys of `report` into the configurations of all jobs of a sweep."""
    for path in folder.rglob("result.json"):
        result = json.loads(path.read_text())
        path.write_text(json.dumps(result | {"config": result["config"] | {"report": keys}}))


def test_no_picture_is_shown_where_they_are_private_or_cannot_be_read(tmp_path: Path):
    def fails(record: Record, numbers: Sequence[int]) -> Mapping[int, bytes]:
        raise GraftError("no image is shown: there is no folder photos")

    sweep(tmp_path)
    show_sweep(tmp_path, pictures=PagePictures(fails))
    page = checked(tmp_path / "report.html")
    assert "there is no folder photos." in page.words()
    assert "cat / " in page.words()
    assert page.all("img") == []
    write_report_keys(tmp_path, thumbnails=False)
    show_sweep(tmp_path, pictures=PagePictures(thumbnail))
    page = checked(tmp_path / "report.html")
    assert page.all("img") == []
    assert "report.thumbnails=false: no image is shown." in page.words()


def test_a_page_that_cannot_be_made_leaves_the_answer_and_no_old_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    sweep(tmp_path)
    show_sweep(tmp_path)
    assert (tmp_path / "report.html").exists()

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("graft.page.whole_page.write_text", full)
    assert show_sweep(tmp_path) == {}  # the sweep's jobs are finished all the same
    said = capsys.readouterr().out
    again = f"mend this, and python src/report.py {tmp_path} makes it"
    assert said.endswith(f"report.html could not be made: no space left; {again}\n")
    assert said.count("ranked by test accuracy") == 2
    assert not (tmp_path / "report.html").exists()
    assert not show_jobs([tmp_path], tmp_path)


@pytest.mark.slow
def test_report_py_fails_if_there_is_no_page(tmp_path: Path):
    folder = store_job(tmp_path)
    (folder / "report.html").mkdir()
    command = [sys.executable, str(ROOT / "src" / "report.py"), str(folder)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "there is nothing to compare it with" in done.stdout
    assert "report.html could not be made: " in done.stdout.splitlines()[-1]
    assert done.stderr == ""


def test_the_terminal_ends_with_a_link_to_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    written = io.StringIO()
    monkeypatch.setattr("graft.page.show.terminal", lambda: Console(file=written, force_terminal=True, markup=False))
    show_sweep(sweep(tmp_path / "[bold] name"))
    last = written.getvalue().splitlines()[-1]
    assert f";file://{tmp_path}/%5Bbold%5D%20name/report.html\x1b" in last
    assert f"{tmp_path}/[bold] name/report.html" in last


def test_a_budget_sweep_says_what_more_images_brought(tmp_path: Path):
    for budget, skill in ((1, 0.5), (5, 1.5), (20, 3.0)):
        for source in ("big", "scratch"):
            name = {"source": source, "dataset.small_per_class": str(budget)}
            store_job(tmp_path, name, skill=skill - 0.5 * (source == "scratch"), choices={"source": source})
    show_sweep(tmp_path)
    words = checked(tmp_path / "report.html").words()
    assert "What more images bring" in words
    assert "intervals hold together for 4 comparisons" in words
    assert "Main effects" in words
    assert "p is corrected for each key's comparisons" in words
    assert "draws the same images" not in words
    assert "draws other images where their number" in words


@pytest.mark.parametrize(
    ("seeds", "words"),
    [((4,), "1 trial (seed 4)"), ((2, 0, 1), "3 trials (seeds 0 to 2)"), ((0, 1, 7), "3 trials (seeds 0, 1, 7)")],
)
def test_seeds_that_did_not_run_are_not_named(seeds: tuple[int, ...], words: str):
    trials = [{"seed": seed, "accuracy": 0.5, "loss": 1.0 + seed} for seed in seeds]
    assert trials_in_words([Record("job", {"trials": trials}, Path("job"))], "accuracy") == words


def test_jobs_that_answer_different_questions_have_no_best_one(tmp_path: Path):
    for name, low in (("one", 0.5), ("two", 0.6)):
        published = {"low": low, "high": 0.9, "source": "a paper"}
        job = store_job(tmp_path, {"experiment": name}, reference=published)
    result = json.loads((job / "result.json").read_text())
    (job / "result.json").write_text(json.dumps(result | {"images": result["images"] | {"big": 500}}))
    show_sweep(tmp_path)
    page = checked(tmp_path / "report.html")
    words = page.words()
    assert "The jobs are compared with published ranges, so that none is the best; they are sorted by name." in words
    assert "This page has no best job whose errors it could show" in words
    assert "Published ranges one 50.0 to 90.0 %, a paper two 60.0 to 90.0 %, a paper" in words
    assert "Data, of one" in words
    assert "Paired differences" not in words
    assert "Confusion matrix" not in words
    assert len([each for each in page.all("rect") if each["class"] == "box"]) == 2


def test_results_of_the_first_format_have_a_page(tmp_path: Path):
    show_jobs([ROOT / "tests" / "golden" / "sweep"], tmp_path, "source:scratch")
    words = checked(tmp_path / "report.html").words()
    assert "as older versions wrote none" in words
    assert "To the baseline" in words
    assert "The command is not stored" in words
    assert "failed" in words


@pytest.mark.slow
@pytest.mark.parametrize(
    ("job", "expected"),
    [
        ({"classes": [f"class {number}" for number in range(1000)], "images": 2000}, "Of 1,000 classes, the 25 with"),
        ({"images": 2}, "2 test images"),
        ({"images": 40, "labels": [0, 1] * 20}, "no test images, so that it has no recall"),
        ({"trials": 1}, "1 trial (seed 0)"),
        ({"skill": 99.0}, "0 test images of 60 were taken for another class"),
        ({"images": 1, "trials": 1}, "1 test image"),
    ],
)
def test_one_job_has_a_sensible_page(
    tmp_path: Path, job: dict[str, Any], expected: str, monkeypatch: pytest.MonkeyPatch
):
    folder, read = store_job(tmp_path, **job), []
    monkeypatch.setattr(records, "read_outcomes", lambda folder: read.append(folder) or read_outcomes(folder))
    monkeypatch.setattr(show_job, "read_outcomes", lambda folder: read.append(folder) or read_outcomes(folder))
    show_alone(json.loads((folder / "result.json").read_text()), folder)
    page = checked(folder / "report.html")
    assert expected in page.words()
    assert read == [folder.resolve()]  # once: a job's outcomes may be large
    assert "nan" not in page.words().lower().split()
    assert (folder / "report.html").stat().st_size < 3e6


def test_trials_of_the_same_images_vary_in_no_draw(tmp_path: Path):
    images = {"small": 60, "test": 60, "draws_vary": False}
    folder = store_job(tmp_path)
    result = json.loads((folder / "result.json").read_text()) | {"images": images}
    (folder / "result.json").write_text(json.dumps(result))
    show_jobs([tmp_path], tmp_path)
    words = checked(tmp_path / "report.html").words()
    assert "one seed, with its own initialization and batch order." in words
    assert "comes from: initialization and batch order " in words
    assert "training draws" not in words


@pytest.mark.slow
def test_many_classes_whose_probabilities_are_not_stored_have_no_diagram(tmp_path: Path):
    folder = store_job(tmp_path, classes=[str(number) for number in range(1000)], images=4000, trials=9)
    show_alone(json.loads((folder / "result.json").read_text()), folder)
    assert "the probabilities of all classes are not stored" in checked(folder / "report.html").words()


def test_trials_of_one_computation_are_one_trial_on_the_page(tmp_path: Path):
    for dropout in ("0", "0.5"):
        folder = store_job(tmp_path, {"dropout": dropout}, skill=1.0 + float(dropout))
        stored, result = read_outcomes(folder), json.loads((folder / "result.json").read_text())
        assert stored is not None
        for name in ("prediction", "probability_of_label", "probability"):
            getattr(stored.test, name)[:] = getattr(stored.test, name)[:1]
        write_outcomes(folder, stored, result["identity"])
        for trial in result["trials"]:
            trial |= {"correct": int(stored.test.correct[0].sum()), "accuracy": float(stored.test.correct[0].mean())}
        (folder / "result.json").write_text(json.dumps(result))
    show_sweep(tmp_path)
    words = checked(tmp_path / "report.html").words()
    assert "60 predictions: 1 trial (6 trials are one computation and count as one), 60 test images" in words
    assert "right, as one computation in all trials" in words
    assert "by the one trial" in words
    assert "1 of 1 trial" not in words
    assert "got 1 (6 trials are one computation and count as one)" in words
    assert " %." in words.split("Expected calibration error")[1][:20]  # no mean of trials
    assert pandas.read_csv(tmp_path / "mistakes.csv")["trials"].unique().tolist() == [1]


def test_a_failed_job_is_named(tmp_path: Path):
    sweep(tmp_path)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "failure.json").write_text('{"error": "no space left; try another disk"}')
    show_sweep(tmp_path)
    assert "failed broken : no space left; try another disk" in checked(tmp_path / "report.html").words()
    for job in tmp_path.glob("dropout*"):
        (job / "result.json").unlink()
    show_sweep(tmp_path)
    words = checked(tmp_path / "report.html").words()
    assert "No job has finished." in words
    assert "no space left" in words


def test_jobs_ranked_by_a_loss_and_by_other_metrics_have_a_page(tmp_path: Path):
    sweep(tmp_path)
    for metric in ("loss", "macro_f1", "auroc"):
        show_jobs([tmp_path], tmp_path, metric=metric)
        assert "ranked by test" in checked(tmp_path / "report.html").words()


def test_what_was_run_is_said_as_it_was_typed(tmp_path: Path):
    sweep(tmp_path)
    typed = {"hydra": {"overrides": {"task": ["dropout=0,0.5,0.9", "name=it's ${here}"]}}}
    (tmp_path / "multirun.yaml").write_text(json.dumps(typed))
    for job in tmp_path.glob("dropout*"):
        (job / "model.yaml").touch()
    show_sweep(tmp_path)
    words = checked(tmp_path / "report.html").words()
    assert """python src/train.py -m dropout=0,0.5,0.9 'name=it'"'"'s ${here}'""" in words
    assert f"python src/predict.py run={tmp_path}" in words
    (tmp_path / "multirun.yaml").write_text("hydra: [")
    show_sweep(tmp_path)
    assert "The command is not stored" in checked(tmp_path / "report.html").words()


@pytest.mark.parametrize("part", ["facts.write_text", "show.draw"])
def test_the_answer_is_told_and_written_before_what_may_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], part: str
):
    def full(*_: object) -> None:
        raise OSError("no space left")

    sweep(tmp_path)
    show_sweep(tmp_path)
    printed = capsys.readouterr().out
    (tmp_path / "leaderboard.md").unlink()
    monkeypatch.setattr(f"graft.page.{part}", full)
    with pytest.raises(OSError, match="no space left"):
        show_sweep(tmp_path)
    said = capsys.readouterr().out
    assert "ranked by test accuracy" in said
    assert printed.startswith(said)
    assert (tmp_path / "leaderboard.md").exists()
    assert (tmp_path / "per_class.csv").exists() == (part == "show.draw")  # not an earlier report's


def test_jobs_that_have_not_finished_come_before_the_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for value in ("0", "0.5"):
        store_job(tmp_path, {"dropout": value})
    gone = '"><script>alert(1)</script>'
    (tmp_path / "planned.json").write_text(json.dumps({"jobs": ["dropout=0", "dropout=0.5", "dropout=0.9", gone]}))
    show_jobs([tmp_path], tmp_path)
    sentence = f"2 of 4 jobs have not finished: dropout=0.9 and {gone}."
    said, words = capsys.readouterr().out, checked(tmp_path / "report.html").words()
    assert said.index(sentence) < said.index("dropout=0.5 has") if "dropout=0.5 has" in said else sentence in said
    assert "not finished dropout=0.9: the same command goes on with it" in said
    answer = words[words.index("2 of 4 jobs") :]
    assert answer.startswith(sentence)
    assert "Not in the table: not finished dropout=0.9 : the same command goes on with it" in answer
    markdown = (tmp_path / "leaderboard.md").read_text()
    assert sentence in markdown
    assert "Not finished: dropout=0.9: the same command goes on with it." in markdown


def test_a_file_without_which_a_job_was_read_is_not_said_to_be_a_job_that_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    for value in ("0", "0.5"):
        job = store_job(tmp_path, {"dropout": value})
    (job / "outcomes.safetensors").unlink()
    show_jobs([tmp_path], tmp_path)
    words, said = checked(tmp_path / "report.html").words(), capsys.readouterr().out
    assert "Read without: dropout=0.5/outcomes.safetensors : there is none beside images.csv" in words
    assert "Not in the table" not in words
    assert "read without dropout=0.5/outcomes.safetensors: there is none" in said
    assert "Read without dropout=0.5/outcomes.safetensors: there is none" in (tmp_path / "leaderboard.md").read_text()


def test_the_added_row_has_a_head_and_no_keys_that_do_not_concern_it(tmp_path: Path):
    for dropout in ("0", "0.5"):
        store_job(tmp_path, {"dropout": dropout}, choices={"head": "plain"})
    store_job(tmp_path, {"baseline": "self"}, choices={"head": "solved"}, skill=0.5)
    show_sweep(tmp_path)
    differing = checked(tmp_path / "report.html").words().split("Where the jobs differ")[1].split("All other keys")[0]
    assert "plain, solved (baseline)" in differing
    assert "not set" not in differing


def test_what_is_said_of_single_images_is_what_the_outcomes_say(tmp_path: Path):
    job = store_job(tmp_path, classes=[str(place) for place in range(6)], trials=9, skill=0.2)
    outcomes = read_outcomes(job)
    assert outcomes is not None
    test = outcomes.test
    assert test.probability is not None
    show_sweep(tmp_path)
    cards = checked(tmp_path / "report.html").words()
    wrong = test.prediction != test.label
    assert f"{wrong.any(0).sum()} test images of 60 were taken for another class" in cards
    table = pandas.read_csv(tmp_path / "mistakes.csv")
    for row in table.head(24).to_dict("records"):
        said = test.prediction[:, row["number"]] == row["prediction"]
        certain = test.probability[said, row["number"], row["prediction"]].astype(float).mean()
        others = said.sum() < wrong[:, row["number"]].sum()
        several = f", {said.sum()} of them predict {row['prediction']}" if others else ""
        assert (
            f"{row['path'].replace('/', ' / ')} label: {row['class']} predicted: {row['prediction']} "
            f"({100 * certain:.0f}\u00a0%) wrong in {wrong[:, row['number']].sum()} of 9 trials{several}"
        ).replace("\u00a0", " ") in cards.replace("\u00a0", " ")


def test_one_job_is_not_ranked_and_intervals_of_a_budget_are_of_as_many_images(tmp_path: Path):
    store_job(tmp_path / "one", trials=1)
    show_sweep(tmp_path / "one")
    words = checked(tmp_path / "one" / "report.html").words()
    assert "ranked by" not in words
    assert "all jobs together" not in words
    assert "of each trial alone" not in words
    for budget in ("1", "5", "20"):
        store_job(tmp_path / "many", {"dataset.small_per_class": budget}, skill=float(budget) / 5)
    show_sweep(tmp_path / "many")
    words = checked(tmp_path / "many" / "report.html").words()
    assert "The 95 % interval is for other images and other draws of as many images." in words
