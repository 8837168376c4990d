"""What a program says of each image in memory: its class and its group, as texts."""

from collections.abc import Mapping, Set
from typing import Any

from graft.errors import GraftError
from graft.nouns import counted

NO_LISTS = (str, bytes, Mapping, Set)  # have a length, and are no values in an order


def class_names(images: Any, labels: Any, classes: Any = None) -> list[str]:
    """Return each image's class.

    Args:
        images: whatever has as many as there are labels.
        labels: texts or whole numbers.
        classes: names of the classes 0, 1, 2, ... of numbers; None: the numbers are the names.

    Raises:
        GraftError: there is not one for each image, or a number has no name of its own.
    """
    values, count = _values(labels), _length(images)
    if values is None or count is None:
        kinds = f"{type(images).__name__} and {type(labels).__name__}"
        raise GraftError(f"images and labels must be arrays or lists, one label for each image, got {kinds}")
    if len(values) != count:
        raise GraftError(
            f"each image needs one label, got {counted(count, 'image')} and {counted(len(values), 'label')}"
        )
    if classes is not None:
        names = _names_of_numbers(classes)
        numbers = [value for value in values if type(value) is not int or not 0 <= value < len(names)]
        if numbers:
            raise GraftError(
                f"classes= names {counted(len(names), 'class')}, for the labels 0 to {len(names) - 1}, but a label is "
                f"{_shown(numbers[0])}; try without it"
            )
        return [names[value] for value in values]
    return _texts("labels", values)


def group_names(images: Any, groups: Any) -> list[str]:
    """Return each image's group.

    Raises:
        GraftError: there is not one for each image.
    """
    values = _values(list(groups) if hasattr(groups, "__next__") else groups)
    if values is None:
        raise GraftError(f"groups must be an array or a list, one group for each image, got {type(groups).__name__}")
    if len(values) != len(images):
        raise GraftError(f"each image needs one group, got {len(images):,} images and {len(values):,} groups")
    return _texts("groups", values)


def may_be_endless(given: Any) -> bool:
    """Return whether list() and NumPy would ask for item after item until there is an IndexError, or no memory.

    Few data sets of PyTorch raise one.
    """
    return hasattr(given, "__getitem__") and not any(hasattr(given, each) for each in ("__iter__", "__array__"))


def _values(given: Any) -> list[Any] | None:
    """Return the values of a list, an array or a column, numbers as Python's; None if it is none of these."""
    if isinstance(given, NO_LISTS) or _length(given) is None or may_be_endless(given):
        return None
    return [plain(each) for each in (given.tolist() if hasattr(given, "tolist") else given)]


def plain(value: Any) -> Any:
    """Return a number of NumPy, or a tensor of one, as Python's, which prints itself as 0.0, not np.float64(0.0).

    A data set's `dataset[0][1]` often is a tensor of one number. Of a tuple or list, each is returned so.
    """
    if isinstance(value, tuple | list):
        return type(value)(map(plain, value)) if type(value) in (tuple, list) else value
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value


def _length(given: Any) -> int | None:
    try:
        return len(given)
    except TypeError:  # an array of one number has the method, too
        return None


def _names_of_numbers(classes: Any) -> list[str]:
    """Return the names of the classes 0, 1, 2, ...

    Raises:
        GraftError: they are no list of texts, or two classes have one name.
    """
    values = _values(classes)
    if not values:
        given = type(classes).__name__ if values is None else "none"
        raise GraftError(
            f"classes must be a list of names, those of the labels 0, 1, 2, ..., got {given}; try "
            'classes=["cat", "dog"]'
        )
    names = _texts("classes", values, "one for each label")
    for number, name in enumerate(names):
        if name in names[:number]:
            raise GraftError(
                f"classes must be different names, but {names.index(name)} and {number} are both {name!r}; give each "
                "number a name of its own, or one number to the images of both"
            )
    return names


def _texts(what: str, values: list[Any], number: str = "one for each image") -> list[str]:
    """Return values as texts.

    Args:
        what: they are, in the plural.
        values: texts or whole numbers.
        number: how many there must be, in words.

    Raises:
        GraftError: one is neither a text nor a whole number, or two would be one text.
    """
    wrong = [value for value in values if not isinstance(value, str | int) or not str(value).strip()]
    if wrong:
        raise GraftError(f"{what} must be texts or whole numbers, {number}, got {_shown(wrong[0])}")
    texts = {str(value) for value in values if isinstance(value, str)}
    both = texts & {str(value) for value in values if not isinstance(value, str)}
    if both:
        raise GraftError(f"{what} have the text {min(both)!r} and the value {min(both)}; make both one or the other")
    # np.str_ is a str, but prints itself as np.str_('cat')
    return [str(value) for value in values]


def _shown(value: Any) -> str:
    """Return a value as one types it, of a long one the kind only."""
    text = repr(value)
    return text if len(text) <= 60 else f"a {type(value).__name__}"
