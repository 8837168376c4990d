import pytest

from graft.errors import ConfigError
from graft.reading.group_pattern import groups_of

NAMES = ["cat/patient12_a.jpg", "cat/patient7_b.jpg", "dog/patient12_c.jpg"]


def test_the_named_group_or_the_first_parentheses():
    assert groups_of(NAMES, r"(?P<group>patient\d+)") == ["patient12", "patient7", "patient12"]
    assert groups_of(NAMES, r"(\w+)/(?P<group>patient\d)") == ["patient1", "patient7", "patient1"]
    assert groups_of(NAMES, r"^([^/]+)/") == ["cat", "cat", "dog"]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(patient", "a regular expression, which it is not: missing"),
        ("patient", "parentheses enclose"),
        (r"(patient1\d)", "1 of 3 have none: cat/patient7_b.jpg, got"),
        (r"(x)?patient", "3 of 3 have none"),
    ],
)
def test_patterns_that_find_no_group(pattern: str, message: str):
    with pytest.raises(ConfigError, match=message):
        groups_of(NAMES, pattern)
