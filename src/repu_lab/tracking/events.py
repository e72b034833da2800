"""An append-only TensorBoard event file: synchronous, cut and continued at any length, and quick.

A record is: length (8 bytes, little endian), its masked CRC-32C, the Event as protocol buffer, its masked CRC-32C.
TensorBoard's own writer appends from a thread to a file named by the clock, and computes the checksum in a Python loop
over bytes (2 ms for the 12 kB of 400 scalars, 30 ms for one set of histograms); google-crc32c takes 1 us.
"""

# pyright: reportAttributeAccessIssue=false
# (protocol buffers define their names when imported)

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import google_crc32c
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

# TensorBoard looks for "tfevents"; no clock, so that a run finds its own.
EVENTS_NAME = "events.out.tfevents.0.repu-lab"


class EventFile:
    """A TensorBoard event file, written in order and at once; every record is complete on return.

    `append_at=None` starts an empty file; a length starts with the first `append_at` bytes of the file that is there,
    drops the rest and appends. Lengths come from `length()`; another place would leave half a record.
    A file continued with what was cut off has the same record boundaries again (only wall times differ), so that a
    TensorBoard that had read further finds its place.
    """

    def __init__(self, path: Path | str, append_at: int | None = None) -> None:
        """Open the file; ValueError if it is shorter than append_at."""
        self.path = Path(path)
        if append_at is None:
            self._file = self.path.open("wb")
            self._append(Event(wall_time=time.time(), file_version="brain.Event:2"))
            self._file.flush()
        else:
            there = self.path.stat().st_size
            if not 0 < append_at <= there:
                raise ValueError(f"cannot continue {self.path} at byte {append_at}: it holds {there} bytes")
            os.truncate(self.path, append_at)
            self._file = self.path.open("ab")

    def write(self, rows: Iterable[tuple[int, Iterable[Any]]]) -> None:
        """Append one Event for each (step, Summary.Value's); a row without values is left out."""
        now = time.time()
        for step, values in rows:
            summary = Summary(value=values)
            if summary.value:
                self._append(Event(wall_time=now, step=step, summary=summary))
        self._file.flush()

    def length(self) -> int:
        """Return the bytes written so far, all of them on the disk (fsync)."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        """Close the file; closing twice does nothing."""
        self._file.close()

    def _append(self, event: Any) -> None:
        self._file.write(record(event.SerializeToString()))


def record(data: bytes) -> bytes:
    """Return data framed as one TFRecord: length, masked CRC of the length, data, masked CRC of the data."""
    header = len(data).to_bytes(8, "little")
    return header + masked_crc32c(header) + data + masked_crc32c(data)


def masked_crc32c(data: bytes) -> bytes:
    """Return the four bytes of TensorFlow's masked CRC-32C: rotated right by 15 bits plus 0xa282ead8."""
    crc = google_crc32c.value(data)
    return (((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")
