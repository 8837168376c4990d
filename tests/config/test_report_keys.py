from collections.abc import Callable

import pytest
from omegaconf import DictConfig

from graft.config.build import to_plain
from graft.config.check import check
from graft.config.identity import job_identity
from graft.errors import ConfigError

Configure = Callable[..., DictConfig]


def test_explanations_need_captum_and_weights(configure: Configure, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("graft.config.trainer.find_spec", lambda name: None)
    check(configure("keep_weights=none"))
    with pytest.raises(ConfigError) as found:
        check(configure("report.explain=true", "keep_weights=none"))
    first, second = map(str, found.value.faults)
    assert first == (
        "report.explain must be false, because the package captum is not installed, got true; "
        "try pip install -e '.[explain]', or report.explain=false"
    )
    assert second.startswith("keep_weights must be best, whole or all with report.explain=true, got none")
    monkeypatch.setattr("graft.config.trainer.find_spec", lambda name: name)
    check(configure("report.explain=true", "keep_weights=best"))


@pytest.mark.parametrize("key", ["explain", "thumbnails"])
@pytest.mark.parametrize("value", ["maybe", "null", "[true]"])
def test_what_a_page_shows_is_true_or_false(configure: Configure, key: str, value: str):
    with pytest.raises(Exception, match=f"report.{key}|{value}"):
        check(configure(f"report.{key}={value}"))


def test_explanations_are_no_part_of_a_job(configure: Configure):
    jobs = [to_plain(configure(*words)) for words in ([], ["report.explain=true"])]
    assert len({job_identity(job, "images") for job in jobs}) == 1
