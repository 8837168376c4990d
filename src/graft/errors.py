"""The one exception that a user of Graft meets."""


class GraftError(Exception):
    """A mistake that the user can mend; the message is all that they see.

    It says what happened, what was expected and what to try, in that order.
    """
