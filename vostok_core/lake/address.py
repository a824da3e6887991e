"""Where a lake is: a folder, or a bucket of an S3-compatible object store and a prefix in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Self

from vostok_core.errors import UsageError

if TYPE_CHECKING:
    from vostok_core.lake.objects import Objects

_S3 = re.compile(r"s3:/+(?P<bucket>[^/]*)(?:/(?P<prefix>.*))?", re.DOTALL)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


@dataclass(frozen=True)
class S3Address:
    """`s3://bucket/prefix`.

    Attributes:
        bucket: Name of the bucket, which must exist.
        prefix: What the names of all objects of the lake begin with, without slashes around it; may
            be empty.
    """

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    @property
    def folder_name(self) -> str:
        """Names a folder of this machine that belongs to this address and no other."""
        said = re.sub(r"[^A-Za-z0-9.-]+", "_", f"{self.bucket}_{self.prefix}").strip("_")[:60]
        return f"{said}-{sha256(str(self).encode()).hexdigest()[:10]}"


@dataclass(frozen=True)
class S3Options:
    """What a lake's settings say of an object store; what they don't is asked of the environment.

    Attributes:
        endpoint: Address of the server; none for AWS_ENDPOINT_URL, else AWS itself.
        region: None for AWS_REGION, else us-east-1.
    """

    endpoint: str | None = None
    region: str | None = None


LakeAddress = Path | S3Address


def parse_address(text: str | Path | S3Address, start: Path | None = None) -> LakeAddress:
    """A lake's address as people write it.

    Args:
        text: A folder, or `s3://bucket/prefix`. One slash after `s3:` is as good as two: a path
            that was read as such has lost the other.
        start: Folder that a relative one is meant from; by default the working directory.

    Raises:
        UsageError: It begins like an address and is none that is known.
    """
    if isinstance(text, S3Address):
        return text
    written = str(text)
    found = _S3.fullmatch(written)
    if found is not None:
        bucket, prefix = found["bucket"], (found["prefix"] or "").strip("/")
        if not _BUCKET.fullmatch(bucket):
            raise UsageError(
                f"{written} names no bucket",
                hint="write s3://bucket/prefix, the bucket in lower case, digits and hyphens",
            )
        if any(part in ("", ".", "..") for part in prefix.split("/") if prefix):
            raise UsageError(
                f"{written} has an empty or dotted part", hint="write s3://bucket/prefix"
            )
        return S3Address(bucket, prefix)
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):/", written)
    if scheme is not None:
        raise UsageError(
            f"{written}: a lake is a folder or lies at s3://, not at {scheme[1]}://",
            hint="any store that speaks S3 is named by s3://bucket/prefix and the setting [lake] "
            "endpoint",
        )
    folder = Path(written).expanduser()
    return (start / folder if start is not None else folder).absolute()


@dataclass(frozen=True)
class Remote:
    """The name of an object, or of what would be a folder, in an object store.

    It answers what a path does of its name, and nothing of its content.

    Attributes:
        objects: The store.
        key: Relative to the lake; empty for the lake itself.
    """

    objects: Objects
    key: str

    def __str__(self) -> str:
        return self.objects.spoken(self.key)

    def __truediv__(self, more: str) -> Self:
        return type(self)(self.objects, "/".join(part for part in (self.key, more) if part))

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2]

    @property
    def stem(self) -> str:
        head, dot, _ = self.name.rpartition(".")
        return head if dot and head else self.name

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(self.key.split("/"))

    @property
    def parent(self) -> Self:
        return type(self)(self.objects, self.key.rpartition("/")[0])

    def relative_to(self, other: Remote | Path) -> str:
        """The rest of the name below another.

        Raises:
            ValueError: It is not below it.
        """
        if isinstance(other, Remote) and self.objects == other.objects:
            if not other.key:
                return self.key
            if self.key.startswith(f"{other.key}/"):
                return self.key[len(other.key) + 1 :]
        raise ValueError(f"{self} is not below {other}")

    def as_uri(self) -> str:
        return str(self)


Place = Path | Remote
"""A name in a lake: a path where the lake is a folder."""
