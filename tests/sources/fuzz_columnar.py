"""Spoil Parquet or Feather files many times over.

    python -m tests.sources.fuzz_columnar parquet 20000

In a process of limited memory, since what is damaged may claim any size.
"""

from __future__ import annotations

import random
import resource
import sys

from tests.sources.fuzzing import columnar, must_be_read_or_refused

MEMORY = 8 << 30


def spoil(container: str, count: int) -> None:
    lot = random.Random(container)
    files = [columnar(container, each) for each in ("zstd", "uncompressed", "lz4")]
    for _ in range(count):
        data = bytearray(lot.choice(files))
        for _ in range(lot.choice([1, 1, 2, 4, 8])):
            # More often near the end, where a file says what is in it.
            back = lot.randrange(len(data)) if lot.random() < 0.4 else int(lot.expovariate(0.005))
            at = max(0, len(data) - 1 - back)
            if lot.random() < 0.6:
                data[at] = lot.randrange(256)
            elif lot.random() < 0.5:
                del data[at : at + lot.randrange(1, 20)]
            else:
                data[at:at] = lot.randbytes(lot.randrange(1, 9))
            data = data or bytearray(b"P")
        must_be_read_or_refused(bytes(data), container, "a.b.C-D")


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    spoil(sys.argv[1], int(sys.argv[2]))
