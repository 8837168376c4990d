"""Run one experiment, or with -m a sweep of them; python src/train.py --help lists the keys."""

import sys

import hydra
from omegaconf import DictConfig

from graft.run.launcher import check_launcher
from graft.run.sweep import run_job, stop_on_error


@hydra.main(version_base="1.3", config_path="../conf", config_name="train")
def main(cfg: DictConfig) -> None:
    """Run one job."""
    from graft.run.job import main  # imports torch, which takes seconds: only after the configuration is checked

    run_job(main, cfg)


if __name__ == "__main__":
    with stop_on_error():
        check_launcher(sys.argv)
    main()
