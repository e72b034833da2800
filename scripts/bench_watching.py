"""What `repu_lab.watch` costs: 1,000 steps of a loop in plain torch, with and without it, in turn in one process.

CPU seconds of one thread, the least of three runs of each; the event file is written too.
"""

import tempfile
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from repu_lab import watch

STEPS, RUNS = 1000, 3


class Convolutional(nn.Module):
    """Convolutions, batch norm and a skip."""

    def __init__(self):
        """Make the layers."""
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.second, self.last = nn.Conv2d(16, 16, 3, padding=1), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return ten numbers an image."""
        h = F.relu(self.norm(self.first(x.view(-1, 1, 8, 8))))
        return self.last((h + F.relu(self.second(h))).mean((2, 3)))


class Transformer(nn.Module):
    """Two of torch's encoder layers over eight pieces of an image."""

    def __init__(self):
        """Make the layers."""
        super().__init__()
        self.first = nn.Linear(8, 32)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True) for _ in range(2)
        )
        self.last = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return ten numbers an image."""
        h = self.first(x.view(-1, 8, 8))
        for block in self.blocks:
            h = block(h)
        return self.last(h.mean(1))


def perceptron() -> nn.Module:
    """Return ten hidden layers of width 128."""
    hidden = [part for _ in range(9) for part in (nn.Linear(128, 128), nn.ReLU())]
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), *hidden, nn.Linear(128, 10))


def seconds(make: Callable[[], nn.Module], watched: bool, folder: str) -> float:
    """Return the CPU seconds of a training run."""
    torch.manual_seed(0)
    network, x, y = make(), torch.randn(1024, 64), torch.randint(0, 10, (1024,))
    optimizer = torch.optim.Adam(network.parameters(), foreach=True)
    start = time.process_time()
    look = watch(network, optimizer, folder=folder) if watched else None
    for step in range(STEPS):
        rows = torch.arange(128) + 128 * (step % 8)
        optimizer.zero_grad()
        F.cross_entropy(network(x[rows]), y[rows]).backward()
        optimizer.step()
    if look is not None:
        look.close()
    return time.process_time() - start


def main() -> None:
    """Print a line a network."""
    torch.set_num_threads(1)
    for name, make in (("perceptron", perceptron), ("convolutional", Convolutional), ("transformer", Transformer)):
        with tempfile.TemporaryDirectory() as folder:
            seconds(make, True, folder)
            runs = [(seconds(make, False, folder), seconds(make, True, folder)) for _ in range(RUNS)]
        plain, watched = (min(column) for column in zip(*runs, strict=True))
        print(f"{name:14} {1000 * plain / STEPS:.2f} ms a step, watched {100 * (watched / plain - 1):+.1f} %")


if __name__ == "__main__":
    main()
