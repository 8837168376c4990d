"""A job's folder that was sent as a zip file."""

import atexit
import shutil
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from graft.errors import GraftError
from graft.inference.model_file import MODEL
from graft.job_folder import HUB

MAX_BYTES = 2**34  # of the unpacked files


def opened(path: Path) -> Path:
    """Return a job's folder: the path itself, or that of an unpacked zip file, which is removed when Python ends.

    Of a zip file only the files beside its `model.yaml` are unpacked, under their own names.

    Raises:
        GraftError: it has no job or several, a name that leads out of its folder, or is damaged.
    """
    if not path.is_file():
        return path
    if not zipfile.is_zipfile(path):
        raise GraftError(f"{path} is a file, but no zip file; try the folder of a finished job, or a zip file of it")
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(path, archive)
            folder = Path(tempfile.mkdtemp(prefix="graft-"))
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            for member in members:
                with archive.open(member) as source, (folder / PurePosixPath(member.filename).name).open("wb") as file:
                    shutil.copyfileobj(source, file)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, ValueError) as error:
        raise GraftError(f"{path} cannot be unpacked ({error}); try to zip the job's folder again") from None
    return folder


def _members(path: Path, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return the files beside an archive's only `model.yaml`, but for that of an export for the hub in its folder."""
    members = [member for member in archive.infolist() if not member.is_dir()]
    outside = [
        name for name in archive.namelist() if name.startswith("/") or ".." in name.replace("\\", "/").split("/")
    ]
    if outside:
        raise GraftError(f"{path} has names that lead out of its folder, such as {outside[0]!a}: it is not unpacked")
    places = [PurePosixPath(member.filename) for member in members]
    folders = {place.parent for place in places if place.name == MODEL}
    found = sorted(each for each in folders if not (each.name == HUB and each.parent in folders))
    if len(found) != 1:
        held = f"{len(found)} jobs, such as {found[0]}" if found else f"no {MODEL}, so no finished job"
        raise GraftError(f"{path} has {held}; try a zip file of one job's folder")
    chosen = [member for member, place in zip(members, places, strict=True) if place.parent == found[0]]
    if sum(member.file_size for member in chosen) > MAX_BYTES:
        raise GraftError(f"{path} would unpack to more than {MAX_BYTES // 2**30} GiB; try the job's folder itself")
    return chosen
