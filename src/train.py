"""Run one experiment, or with -m a sweep of them; python src/train.py --help lists the keys."""

import os
import sys
from pathlib import Path

from graft.ending import prepare, stop_on_error

prepare()  # before Hydra is imported, which takes a third of a second

import hydra  # noqa: E402
from omegaconf import DictConfig  # noqa: E402

from graft.command_line import check_words, let_hydra_parse, readable  # noqa: E402
from graft.config.refusals import explain  # noqa: E402
from graft.sweeps.launcher import check_launcher  # noqa: E402
from graft.sweeps.sweep import run_job  # noqa: E402

CONF = Path(__file__).parent.parent / "conf"


@hydra.main(version_base="1.3", config_path="../conf", config_name="train")
def main(cfg: DictConfig) -> None:
    """Run one job."""
    from graft.run.job import main  # imports torch, which takes seconds: only after the configuration is checked

    run_job(main, cfg)


if __name__ == "__main__":
    with stop_on_error(explain):
        check_words(sys.argv[1:], [folder.name for folder in CONF.iterdir() if folder.is_dir()])
        check_launcher(sys.argv)
        sys.argv[1:] = readable(sys.argv[1:])
        let_hydra_parse()
        os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises its errors instead of printing them
        main()
