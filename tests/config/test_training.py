"""Lightning's trainer flags, one by one: docs/trainer.md, the tables and Lightning's signature agree."""

import copy
import inspect
import re

import pytest
import pytorch_lightning as pl
import yaml
from conftest import ROOT
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from graft.config.check import check
from graft.config.training import FLAGS, REFUSED, SHOWN
from graft.errors import ConfigError


@pytest.fixture(scope="module")
def composed() -> DictConfig:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("train", ["name=test"])


def typed(composed: DictConfig, override: str) -> DictConfig:
    """Return the configuration with an override, parsed as Hydra does; composing anew takes longer."""
    (parsed,) = OverridesParser.create().parse_overrides([override])
    cfg, key = copy.deepcopy(composed), parsed.key_or_group
    OmegaConf.update(cfg, key, parsed.value(), merge=False, force_add=parsed.is_add())
    return cfg


def test_every_flag_of_lightning_is_decided_once_and_documented():
    table = dict(re.findall(r"^\| `(\w+)` \| (works|refused) \|", (ROOT / "docs/trainer.md").read_text(), re.MULTILINE))
    assert table == {**dict.fromkeys(FLAGS, "works"), **dict.fromkeys(REFUSED, "refused")}
    assert sorted(table) == sorted(inspect.signature(pl.Trainer).parameters)
    assert not FLAGS.keys() & REFUSED.keys()


@pytest.mark.parametrize("option", ["default", "ddp"])
def test_flags_that_need_no_plus_are_those_of_the_options(option: str):
    keys = yaml.safe_load((ROOT / "conf/trainer" / f"{option}.yaml").read_text())
    assert {key for key in keys if not key.startswith("_")} == set(SHOWN)


@pytest.mark.parametrize("flag", REFUSED)
def test_a_refused_flag_names_its_reason_and_overrides_that_work(composed: DictConfig, flag: str):
    reason, example = REFUSED[flag]
    for value in ("null", "true", "1", "[x]"):
        with pytest.raises(ConfigError) as error:
            check(typed(composed, f"+trainer.{flag}={value}"))
        (fault,) = error.value.faults
        assert (fault.key, fault.expected) == (f"trainer.{flag}", f"left out: {reason}")
    for override in example.split(", or "):
        group, _, option = override.partition("=")
        if (ROOT / "conf" / group).is_dir():
            assert (ROOT / "conf" / group / f"{option}.yaml").exists()
        else:
            check(typed(composed, override))


@pytest.mark.parametrize("flag", FLAGS)
def test_the_example_of_a_flag_that_works_can_be_typed(composed: DictConfig, flag: str):
    plus = "" if flag in SHOWN else "+"
    cfg = typed(composed, f"{plus}trainer.{flag}={FLAGS[flag].example}")
    check(cfg)
    assert OmegaConf.select(cfg, f"trainer.{flag}") == yaml.safe_load(FLAGS[flag].example)


@pytest.mark.parametrize(
    "override",
    [
        *(f"+trainer.limit_{which}_batches={value}" for which in ("train", "test") for value in (0, 0.0, -1, 1.5, 2.0)),
        *(f"+trainer.limit_{which}_batches={value}" for which in ("train", "test") for value in ("all", "true", "inf")),
        *(f"+trainer.val_check_interval={value}" for value in (0, 1.5, "00:00:01:00", "nan")),
        *(f"+trainer.max_steps={value}" for value in (0, -2, 1.5, "true", "null")),
        *(f"+trainer.max_time={value}" for value in (60, "1h", "00:10", "{minutes:-1}", "{minute:1}", "{}")),
        *(f"+trainer.fast_dev_run={value}" for value in (-1, 0.5, "yes")),
        *(f"trainer.precision={value}" for value in ("bf16-true", "16-true", "64-true", "64", "transformer-engine")),
        *(f"trainer.num_sanity_val_steps={value}" for value in (-2, 0.5)),
        *("+trainer.deterministic=always", "+trainer.profiler=fast", "+trainer.detect_anomaly=1"),
        *("trainer.enable_progress_bar=no", "trainer.accelerator=7", "trainer.accumulate_grad_batches=0"),
        *("+trainer.reload_dataloaders_every_n_epochs=-1", "+trainer.inference_mode=null"),
    ],
)
def test_values_that_a_flag_cannot_have_are_refused_before_anything_is_imported(composed: DictConfig, override: str):
    with pytest.raises(ConfigError) as error:
        check(typed(composed, override))
    (fault,) = error.value.faults
    assert override.startswith((fault.key, f"+{fault.key}"))
    assert fault.example.startswith(override.partition("=")[0])
    check(typed(composed, fault.example))


@pytest.mark.parametrize("value", ["00:00:10:00", "{minutes: 10}", "{days: 1, hours: 2}", "null"])
def test_a_time_is_typed_as_lightning_takes_it(composed: DictConfig, value: str):
    check(typed(composed, f"+trainer.max_time={value}"))
