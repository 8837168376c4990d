"""Run one experiment, or with -m a sweep of them; python src/train.py --help says what can be set."""

import hydra
from omegaconf import DictConfig

from graft.sweep import run_job


@hydra.main(version_base="1.3", config_path="../conf", config_name="train")
def main(cfg: DictConfig) -> None:
    """Run one job."""
    from graft.job import main  # imports torch, which takes seconds: not before the configuration stands

    run_job(main, cfg)


if __name__ == "__main__":
    main()
