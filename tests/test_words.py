import pytest

from graft.errors import GraftError
from graft.words import flag, help_text, names, one_of, read_words, share, text, whole

KEYS = {
    "run": text("the job", "DIR", required=True),
    "images": text("the images", "PATH", required=True),
    "format": one_of("the format", ["csv", "parquet", "jsonl"]),
    "batch_size": whole("of a batch", 1, 64),
    "coverage": share("of images", "0.95"),
    "strict": flag("whether it is", False),
    "modules": names("packages", "mypkg"),
}


def test_each_key_has_its_value_or_its_default():
    assert read_words(["run=a=b", "images=x y", "coverage=.9", "strict=True", "modules=a,b.c"], KEYS, "p") == {
        "run": "a=b",
        "images": "x y",
        "format": None,
        "batch_size": None,
        "coverage": 0.9,
        "strict": True,
        "modules": ["a", "b.c"],
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["imges=x"], "no key imges; did you mean images?"),
        (["zzz=1"], "no key zzz; p has run, images, format"),
        (["run=1", "run=2"], "run is typed twice, as 1 and 2"),
        (["run=1"], "images must be given; try p run=DIR images=PATH"),
        (["outputs/job"], "'outputs/job' has no key; try run=outputs/job"),
        (["run=1", "photos"], "'photos' has no key; try images=photos"),
        (["run=1", "images=2", "photos"], "'photos' has no key; try KEY=VALUE"),
        (["--run=1"], "--run is no option; keys have no dashes: try run=1, or --help"),
        (["--run", "1"], "--run is no option; keys have no dashes: try run=VALUE, or --help"),
        (["run=1", "images="], "images must be a text, got nothing; try images=PATH"),
        (["run=1", "images=2", "format=xls"], "format must be csv, parquet or jsonl, got xls; try format=csv"),
        (["run=1", "images=2", "strict=yes"], "strict must be true or false, got yes; try strict=true"),
        (["run=1", "images=2", "batch_size=0"], "batch_size must be a whole number of at least 1, got 0"),
        (["run=1", "images=2", "batch_size=x", "strict=1"], "got x; try batch_size=64\nstrict must be"),
        (["run=1", "images=2", "coverage=95"], "above 0 and below 1, got 95; try coverage=0.95"),
        (["run=1", "images=2", "coverage=nan"], "above 0 and below 1, got nan"),
        (["run=1", "images=2", "modules=a,,b"], "modules must be names with commas between them"),
    ],
)
def test_what_a_word_cannot_be_is_said(words: list[str], said: str):
    with pytest.raises(GraftError) as refused:
        read_words(words, KEYS, "p")
    assert said in str(refused.value)


def test_the_help_has_every_key():
    printed = help_text("Purpose.", KEYS, "p")
    assert printed.startswith("Purpose.\n\n  p run=DIR images=PATH\n")
    assert all(f"  {name}={key.example}" in printed and key.meaning in printed for name, key in KEYS.items())
