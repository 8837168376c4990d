"""Say what images show: python predict.py IMAGE [IMAGE ...]. Needs numpy, Pillow, onnxruntime (.pt2: torch)."""

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps


def load(path: Path) -> tuple[dict[str, Any], Callable[[np.ndarray], np.ndarray]]:
    """Return a file's metadata, and its function from bytes, (images, height, width, 3), to probabilities."""
    if path.suffix == ".pt2":
        import torch

        texts = {"about.json": ""}
        program = torch.export.load(path, extra_files=texts).module()
        return json.loads(texts["about.json"]), lambda pixels: program(torch.from_numpy(pixels)).numpy()
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    about = {key: json.loads(text) for key, text in session.get_modelmeta().custom_metadata_map.items()}
    return about, lambda pixels: np.asarray(session.run(None, {"images": pixels})[0])


def decode(path: Path, about: dict[str, Any], draft: bool = True) -> Image.Image:
    """Return a picture upright, on white where it is transparent, of 8 bits, gray or RGB as the model has it.

    With `draft`, JPEGs are decoded at the least size that is enough, as in training.
    """
    how, (channels, *size) = about["preprocessing"], about["preprocessing"]["image"]
    with path.open("rb") as file, Image.open(file) as image:
        if draft:
            image.draft(None, (max(size), max(size)))
        picture, white = image, how.get("white")
        if image.mode[0] in "IF":  # more than 8 bits a channel
            values = np.asarray(image).astype(np.float64)
            if not np.isfinite(values).all() or values.min() < 0:
                raise ValueError("it has values that are negative or no finite numbers")
            if white is None:
                raise ValueError("more than 8 bits a channel, unlike all training images: its white is unknown")
            scaled = np.rint(np.clip(values / white["real" if image.mode == "F" else "whole"], 0, 1) * 255)
            scaled = 255 - scaled if getattr(image, "tag_v2", {}).get(262) == 0 else scaled  # white is zero
            scaled[values == image.info.get("transparency", -1)] = 255
            picture = Image.fromarray(scaled.astype(np.uint8))
            picture.getexif()[0x0112] = image.getexif().get(0x0112, 1)
        picture = ImageOps.exif_transpose(picture)
    picture = picture.convert("LA") if picture.mode == "La" else picture
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB" if channels == 3 else "L")


def read(path: Path, about: dict[str, Any]) -> np.ndarray:
    """Return a picture at the model's size, bytes (height, width, 3), resized by Pillow as in training."""
    picture, fit = decode(path, about), about["preprocessing"]["fit"]
    height, width = about["preprocessing"]["image"][1:]
    if fit == "crop":
        picture = ImageOps.fit(picture, (width, height), Image.Resampling.BILINEAR)
    elif fit == "squash":
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    elif picture.size != (width, height):
        scale = min(width / picture.width, height / picture.height)
        inner = max(1, round(scale * picture.width)), max(1, round(scale * picture.height))
        padded = Image.new(picture.mode, (width, height))
        place = (width - inner[0]) // 2, (height - inner[1]) // 2
        padded.paste(picture.resize(inner, Image.Resampling.BILINEAR), place)
        picture = padded
    return np.array(picture.convert("RGB"))


def main() -> int:
    """Write a row for each image: its class with the probability, or why it cannot be read; return the exit status."""
    names, failed = sys.argv[1:], 0
    if not names:
        sys.exit("no image is named; try python predict.py IMAGE [IMAGE ...]")
    about, run = load(min(Path(__file__).parent.glob("model.*")))
    table = csv.writer(sys.stdout)
    table.writerow(["file", "class", "probability", "error"])
    for name in names:
        try:
            if Path(name).is_dir():
                raise IsADirectoryError(f"it is a folder; try {Path(name) / '*'}")
            (said,) = run(read(Path(name), about)[None])
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            table.writerow([name, "", "", error])
            failed += 1
        else:
            table.writerow([name, about["classes"][said.argmax()], f"{said.max():.6f}", ""])
    return 1 if failed == len(names) else 0


if __name__ == "__main__":
    sys.exit(main())
