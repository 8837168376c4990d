import re
from collections.abc import Callable
from pathlib import Path

import pytest

from graft.page.show import show_jobs
from graft.run.page_pictures import page_pictures

Run = Callable[..., dict]
SMALL = ("trials=2", "epochs=2", "source.epochs=1")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "always", "shown"), [(False, False, False), (True, False, True), (False, True, True)]
)
def test_a_page_explains_where_the_configuration_or_the_command_asks_for_it(
    run: Run, tmp_path: Path, asked: bool, always: bool, shown: bool
):
    pytest.importorskip("captum")
    run(*SMALL, f"report.explain={str(asked).lower()}")
    show_jobs([tmp_path / "job"], tmp_path, pictures=page_pictures(always))
    page = (tmp_path / "report.html").read_text()
    assert ("what the model looked at in" in page) is shown
    assert ("for the class that it predicts itself" in page) is shown
    assert bool(re.search(r"<bdi>explained: [13579]</bdi>", page)) is shown


def test_own_heads_are_explained_where_they_were_trained_or_their_package_is_allowed(
    run: Run, tmp_path: Path, edit: Callable[[str], None]
):
    pytest.importorskip("captum")
    edit("import torch\nclass Head(torch.nn.Linear):\n  def __init__(self, num_features, num_classes):\n"
         "    super().__init__(num_features, num_classes)\n")  # fmt: skip
    run(*SMALL, "head._target_=ours.Head", "~head.dropout", "report.explain=true")
    for modules, why in ((None, ""), (["ours"], ""), ([], "allow it with modules=ours")):
        show_jobs([tmp_path / "job"], tmp_path, pictures=page_pictures(modules=modules))
        page = (tmp_path / "report.html").read_text()
        assert ("for the class that it predicts itself" in page) is not bool(why)
        assert why in page


@pytest.mark.slow
def test_a_page_says_why_nothing_is_explained(run: Run, tmp_path: Path):
    pytest.importorskip("captum")
    run(*SMALL, "keep_weights=none")
    show_jobs([tmp_path / "job"], tmp_path, pictures=page_pictures(True))
    page = (tmp_path / "report.html").read_text()
    assert "Nothing is explained: " in page
    assert "keep_weights=none has left them out" in page


@pytest.mark.slow
def test_a_page_without_images_has_no_explanations_and_says_so(run: Run, tmp_path: Path):
    run(*SMALL, "report.thumbnails=false")
    show_jobs([tmp_path / "job"], tmp_path, pictures=page_pictures(True))
    assert "report.thumbnails=false: no image is shown, or explained." in (tmp_path / "report.html").read_text()
