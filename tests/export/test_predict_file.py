"""The text of predict.py: short, and with the loader of its file's format only."""

import ast

import pytest

from graft.export.predict_file import predict_file


@pytest.mark.parametrize(("fit", "lines"), [("crop", 47), ("squash", 47), ("pad", 53)])
@pytest.mark.parametrize(
    ("kind", "package", "other"), [("onnx", "onnxruntime", "torch"), ("torch", "torch", "onnxruntime")]
)
def test_it_has_what_its_job_needs(kind: str, package: str, other: str, fit: str, lines: int):
    text = predict_file(kind, fit)
    imported = {
        (node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert imported == {"csv", "json", "os", "sys", "pathlib", "numpy", "PIL", package}
    assert package in text.splitlines()[0]
    assert other not in text
    assert len([line for line in text.splitlines() if line]) <= lines
    file = {"onnx": "model.onnx", "torch": "model.pt2"}
    assert [each in text for each in file.values()] == [each == kind for each in file]  # another may lie beside it
    assert ("padded" in text) == (fit == "pad")
    namespace = {"__name__": "predict"}
    exec(compile(text, "predict.py", "exec"), namespace)
    assert callable(namespace["load"])
    assert callable(namespace["read"])
