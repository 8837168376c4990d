"""Graft's exceptions: one that a user can act on, one that ends a job without being an error."""


class GraftError(Exception):
    """A mistake that the user can correct; the message is all that they see.

    It says what happened, what was expected and what to try, in that order.
    """


class Pruned(Exception):
    """A search's pruner ended this job, which is neither a failure nor a result."""
