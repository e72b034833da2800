"""What `repu_lab.watch` costs: 1,000 steps of a loop in plain torch with and without it, step by step in turn.

CPU seconds of one thread; the event file is written too.
"""

import tempfile
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from repu_lab import watch

STEPS = 1000


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


class Loop:
    """A training loop that counts its CPU seconds."""

    def __init__(self, make: Callable[[], nn.Module], folder: str | None):
        """Make a network, watched if there is a folder."""
        torch.manual_seed(0)
        self.network, self.seconds = make(), 0.0
        self.x, self.y = torch.randn(1024, 64), torch.randint(0, 10, (1024,))
        self.optimizer = torch.optim.Adam(self.network.parameters(), foreach=True)
        self.look = None if folder is None else watch(self.network, self.optimizer, folder=folder)

    def step(self, step: int) -> None:
        """Train for a step."""
        start = time.process_time()
        rows = torch.arange(128) + 128 * (step % 8)
        self.optimizer.zero_grad()
        F.cross_entropy(self.network(self.x[rows]), self.y[rows]).backward()
        self.optimizer.step()
        self.seconds += time.process_time() - start


def main() -> None:
    """Print a line a network."""
    torch.set_num_threads(1)
    for name, make in (("perceptron", perceptron), ("convolutional", Convolutional), ("transformer", Transformer)):
        with tempfile.TemporaryDirectory() as folder:
            plain, watched = Loop(make, None), Loop(make, folder)
            for step in range(STEPS):
                for loop in (plain, watched):
                    loop.step(step)
            assert watched.look is not None
            watched.look.close()
        cost = watched.seconds / plain.seconds - 1
        print(f"{name:14} {1000 * plain.seconds / STEPS:.2f} ms a step, watched {100 * cost:+.1f} %", flush=True)


if __name__ == "__main__":
    main()
