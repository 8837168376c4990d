"""Label suspects among test images: nearly all trials, none of which saw the image, take it for one other class.

This is a suspicion, no finding: a hard image of the right label looks the same.
"""

import importlib.util
import warnings

import numpy as np
import pandas

from graft.analysis.mistakes import mistakes
from graft.analysis.predictions import Predictions, once
from graft.nouns import counted

LEAST = 3  # trials that tested an image, of which nearly all make it a suspect
NEARLY_ALL = 0.9  # of the trials that tested an image
PROBABLE = 0.5  # mean probability of the other class
IMPROBABLE = 0.1  # mean probability of the label, where only that is stored
UNLIKELY = 10  # times less likely than the likeliest class is a suspect label, at least


@once
def label_suspects(found: Predictions) -> tuple[pandas.DataFrame, str]:
    """Return the images with a suspect label, the most suspect first, and in words by which criterion.

    The columns are those of `mistakes`, but wrong is the share of trials that say this one class. Images that fewer
    than `LEAST` trials tested are none: two may agree by chance, and one always does.
    """
    table = mistakes(found)
    images = found.images.index.get_indexer(pandas.Index(table["number"]))
    said = np.array([found.classes.index(name) for name in table["prediction"]], dtype=np.int64)
    same = (found.predicted[:, images] == said) & found.tested[:, images]
    share = table["wrong"] = same.sum(0) / table["trials"].to_numpy()
    enough = table["trials"].to_numpy() >= LEAST
    most = int(found.tests.max())
    if most < LEAST:
        few = f"one needs {LEAST} trials that did not see the image, got {most}"
        return _rows(table, enough), f"{few} ({found.one_computation})" if found.copies else few
    words = f"taken for one other class by at least {100 * NEARLY_ALL:.0f} % of the trials, {LEAST} or more"
    if found.tests.min() < LEAST:
        tested = counted(int((found.tests >= LEAST).sum()), "image")
        words += f" ({tested} had {LEAST} trials)"
    probabilities = found.mean_probability()
    if probabilities is None:
        suspect = enough & (share >= NEARLY_ALL) & (table["probability_of_label"].to_numpy(float) <= IMPROBABLE)
        return _rows(table, suspect), f"{words}, with a mean probability of the label of at most 10 %"
    suspect = enough & (share >= NEARLY_ALL) & (table["probability"].to_numpy(float) >= PROBABLE)
    words += f", with a mean probability of at least {100 * PROBABLE:.0f} %"
    if not suspect.any():
        return _rows(table, suspect), words  # cleanlab takes seconds to import
    doubted = likely_wrong(found.labels, probabilities)
    if doubted is not None:
        suspect &= np.isin(images, doubted[0])
        words += ", and doubted by cleanlab, too"
    return _rows(table, suspect), words


def _rows(table: pandas.DataFrame, chosen: np.ndarray) -> pandas.DataFrame:
    return table.iloc[np.flatnonzero(chosen)].reset_index(drop=True)


def likely_wrong(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the places of images with a suspect label, worst first, and their scores, from 0 (worst) to 1.

    cleanlab (Northcutt et al., Confident Learning, J. Artif. Intell. Res. 70, 2021) judges the labels; of those that
    two of its criteria doubt, a suspect one is much less likely than the likeliest class.

    Args:
        labels: of images, (images,).
        probabilities: of the classes, by a model that has not learned from the image, (images, classes).

    Returns:
        None if cleanlab is not installed, or all images are of one class.
    """
    if importlib.util.find_spec("cleanlab") is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm's, in notebooks without widgets
        from cleanlab.filter import find_label_issues  # pyright: ignore[reportMissingImports]
        from cleanlab.rank import get_label_quality_scores  # pyright: ignore[reportMissingImports]

    classes, own = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        return None
    known = probabilities[:, classes]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of small classes it may find less
        issues = np.asarray(find_label_issues(own, known, filter_by="both", n_jobs=1))
    scores = np.asarray(get_label_quality_scores(own, known, method="self_confidence"))
    found = np.flatnonzero(issues & (UNLIKELY * scores < known.max(1)))
    found = found[scores[found].argsort(kind="stable")]
    return found, scores[found]
