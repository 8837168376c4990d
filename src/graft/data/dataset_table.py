"""Data sets whose images are rows of tables, or of data sets of Hugging Face."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from graft.data import load
from graft.data.class_choice import Domain, Domains
from graft.data.dataset import Dataset
from graft.data.images import Images
from graft.data.load import Where
from graft.tables.columns import AUTO, Columns
from graft.tables.huggingface import hugging_face
from graft.tables.table_rows import listing_of


class Table(Dataset):
    """Image files that one or several tables name, with a column of labels and, if there are, of parts and groups.

    Args:
        file: the table, or several.
        image: column of paths; `auto`: as its name or its files say.
        label: column of classes.
        split: column of parts; None: all images are one part.
        group: column of groups; None: there are none.
        suffix: of files that are named without one; None: the only one that there is.
        domain: column of domains; None: classes alone make the splits.
        big_domain: values of that column to pre-train on; `rest`: all that `small_domain` does not name.
        small_domain: values of that column to transfer to.
        settings: what `Dataset` takes; paths are relative to `root` or, if it is None, to each table's folder.
    """

    def __init__(
        self,
        file: str | Sequence[str],
        image: str = AUTO,
        label: str = AUTO,
        split: str | None = AUTO,
        group: str | None = AUTO,
        suffix: str | None = None,
        domain: str | None = None,
        big_domain: Domain | Sequence[Domain] = "rest",
        small_domain: Domain | Sequence[Domain] | None = None,
        **settings: Any,
    ):
        self.domains = Domains(domain, small_domain, big_domain)
        columns = {"image": image, "label": label, "split": split, "group": group, "domain": domain, "suffix": suffix}
        places = {key: settings.get(key) for key in ("root", "group_pattern")}
        self.listing = listing_of({"file": file, **columns, **places})
        super().__init__(**settings)

    def load(self, where: Where) -> Images:
        return load.table(self.listing, where)


class HuggingFace(Dataset):
    """A data set of Hugging Face, by its name on the hub or on disk.

    Args:
        path: the name, or a folder or file, as `hugging_face` takes it.
        config: the configuration of a data set that has several.
        image: column of images; `auto`: the only one.
        label: column of classes; `auto`: the only one of class labels.
        split: `auto`: the data's own splits; None: all are one part.
        group: column of groups; None: there are none.
        domain: column of domains; None: classes alone make the splits.
        big_domain: values of that column to pre-train on; `rest`: all that `small_domain` does not name.
        small_domain: values of that column to transfer to.
        settings: what `Dataset` takes.
    """

    def __init__(
        self,
        path: str,
        config: str | None = None,
        image: str = AUTO,
        label: str = AUTO,
        split: str | None = AUTO,
        group: str | None = AUTO,
        domain: str | None = None,
        big_domain: Domain | Sequence[Domain] = "rest",
        small_domain: Domain | Sequence[Domain] | None = None,
        **settings: Any,
    ):
        self.domains = Domains(domain, small_domain, big_domain)
        self.named, self.columns = (path, config), Columns(image, label, split, group, domain)
        super().__init__(**settings)

    def load(self, where: Where) -> Images:
        cache = Path(where.cache or "outputs/cache") / "huggingface"
        listing = hugging_face(*self.named, self.columns, where.group_pattern, cache)
        return load.table(listing, where)


def joined(own: type[Dataset]) -> inspect.Signature:
    """Return the parameters of a data set with those of `Dataset` in place of its `settings`."""
    first = inspect.signature(own.__init__).parameters.values()
    second = inspect.signature(Dataset).parameters.values()
    named = [each for each in first if each.name not in ("self", "settings")]
    return inspect.Signature([each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in (*named, *second)])


for each in (Table, HuggingFace):  # so that a key that is none is refused as one
    each.__signature__ = joined(each)  # type: ignore[attr-defined]
