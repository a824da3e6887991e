"""Let Atheris look for inputs that reach code which none before has reached.

python -m tests.sources.fuzz_follow csv FOLDER 120
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

# Whatever is imported before is not followed.
with atheris.instrument_imports(include=["vostok_pipelines.sources"]):
    from tests.sources import fuzzing


def follow(format_: str, corpus: Path, seconds: int) -> None:
    instrument, text = fuzzing.TEXTS[format_]
    (corpus / "good").write_bytes(text.encode())
    words = corpus.parent / f"{corpus.name}.dict"
    quoted = ("".join(f"\\x{byte:02x}" for byte in word) for word in fuzzing.WORDS if word)
    words.write_text("".join(f'"{each}"\n' for each in quoted))

    def one(data: bytes) -> None:
        fuzzing.must_be_read_or_refused(data, format_, instrument)

    limits = [f"-max_total_time={seconds}", "-max_len=4096", f"-dict={words}", "-rss_limit_mb=4096"]
    limits += [f"-artifact_prefix={corpus}/"]
    atheris.Setup(["fuzz", str(corpus), *limits], one)
    atheris.Fuzz()


if __name__ == "__main__":
    follow(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
