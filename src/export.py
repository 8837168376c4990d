"""Write a finished job's model as a file that needs no Graft: ONNX, PyTorch's .pt2, or a folder for the hub."""

import sys

from graft.ending import default_signals, prepare, stop_on_error
from graft.words import flag, help_text, names, one_of, read_words, text

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


def main() -> int:
    """Read the command line, and export."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(help_text(str(__doc__), KEYS, PROGRAM))
        return 0
    words = read_words(sys.argv[1:], KEYS, PROGRAM)
    from graft.export.command import main  # after the words are checked: PyTorch takes seconds to import

    return main(words)


if __name__ == "__main__":
    prepare()
    default_signals()
    with stop_on_error():
        status = main()
    sys.exit(status)
