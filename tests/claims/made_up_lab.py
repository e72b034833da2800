"""A lab that trains nothing: its networks become what a test says. What tests of claims share."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from repu_lab.claims.lab import Lab, Trained

Keys = dict[str, str]  # a job's overrides


class MadeUp(Lab):
    """A lab whose networks have the records that `member(overrides, number)` gives; `asked`: every job's overrides."""

    def __init__(self, member: Callable[[Keys, int], dict[str, Any]], scale: str = "smoke"):
        super().__init__(Path("nowhere"), scale=scale, versions={})
        self.member = member
        self.asked: list[Keys] = []

    def train(self, jobs: Sequence[Sequence[str]]) -> list[Trained]:
        return [self.made_up(tuple(job)) for job in jobs]

    def made_up(self, job: tuple[str, ...]) -> Trained:
        keys: Keys = dict(text.split("=", 1) for text in job)  # pyright: ignore[reportAssignmentType]
        self.asked.append(keys)
        members = [self.member(keys, number) for number in range(int(keys["members"]))]
        return Trained(job, Path("run"), {"members": members})
