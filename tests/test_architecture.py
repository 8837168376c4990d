"""docs/architecture.md: its picture is that of the imports, and the code it names exists."""

import copy
import re

from rooms import DRAWN, PAGE, ROOT, imports, picture, room

TEXT = PAGE.read_text()


def test_the_picture_is_that_of_the_imports():
    drawn = DRAWN.search(TEXT)
    assert drawn is not None
    assert drawn[0] == picture(imports(ROOT / "src")), "python tests/rooms.py redraws it"


def test_another_import_or_module_changes_the_picture():
    found = imports(ROOT / "src")
    before = picture(found)
    assert "data --> config" not in before
    assert "training --> data" not in before  # it follows from training --> model and model --> data
    more = copy.deepcopy(found)
    more["graft.data.images"].add("graft.config.check")
    assert "data --> config" in picture(more)
    assert "training --> config" not in picture(more)  # it now follows from data --> config
    assert "<b>report</b><br>aardvark, as_json" in picture({**found, "graft.report.aardvark": set()})


def test_each_room_is_in_the_picture_and_has_its_row():
    rooms = {room(name) for name in imports(ROOT / "src")}
    assert set(re.findall(r'^    (\w+)\["<b>', TEXT, re.MULTILINE)) == rooms
    assert {*re.findall(r"^\| `src/graft/(\w+)/` \|", TEXT, re.MULTILINE), "ground"} == rooms


def test_each_step_of_an_image_names_code_that_exists():
    steps = re.findall(r"`(\w+)` in `(src/[\w/]+\.py)`", TEXT)
    assert len(steps) > 15
    for name, path in steps:
        assert re.search(rf"^ *(class|def) {name}\b", (ROOT / path).read_text(), re.MULTILINE), f"no {name} in {path}"
