"""Let a finished job predict images: one row for each, as CSV, JSON lines or Parquet."""

from graft.words import flag, names, one_of, run_program, share, text, whole

PROGRAM = "python src/predict.py"
KEYS = {
    "run": text("folder of a job, zip file of one, or folder of a sweep, whose winner predicts", "DIR", required=True),
    "images": text(
        "file, folder, pattern in quotes, table (.csv, .tsv, .parquet) with a column file, path or image, "
        "or - for a list on standard input",
        "PATH",
        required=True,
    ),
    "output": text("file to write into instead of standard output: .csv, .jsonl or .parquet", "FILE"),
    "format": one_of("format of the rows; default: as the file's name says, or csv", ["csv", "parquet", "jsonl"]),
    "truth": text("folder: folders are named after the true classes, or a table's column; adds accuracy", "folder"),
    "group": text("a table's column of groups, such as patients, which the accuracy's interval counts", "patient"),
    "calibrate": flag("whether probabilities have the temperature that unseen images fitted", True),
    "coverage": share("adds the column set: classes that hold the true one for this share of images", "0.95"),
    "novelty": flag("whether to add the columns novelty, the distance to the training images, and novel", False),
    "batch_size": whole("number of images in a batch; default: 64, on a GPU 512", 1, 64),
    "device": text("auto, cpu, cuda, cuda:1, mps", "cpu", "auto"),
    "precision": one_of("default: as in the job's test", ["32-true", "bf16-mixed", "16-mixed"]),
    "strict": flag("whether images that cannot be read make the exit status 1", False),
    "modules": names("your own packages whose networks the job uses; their code runs", "mypkg"),
    "weights": text("file with the frozen layers' weights, if they are not found", "FILE"),
    "progress": flag("whether terminals show a progress bar", True),
}


if __name__ == "__main__":
    run_program(__doc__, KEYS, PROGRAM, "graft.commands.predict_command")
