"""A finished job's model as a file that needs no Graft: ONNX, PyTorch's export, a folder for the Hugging Face hub."""
