"""Where the configuration files are: beside the package in a wheel, beside src/ in a checkout."""

from pathlib import Path

import graft

PACKAGE = Path(graft.__file__).parent
CONF = next((path for path in (PACKAGE / "conf", PACKAGE.parents[1] / "conf") if path.is_dir()), PACKAGE / "conf")
