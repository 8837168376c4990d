"""Write a finished job's model as a file that needs no Graft: ONNX, PyTorch's .pt2, or a folder for the hub."""

from graft.words import flag, names, one_of, run_program, text

PROGRAM = "python src/export.py"
KEYS = {
    "run": text("folder of a job, zip file of one, or folder of a sweep, for its winner", "DIR", required=True),
    "format": one_of("onnx, torch (.pt2), or hub: a folder for the Hugging Face hub", ["onnx", "torch", "hub"], "onnx"),
    "output": text("folder to write into; default: export/ or hub/ in the job's folder", "DIR"),
    "precision": one_of("of the weights and products; fp16 and int8: onnx only", ["fp32", "fp16", "int8"], "fp32"),
    "trial": text("ensemble: mean of the kept trials; best: by validation or training; or a seed", "best", "ensemble"),
    "modules": names("your own packages whose networks the job uses; their code runs", "mypkg"),
    "weights": text("file with the frozen layers' weights, if they are not found", "FILE"),
    "progress": flag("whether terminals show a progress bar", True),
}


if __name__ == "__main__":
    run_program(__doc__, KEYS, PROGRAM, "graft.export.command")
