"""Image files that Pillow cannot write, byte by byte: PNGs of 2, 4 and 16 bits, TIFFs of every type of number."""

import struct
import zlib
from pathlib import Path

import numpy as np

PNG_COLOR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # by channels


def write_png(path: Path, values: np.ndarray, transparent: tuple[int, ...] = (), bits: int = 16) -> Path:
    """Write values, (height, width, channels), as a PNG.

    Args:
        path: the file.
        values: gray or RGB, with or without alpha.
        transparent: the one color that is transparent, as the chunk tRNS says.
        bits: of each channel, 16; or of gray, 2 or 4.
    """
    height, width, channels = values.shape
    content = b"\x89PNG\r\n\x1a\n"
    packed = values.astype(">u2")
    if bits < 16:  # several pixels in a byte, the first in its upper bits
        each = (values.astype(np.uint8).reshape(height, width, 1) >> np.arange(bits - 1, -1, -1)) & 1
        packed = np.packbits(each.reshape(height, -1), axis=1)
    rows = b"".join(b"\0" + row.tobytes() for row in packed)
    for name, data in (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, bits, PNG_COLOR_TYPES[channels], 0, 0, 0)),
        (b"tRNS", struct.pack(f">{len(transparent)}H", *transparent)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ):
        if name != b"tRNS" or transparent:
            content += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    path.write_bytes(content)
    return path


def write_tiff(path: Path, values: np.ndarray, photometric: int = 1, orientation: int = 1, planes: int = 1) -> Path:
    """Write values, (height, width, channels), as an uncompressed TIFF of their own type of number and byte order.

    Args:
        path: the file.
        values: of any NumPy type.
        photometric: 0, white is zero; 1, black is zero; 2, RGB.
        orientation: as EXIF has it.
        planes: 1, channels side by side; 2, one after the other.
    """
    height, width, channels = values.shape
    order = ">" if values.dtype.byteorder == ">" else "<"
    bits = [8 * values.dtype.itemsize] * channels
    parts = [values.tobytes()] if planes == 1 else [values[..., each].tobytes() for each in range(channels)]
    data, starts = b"".join(parts), [8 + part * len(parts[0]) for part in range(len(parts))]
    tags = {  # (type: 3, 16 bits, or 4, 32 bits; values)
        256: (4, [width]), 257: (4, [height]), 258: (3, bits), 259: (3, [1]), 262: (3, [photometric]), 273: (4, starts),
        274: (3, [orientation]), 277: (3, [channels]), 278: (4, [height]),
        279: (4, [len(parts[0])] * len(parts)), 284: (3, [planes]),
        339: (3, [{"u": 1, "i": 2, "f": 3}[values.dtype.kind]] * channels),
    }  # fmt: skip
    data += b"\0" * (len(data) % 2)
    directory, extra = struct.pack(f"{order}H", len(tags)), b""
    end = 8 + len(data) + 2 + 12 * len(tags) + 4
    for tag, (kind, numbers) in tags.items():
        packed = struct.pack(f"{order}{len(numbers)}{'H' if kind == 3 else 'I'}", *numbers)
        if len(packed) > 4:
            packed, extra = struct.pack(f"{order}I", end + len(extra)), extra + packed
        directory += struct.pack(f"{order}HHI", tag, kind, len(numbers)) + packed.ljust(4, b"\0")
    start = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8 + len(data))
    path.write_bytes(start + data + directory + b"\0" * 4 + extra)
    return path
