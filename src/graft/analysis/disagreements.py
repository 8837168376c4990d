"""The test images on which two jobs differ most."""

from dataclasses import replace

import numpy as np
import pandas

from graft.analysis.mistakes import about
from graft.analysis.predictions import Predictions
from graft.statistics.accuracies import Measured
from graft.statistics.outcomes import Outcomes
from graft.statistics.pairs import paired_outcomes


def disagreements(first: Predictions, second: Predictions) -> pandas.DataFrame:
    """Return a row for each test image that two jobs get right in different shares of the trials that both have.

    The columns are the image's number, path, hash, class and group, as the first job names them, the share of trials
    that are right of the first and of the second job, the difference of these, and the number of common trials that
    tested the image; trials that are one computation stand for any trial of the other job. The largest differences come
    first, whichever job is better; equal ones by number.

    Raises:
        ValueError: the jobs have no common trial, or were not tested on the same images.
    """
    own = _standing_for(first, second.outcomes)
    paired = paired_outcomes([Measured(own), Measured(_standing_for(second, own))])
    if paired is None:
        raise ValueError("the two jobs have no common trial, or were not tested on the same images")
    tested = ~np.isnan(paired[0].values)
    trials = tested.sum(0)
    shares = [np.where(tested, one.values, 0).sum(0) / np.maximum(trials, 1) for one in paired]
    difference = shares[0] - shares[1]
    places = np.flatnonzero(np.abs(difference) > 1e-9)
    table = about(first, places)
    table["first"], table["second"] = shares[0][places], shares[1][places]
    table["difference"], table["trials"] = difference[places], trials[places]
    order = np.lexsort((table["number"], -np.abs(difference[places]).round(9)))
    return table.iloc[order].reset_index(drop=True)


def _standing_for(one: Predictions, other: Outcomes) -> Outcomes:
    """Return what trials of one computation, if they are, would be as each of another job's trials."""
    if not one.copies or other.folds:
        return one.outcomes
    seeds = other.seeds[:1] if other.copies else other.seeds
    return replace(one.outcomes, seeds=seeds, values=one.outcomes.values.repeat(len(seeds), 0))
