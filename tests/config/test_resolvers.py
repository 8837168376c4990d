from graft.config.resolvers import folder_name, job_folder_name


def test_folder_names_are_single_folders():
    assert folder_name("dataset.root=../shared/data_head=plain") == "dataset.root=.._shared_data_head=plain"
    assert folder_name("") == folder_name("..") == "default"
    long = [folder_name(f"{'x' * 300}={number}") for number in range(2)]
    assert long[0] != long[1]
    assert max(map(len, long)) <= 100


def test_a_sweep_s_jobs_are_named_after_what_differs_and_a_lone_job_after_its_experiment():
    overrides = ["experiment=lecture_mnist_scratch", "trials=2"]
    assert job_folder_name([*overrides, "head=plain"], overrides) == "head=plain"
    assert job_folder_name(overrides, overrides) == "experiment=lecture_mnist_scratch"
    assert job_folder_name(["trials=2"], ["trials=2"]) == "default"
