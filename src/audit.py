"""Audit a data set before anything trains; python src/audit.py --help lists the keys."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from graft.ending import default_signals, prepare, stop_on_error

prepare()  # before Hydra is imported, which takes a third of a second

import hydra  # noqa: E402
from omegaconf import DictConfig  # noqa: E402

import graft.config.knobs  # noqa: E402, F401  registers the resolvers
from graft.command_line import check_words, let_hydra_parse, readable  # noqa: E402
from graft.config.check import check_audit  # noqa: E402
from graft.config.refusals import explain  # noqa: E402
from graft.errors import GraftError  # noqa: E402
from graft.files import check_writable  # noqa: E402
from graft.process import announce  # noqa: E402

CONF = Path(__file__).parent.parent / "conf"
GROUPS = ("dataset", "backbone", "source")


@hydra.main(version_base="1.3", config_path="../conf", config_name="audit")
def main(cfg: DictConfig) -> None:
    """Audit one data set."""
    with stop_on_error(explain):
        check_audit(cfg)
        announce(f"{cfg.output}: the configuration is checked, PyTorch and the images are loaded")
        from graft.audit.run_audit import main as run  # imports torch: only after the configuration is checked

        run(cfg, Path(cfg.output))


def _is_inside(place: str, root: str) -> bool:
    """Return whether a folder is below another one, or is that one."""
    below, above = (Path(each).expanduser().resolve() for each in (place, root))
    return below.is_relative_to(above)


def check(words: Sequence[str]) -> None:
    """Refuse words that mean nothing in an audit, and a place that cannot be written.

    Args:
        words: as they were typed.

    Raises:
        GraftError: says which.
    """
    if {"-m", "--multirun"} & set(words):
        raise GraftError("an audit is of one data set; try it without -m")
    check_words(words, GROUPS)
    typed = {key.lstrip("+"): value for key, _, value in (word.partition("=") for word in words)}
    training = typed.keys() & {each.name for each in CONF.iterdir()} - {*GROUPS}
    if training:
        raise GraftError(f"nothing trains in an audit, so there is no {' or '.join(sorted(training))}; try it without")
    name, output, root = (typed.get(key, "").strip("'\"") for key in ("name", "output", "dataset.root"))
    place = output or f"outputs/{name or 'audit'}"
    if typed.get("dataset") == "image_folder" and root and _is_inside(place, root):
        raise GraftError(
            f"output={place} is inside dataset.root={root}, whose folders are classes: contact sheets there would be "
            "images of one; try output=DIR with another place"
        )
    asks = any(word.startswith("-") for word in words)  # --help writes nothing
    if not asks and "${" not in place:  # Hydra makes the folder, before it calls main
        check_writable("output", Path(place).expanduser() / "audit.csv")


if __name__ == "__main__":
    with stop_on_error(explain):
        default_signals()
        check(sys.argv[1:])
        sys.argv[1:] = readable(sys.argv[1:])
        let_hydra_parse()
        os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises its errors instead of printing them
        main()
