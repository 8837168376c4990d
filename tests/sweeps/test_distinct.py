"""Which jobs of a grid are one: what test_check_sweep.py cannot compose from the configurations of conf."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from graft.sweeps.distinct import distinct_jobs


def test_a_data_set_of_the_user_s_own_may_have_no_big_and_small_classes(tmp_path: Path):
    configs = [OmegaConf.create({"dataset": {"_target_": "mine.Data", "size": size}}) for size in (8, 16, 8.0)]
    hydra = [{"overrides": {"task": [f"dataset.size={n}"]}, "sweep": {"subdir": str(n)}} for n in range(3)]
    jobs = [DictConfig({**cfg, "hydra": own}) for cfg, own in zip(configs, hydra, strict=True)]
    assert distinct_jobs(jobs, configs, tmp_path, [()] * 3)[:2] == jobs[:2]
