"""Run one of Graft's programs on a device that stands for a GPU; it is built where it has not been.

python tests/stand_in/device.py FOLDER src/train.py trials=3: FOLDER gets the compiled device, which needs a C++
compiler and `pip install ninja`. Jobs train on it with trainer.accelerator=stand_in, predict.py takes device=stand_in.
What a GPU would refuse is an error: tensors of the CPU beside tensors of the device, or a generator of the other one.
"""

import atexit
import runpy
import sys
import types
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.accelerators import Accelerator, AcceleratorRegistry
from pytorch_lightning.strategies import SingleDeviceStrategy
from pytorch_lightning.trainer.connectors import accelerator_connector
from torch.utils import backend_registration
from torch.utils.cpp_extension import load

NAME = "stand_in"


class StandIn(Accelerator):
    """The device, as Lightning asks for it."""

    def setup_device(self, device: torch.device) -> None: ...

    def teardown(self) -> None: ...

    def get_device_stats(self, device: Any) -> dict[str, Any]:
        return {}

    @staticmethod
    def parse_devices(devices: Any) -> list[int]:
        return [0]

    @staticmethod
    def get_parallel_devices(devices: list[int]) -> list[torch.device]:
        return [torch.device(NAME, 0)]

    @staticmethod
    def auto_device_count() -> int:
        return 1

    @staticmethod
    def is_available() -> bool:
        return True

    @staticmethod
    def name() -> str:
        return NAME


def register(folder: Path) -> None:
    """Add the device to PyTorch and to Lightning; print the number of its operations as Python ends.

    Args:
        folder: of the compiled device.
    """
    folder.mkdir(parents=True, exist_ok=True)
    backend_registration.rename_privateuse1_backend(NAME)
    torch._register_device_module(NAME, _module())
    source = Path(__file__).parent / "device.cpp"
    built: Any = load("stand_in_device", [str(source)], extra_cflags=["-O1"], build_directory=str(folder))
    backend_registration.generate_methods_for_privateuse1_backend(for_storage=True)
    AcceleratorRegistry.register(NAME, StandIn)
    connectors: Any = accelerator_connector._AcceleratorConnector
    choose = connectors._choose_strategy

    def with_stand_in(connector: Any) -> Any:  # Lightning takes the CPU for an accelerator that it does not know
        if connector._accelerator_flag == NAME or isinstance(connector._accelerator_flag, StandIn):
            return SingleDeviceStrategy(device=torch.device(NAME, 0))
        return choose(connector)

    connectors._choose_strategy = with_stand_in
    atexit.register(lambda: print(f"{built.operations()} operations on {NAME}", file=sys.stderr))


def _module() -> types.ModuleType:
    """Return what `torch.cuda` is for CUDA, as far as PyTorch asks for it."""
    module: Any = types.ModuleType(f"torch.{NAME}")
    module.is_available = module.is_initialized = lambda: True
    module._is_in_bad_fork = lambda: False
    module.device_count = lambda: 1
    module.current_device = lambda: 0
    module.manual_seed = module.manual_seed_all = lambda seed: None
    module.get_amp_supported_dtype = lambda: [torch.bfloat16, torch.float16]
    return module


if __name__ == "__main__":
    register(Path(sys.argv[1]))
    sys.argv = sys.argv[2:]
    runpy.run_path(sys.argv[0], run_name="__main__")
