"""What every trial of a finished job said of every test and validation image: outcomes.safetensors and images.csv.

Both are written before `result.json`, which is last; a trial run writes neither. `graft.report.outcomes.read_outcomes`
reads and checks them.

`images.csv` has a row for each image that the job tested, validated or trained on, sorted by number:

    number   the image's place in the data set, from 0: the same in every job on the same data set
    path     of its file, relative to `dataset.root`, or the place in its part of an in-memory data set: test/17, or 17
    hash     of the file's bytes (BLAKE2b), or of an in-memory image's pixels (SHA-256), 32 hexadecimal digits
    class    its name
    group    empty
    split    `test`, `train` or `val`; `train+val` if some trials trained and others validated on it
    draws    number of the trials below that trained on it

`outcomes.safetensors` has a row for each finished trial, in the order of `seeds`, and images in the order of numbers:

    prediction            (trials, images), the predicted class's place in `classes`, uint8, uint16 or uint32
    probability           (trials, images, classes), float16; the softmax of the logits, at most 64 MB in all
    probability_of_label  (trials, images), float16; in place of `probability` where that would be larger
    label                 (images,), the image's class, in the type of `prediction`
    image                 (images,), the image's number, int32

and, for validation images, the same with the prefix `val_`; `val_label` and `val_image` are (trials, images) where each
trial has validation images of its own, else (1, images). `label` and `image` of the test are (trials, images), too, if
trials have test images of their own. `prediction` is what `result.json` counts: `prediction == label` is correct, and
its sum is the trial's `correct`. Rounded probabilities may be equal; so never take their argmax.

The file's metadata has one key, `graft`, a JSON object:

    format    1
    seeds     of the trials; a trial that failed has no row
    classes   their names, in the order of `probability`
    views     number of views of an image whose probabilities were averaged; 1 without test-time augmentation
    identity  the job's, as in `result.json`
    images    SHA-256 of the lines "number,path,hash" of images.csv, which belongs to it
    sha256    of the tensors: of each one's name, type, shape and bytes, in the order of names

The files' bytes depend on nothing else: a repeated run writes the same.
"""
