"""The job that `run=` names; zip files and sweeps are tested with the commands that take them."""

import subprocess
import sys
from pathlib import Path

from graft.commands.named_job import named_job


def test_a_job_is_its_own_folder_and_no_table_is_read_for_it(tmp_path: Path):
    (tmp_path / "model.yaml").touch()
    assert named_job(tmp_path) == tmp_path
    code = (
        f"from pathlib import Path; from graft.commands.named_job import named_job; named_job(Path({str(tmp_path)!r}))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; print('pandas' in sys.modules)"], capture_output=True
    )
    assert loaded.stdout.split() == [b"False"]
