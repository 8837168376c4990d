from pathlib import Path

import pytest
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from graft.sweeps.log_sweep import log_sweep


def text(folder: Path, tag: str) -> list[str]:
    events = EventAccumulator(str(folder / "tensorboard" / folder.name / "answer")).Reload()
    return [event.tensor_proto.string_val[0].decode() for event in events.Tensors(f"{tag}/text_summary")]


@pytest.mark.parametrize("logger", ["tensorboard", "csv"])
def test_a_sweep_s_report_is_a_run_of_its_own_beside_its_jobs_in_place_of_an_earlier_one(tmp_path: Path, logger: str):
    folder = tmp_path / "sweep"
    folder.mkdir()
    config = OmegaConf.create(
        {
            "logger": {logger: {}},
            "hydra": {"sweep": {"dir": str(folder)}, "overrides": {"task": ["head=plain,dense512", "name=my sweep"]}},
        }
    )
    log_sweep(config)  # no job has finished
    assert not (folder / "tensorboard").exists()
    for report in ("one", "| rank |\n| --- |\n| 1 |"):
        (folder / "leaderboard.md").write_text(report)
        log_sweep(config)
    if logger == "csv":
        assert not (folder / "tensorboard").exists()
        return
    assert text(folder, "answer") == ["| rank |\n| --- |\n| 1 |"]
    assert text(folder, "command") == ["```\npython src/train.py -m head=plain,dense512 'name=my sweep'\n```"]
