from graft.errors import GraftError
from graft.results.baseline import baseline_keys, matches_baseline, unknown_baseline

CONFIG = {"head": {"_target_": "graft.head.Dense", "widths": [512]}, "dropout": 0.0}
CHOICES = {"head": "dense512"}


def test_a_baseline_is_one_or_more_keys_and_values():
    assert matches_baseline("head:dense512+dropout:0", CHOICES, CONFIG)
    assert matches_baseline("dropout:0.00", CHOICES, CONFIG)
    assert not matches_baseline("head:dense512+dropout:0.5", CHOICES, CONFIG)
    assert not matches_baseline("heat:dense512", CHOICES, CONFIG)
    assert baseline_keys("head:dense512+dropout:0") == {"head", "dropout"}


def test_an_unknown_baseline_is_answered_by_those_that_exist():
    error = unknown_baseline("a:b", [{"head": "plain"}, {"head": "dense512"}])
    assert isinstance(error, GraftError)
    assert str(error) == (
        "report.baseline: no job has a:b; these jobs differ in head:dense512, head:plain; "
        "try report.baseline=head:dense512"
    )
    assert str(unknown_baseline("a:b", [{}])).endswith("these jobs differ in nothing; try report.baseline=null")


def test_a_truth_value_is_written_as_in_yaml():
    config = {"optimizer": {"fused": True}}
    assert matches_baseline("optimizer.fused:true", {}, config)
    assert not matches_baseline("optimizer.fused:false", {}, config)


def test_a_job_that_a_sweep_has_added_is_found_by_what_tables_call_it():
    assert matches_baseline("control:thumbnail", {"backbone": "thumbnail"}, {"baseline": "control"})
    assert matches_baseline("baseline:solved", {}, {"baseline": "self"})
    assert matches_baseline("baseline:self", {}, {"baseline": "self"})
    assert not matches_baseline("control:thumbnail", {}, {"baseline": "self"})
    assert not matches_baseline("control:thumbnail", {}, {})
