"""How many planted faults `src/audit.py` finds: copies, resized or encoded again, wrong labels, and odd pictures.

    python tests/benchmarks/audit.py FOLDER OUT 100 400 0 [odd] [WORD ...]

copies the class folders of FOLDER (or the 5,000 digits, for mnist5k) into OUT/root with 100 equal files (a third of
them in any class), 400 near copies and a share 0 of the labels changed, audits it with the words, and scores audit.csv.
A near copy has 0.5, 0.6, 0.75, 1, 1.25, 1.5 or 2 times the size, resized by Pillow's Lanczos, bilinear or bicubic
filter, and is a PNG or a JPEG of quality 50 to 95, all at random. With `odd` 13 pictures that belong to no class of
photos are added: six digits, three of noise, two charts, one white and one black. docs/audit.md has the numbers.
"""

import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas
from PIL import Image, ImageDraw

from graft.data.load import mnist5k

FILTERS = (Image.Resampling.LANCZOS, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)
AUDIT = Path(__file__).parents[2] / "src" / "audit.py"


def originals(source: str, out: Path) -> list[Path]:
    """Return pictures in class folders; those of mnist5k are written first."""
    if source != "mnist5k":
        return sorted(path for path in Path(source).rglob("*") if path.is_file())
    images = mnist5k(None)
    paths = [out / "digits" / str(int(label)) / f"{index:04}.png" for index, label in enumerate(images.labels)]
    for index, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images.pixels[index, 0].numpy()).save(path)  # type: ignore[attr-defined]
    return paths


def degraded(path: Path, target: Path, chance: random.Random) -> Path:
    """Write a near copy of a picture; return its path."""
    scale, quality = chance.choice([0.5, 0.6, 0.75, 1, 1.25, 1.5, 2]), chance.choice([None, 50, 60, 75, 85, 95])
    if scale == 1 and quality is None:
        scale = 0.5
    with Image.open(path) as opened:
        size = round(opened.width * scale), round(opened.height * scale)
        picture = opened.copy() if scale == 1 else opened.resize(size, chance.choice(FILTERS))
    target = target.with_suffix(".png" if quality is None else ".jpg")
    picture.save(target, quality=quality or 75)  # PNG has none
    return target


def plant(source: str, out: Path, num_equal: int, num_near: int, wrong: float, seed: int = 0) -> tuple[set, set, set]:
    """Write a folder with faults; return the names of equal pairs and of near pairs, and of files with wrong labels."""
    chance, root = random.Random(seed), out / "root"
    files = originals(source, out)
    classes = sorted({path.parent.name for path in files})
    parts = [path.parents[1].name if path.parents[1].name in ("train", "test") else "" for path in files]
    flipped = set(chance.sample(range(len(files)), round(wrong * len(files))))
    places, own = [], [path.parent.name for path in files]
    for index, path in enumerate(files):
        given = chance.choice([each for each in classes if each != own[index]]) if index in flipped else own[index]
        places.append(root / parts[index] / given / f"{own[index]}_{path.name}")
        places[-1].parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, places[-1])
    chosen = chance.sample(range(len(files)), num_equal + num_near)
    equal, near = set(), set()
    wrong_files = {places[index] for index in flipped}
    for number, index in enumerate(chosen[:num_equal]):
        given = chance.choice(classes) if number % 3 == 0 else places[index].parent.name
        copy = root / parts[index] / given / f"copy_{places[index].name}"
        shutil.copy(places[index], copy)
        equal.add(frozenset([places[index], copy]))
        wrong_files |= {copy} if given != own[index] else set()
    for index in chosen[num_equal:]:
        copy = degraded(places[index], places[index].with_name(f"near_{places[index].name}"), chance)
        near.add(frozenset([places[index], copy]))
        wrong_files |= {copy} if index in flipped else set()
    named = [{frozenset(str(path.relative_to(root)) for path in pair) for pair in pairs} for pairs in (equal, near)]
    return named[0], named[1], {str(path.relative_to(root)) for path in wrong_files}


def chart(heights: list[int], size: int) -> Image.Image:
    """Draw bars on white."""
    picture = Image.new("RGB", (size, size), "white")
    for number, height in enumerate(heights):
        ImageDraw.Draw(picture).rectangle((2 + 6 * number, size - height, 5 + 6 * number, size), fill=(40, 80, 160))
    return picture


def plant_odd(root: Path, size: int = 32) -> set[str]:
    """Write 13 pictures that belong to none of the classes into these classes' folders; return their names."""
    random_state, digits = np.random.default_rng(0), mnist5k(None)
    noise = [random_state.integers(0, 256, (size, size, 3), np.uint8) for _ in range(3)]
    pictures = [Image.fromarray(digits.pixels[index, 0].numpy()) for index in range(0, 3000, 500)]  # type: ignore[attr-defined]
    pictures += [Image.fromarray(pixels) for pixels in noise]
    pictures += [chart([8, 20, 13, 27, 5], size), chart([25, 18, 12, 7, 3], size)]
    pictures += [Image.new("RGB", (size, size), color) for color in ("white", "black")]
    folders = sorted({path.parent for path in root.rglob("*.*")})
    paths = [folders[number % len(folders)] / f"odd_{number:02}.png" for number in range(len(pictures))]
    for path, picture in zip(paths, pictures, strict=True):
        picture.convert("RGB").save(path)
    return {str(path.relative_to(root)) for path in paths}


def main(source: str, out: Path, num_equal: int, num_near: int, wrong: float, words: list[str]) -> None:
    """Plant faults, audit, and print how many are found."""
    shutil.rmtree(out, ignore_errors=True)
    equal, near, wrong_files = plant(source, out, num_equal, num_near, wrong)
    odd = plant_odd(out / "root") if "odd" in words else set()
    words = [word for word in words if word != "odd"]
    given = [f"dataset.root={out}/root", "dataset=image_folder", f"output={out}/audit", *words]
    subprocess.run([sys.executable, AUDIT, *given], check=True, capture_output=True)
    table = pandas.read_csv(out / "audit" / "audit.csv", dtype=str, keep_default_na=False)
    for kind, planted in (("exact copy", equal), ("near copy", near)):
        rows = table[table.finding.isin([kind, "exact copy"])]  # encoding again may give equal bytes
        pairs = {frozenset(pair) for pair in zip(rows.file, rows.other, strict=True)}
        others = [sorted(pair) for pair in pairs - equal - near]
        print(f"{kind}: {len(pairs & planted)} of {len(planted)} planted, {len(others)} others {others[:20]}")
    outliers = set(table.file[table.finding == "outlier"])
    told = f"{len(outliers & odd)} of {len(odd)} odd pictures, {len(outliers - odd)} others"
    print(f"outliers: {told} {sorted(outliers & odd)}")
    right = [name in wrong_files for name in table.file[table.finding == "label suspect"]]
    if wrong_files and right:
        half = next((rank for rank in range(1, len(right) + 1) if 2 * sum(right[:rank]) >= len(wrong_files)), None)
        print(
            f"wrong labels: {len(wrong_files)}; {len(right)} suspects, precision {sum(right) / len(right):.2f}, "
            f"recall {sum(right) / len(wrong_files):.2f}; precision at recall 0.5: "
            + ("not reached" if half is None else f"{sum(right[:half]) / half:.2f}")
        )


if __name__ == "__main__":
    folder, target, *numbers = sys.argv[1:6]
    main(folder, Path(target), int(numbers[0]), int(numbers[1]), float(numbers[2]), sys.argv[6:])
