"""Counted nouns: 1 trial, 1,204 images."""


def counted(count: int, noun: str) -> str:
    """Return a number with its noun.

    Args:
        count: the number.
        noun: in the singular; its plural ends in s, or for s and x in es.

    Example:
        >>> counted(1, "trial"), counted(1204, "test image"), counted(0, "class")
        ('1 trial', '1,204 test images', '0 classes')
    """
    plural = noun + ("es" if noun.endswith(("s", "x")) else "s")
    return f"{count:,} {noun if count == 1 else plural}"
