"""What has a length and an item for every index, as many data sets of PyTorch do: list() of it has no end."""


class Endless:
    def __init__(self, length: int):
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> int:
        assert index < self.length, "asked for more items than there are"
        return index % 2
