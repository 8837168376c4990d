"""Data sets on Hugging Face's hub."""

import logging
import os
from typing import Any

from graft.errors import ConfigError, Fault, GraftError

log = logging.getLogger("graft")


def from_hub(name: str, config: str | None) -> Any:
    """Return a data set of the hub, or of its cache in HF_HOME if the hub cannot be reached.

    Raises:
        GraftError: the hub does not have it, or not in this configuration, or cannot be reached.
    """
    from datasets import exceptions, get_dataset_config_names, load_dataset  # pyright: ignore[reportMissingImports]

    hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    for talkative in ("httpx", "httpx2", "huggingface_hub"):  # a line for each request and for each of 5 retries
        logging.getLogger(talkative).setLevel(logging.ERROR)
    log.info("%s is no file or folder here; it is looked for on the hub %s, which is tried for about 20 s", name, hub)
    try:
        return load_dataset(name, config)
    except exceptions.DatasetNotFoundError as error:
        raise GraftError(
            f"dataset.path={name} is no file or folder here, and the hub {hub} has no such data set or does not show "
            f"it ({' '.join(str(error).split())}); expected the name on its page there, as in dataset.path=USER/NAME; "
            "for one that is private or gated, log in with: hf auth login"
        ) from None
    except ValueError as error:
        if "BuilderConfig" not in str(error) and "Config name is missing" not in str(error):
            raise
        names = get_dataset_config_names(name)
        raise ConfigError(
            [Fault("dataset.config", config, f"one of {name}'s: {', '.join(names)}", f"dataset.config={names[0]}")]
        ) from None
    except ConnectionError:
        saved = f"import datasets; datasets.load_dataset('{name}').save_to_disk('DIR')"
        raise GraftError(
            f"dataset.path={name} is no file or folder here, and the hub {hub} cannot be reached, nor has its cache "
            "here this data set; check the name, the network, HF_ENDPOINT and HF_HUB_OFFLINE, or copy it from a "
            f'machine that has a network, where python -c "{saved}" writes it, and type dataset.path=DIR'
        ) from None
