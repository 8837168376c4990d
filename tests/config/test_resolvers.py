from itertools import combinations

import pytest

from graft.config.resolvers import folder_name, job_folder_name


def test_folder_names_are_single_folders():
    assert folder_name("dataset.root=../shared/data", "head=plain") == "dataset.root=.._shared_data_head=plain"
    assert folder_name("") == folder_name("..") == folder_name() == "default"
    long = [folder_name(f"{'x' * 300}={number}") for number in range(2)]
    assert long[0] != long[1]
    assert max(map(len, long)) <= 100


def test_a_long_name_keeps_every_key_and_what_differs():
    root = f"dataset.root=/home/me/{'pictures/' * 20}cats"
    names = [folder_name(root, f"head={head}", f"dropout={rate}") for head in ("plain", "dense") for rate in (0, 0.5)]
    assert len({*names}) == 4
    assert names[1].startswith("dataset.root=_home_me")
    assert "_pictures_cats_head=plain_dropout=0.5-" in names[1]
    assert len({folder_name(root), folder_name(root.replace("me", "you"))}) == 2
    assert max(map(len, names)) <= 100


@pytest.mark.parametrize("letter", ["x", "é", "字", "𠀀"])
def test_names_fit_the_file_system_whatever_their_letters(letter: str, tmp_path):
    texts = [letter * 99, letter * 101, f"dataset.root={letter * 200}", *(letter * 98 + end for end in "ab")]
    names = {folder_name(text) for text in texts} | {folder_name(*[f"{letter * 9}={n}" for n in range(200)])}
    assert len(names) == 6
    for name in names:
        (tmp_path / name).mkdir()


def test_a_sweep_s_jobs_are_named_after_what_differs_and_a_lone_job_after_its_experiment():
    overrides = ["experiment=lecture_mnist_scratch", "trials=2"]
    assert job_folder_name([*overrides, "head=plain"], overrides) == "head=plain"
    assert job_folder_name(overrides, overrides) == "experiment=lecture_mnist_scratch"
    assert job_folder_name(["trials=2"], ["trials=2"]) == "default"
    assert job_folder_name(["~optimizer.fused=null", "lr=1"], ["~optimizer.fused", "lr=1,2"]) == "lr=1"


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("source.path=w/a/x.safetensors,w/a_x.safetensors", ["w/a/x.safetensors", "w/a_x.safetensors"]),
        ("backbone.model=ResNet18,resnet18", ["ResNet18", "resnet18"]),
        ("source.path=a b,a/b,a_b", ["a b", "a/b", "a_b"]),
        ("source.path=x.,x_,x", ["x.", "x_", "x"]),
        ("+head.note=choice(a:b,a@b)", ["a:b", "a@b"]),
    ],
)
def test_no_two_values_of_a_list_share_a_folder_on_any_file_system(word: str, values: list[str]):
    key = word.partition("=")[0]
    names = [job_folder_name([f"{key}={value}", "dropout=0"], [word, "dropout=0,0.5"]) for value in values]
    assert all(one.casefold() != other.casefold() for one, other in combinations(names, 2))
    assert all(name.endswith("_dropout=0") for name in names)


@pytest.mark.parametrize(
    ("word", "override", "name"),
    [
        ("source.path=w/a.safetensors,w/b.safetensors", "source.path=w/a.safetensors", "source.path=w_a.safetensors"),
        ("lr=range(1,4)", "lr=2", "lr=2"),
        ("dataset.small=[1,3],[1,5]", "dataset.small=[1,3]", "dataset.small=[1,3]"),
        ("head=glob(*)", "head=plain", "head=plain"),
        ("lr=tag(log,interval(1e-4,1e-1))", "lr=0.01", "lr=0.01"),
    ],
)
def test_names_that_differ_anyway_stay_plain(word: str, override: str, name: str):
    assert job_folder_name([override], [word]) == name
