"""Say what images show: python predict.py IMAGE [IMAGE ...]. Needs numpy, Pillow and onnxruntime."""

import csv
import json
import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps


def load(path: Path) -> tuple:
    """Return a file's metadata, and its function from bytes, (images, height, width, 3), to probabilities."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    about = {key: json.loads(text) for key, text in session.get_modelmeta().custom_metadata_map.items()}
    return about, lambda pixels: session.run(None, {"images": pixels})[0]


def padded(image: Image.Image, size: tuple, filter: Image.Resampling) -> Image.Image:
    """Return a picture as large as it fits into a size, with black around it."""
    scale = min(size[0] / image.width, size[1] / image.height)
    image = image.resize([max(1, round(scale * side)) for side in image.size], filter)
    left, top = (size[0] - image.width) // 2, (size[1] - image.height) // 2
    return image.crop((-left, -top, size[0] - left, size[1] - top))


def read(path: Path | str, how: dict) -> np.ndarray:
    """Return a picture as in training: upright, on white, at the model's size, as bytes, (height, width, 3)."""
    channels, height, width = how["image"]
    with open(path, "rb") as file, Image.open(file) as image:
        tags, layout = getattr(image, "tag_v2", {}), str(image.tile)  # of a TIFF: 258 has its bits, 339 their sign
        deep = image.mode[0] in "IF" or max(tags.get(258, [8])) > 8 or 2 in tags.get(339, [])
        if deep or any(each in layout for each in (";16B", ";16L", ";16N", "SGI16", "'ppm'", "L;2", "L;4")):
            raise ValueError("it is no picture of 8 bits a channel; convert it")
        image.draft(None, (max(height, width),) * 2)  # a JPEG is decoded at the least size that is enough
        image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    image = image.convert("RGB" if channels == 3 else "L")
    resize = {"crop": ImageOps.fit, "squash": Image.Image.resize, "pad": padded}[how["fit"]]
    return np.array(resize(image, (width, height), Image.Resampling[how["interpolation"].upper()]).convert("RGB"))


if __name__ == "__main__":
    names = sys.argv[1:] or sys.exit(__doc__)
    about, run = load(Path(__file__).with_name("model.onnx"))
    table, said = csv.writer(sys.stdout), None
    try:
        table.writerow(["file", "class", "probability", "error"])
        for name in names:
            try:
                (said,) = run(read(name, about["preprocessing"])[None])
                row = [name, about["classes"][said.argmax()], f"{said.max():.6f}", ""]
            except Exception as error:  # Pillow's exceptions for broken files depend on the format
                row = [name, "", "", error]
            table.writerow(row)
        sys.stdout.flush()
    except BrokenPipeError:  # the output was closed, as by | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would complain at its end
        sys.exit(141)
    sys.exit(said is None)  # no image was predicted
