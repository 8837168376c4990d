"""What reports of the golden folders write; python tests/snapshots.py renews what tests/golden/snapshots has of it.

`sweep` has results of the first formats, without outcomes; `outcomes` has a sweep with what each trial said of each
image. Of a picture its texts and the numbers of its marks are kept, because fonts and Matplotlib differ; of the page
everything but its pictures, style and script.
"""

import contextlib
import json
import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
SNAPSHOTS = GOLDEN / "snapshots"
FOLDERS = ("sweep", "outcomes")
MARKS = ("path", "use", "image", "clipPath")


def snapshot(name: str) -> dict[str, str]:
    """Return the texts that a report of a golden folder comes to, by the names of its files."""
    from graft.page.show import show_jobs
    from graft.report.as_json import as_json
    from graft.report.compare import compare_jobs

    folder, found = GOLDEN / name, {}
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        output = Path("report")  # its name is the page's title, and commands name it
        output.mkdir()
        show_jobs([folder], output, figures=["svg"])
        for path in sorted(output.iterdir()):
            if path.suffix == ".html":
                found[path.name] = page(path.read_text()).replace(str(folder), f"GOLDEN/{name}")
            elif path.suffix in (".csv", ".md"):
                found[path.name] = path.read_text()
            elif path.suffix == ".svg":
                found[f"{path.stem}.svg.json"] = json.dumps(picture(path.read_text()), indent=1, ensure_ascii=False)
    found["report.json"] = as_json(compare_jobs([folder]))
    return found


def picture(svg: str) -> dict[str, object]:
    """Return the texts of a picture, in their order, and the numbers of its marks."""
    texts = [text.strip() for text in re.findall(r"<!-- (.*?) -->", svg, re.DOTALL)]
    return {"texts": texts, **{mark: len(re.findall(rf"<{mark}\b", svg)) for mark in MARKS}}


def page(html: str) -> str:
    """Return a page without its style, script and pictures, and the hashes of these."""
    html = re.sub(r"(<(style|script)>).*?</", r"\1</", html, flags=re.DOTALL)
    html = re.sub(r"sha256-[\w+/=]+", "sha256", html)
    return re.sub(r"data:[\w/+-]+;base64,[\w+/=]+", "data:", html)


def stored(name: str) -> dict[str, str]:
    """Return what was kept of a golden folder's report."""
    return {path.name: path.read_text() for path in sorted((SNAPSHOTS / name).iterdir())}


def renew() -> None:
    """Keep what reports come to now."""
    for name in FOLDERS:
        place = SNAPSHOTS / name
        place.mkdir(parents=True, exist_ok=True)
        for path in place.iterdir():
            path.unlink()
        for file, text in snapshot(name).items():
            (place / file).write_text(text.rstrip("\n") + "\n")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "src"))
    renew()
