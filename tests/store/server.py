"""A real S3-compatible server: SeaweedFS, in one process, on this machine's own addresses."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
BUCKET = "vostok-tests"
KEY, SECRET = "vostoktests", "not-a-secret-0123456789"


@dataclass(frozen=True)
class Server:
    """The server's address, and what its clients need."""

    url: str
    port: int

    @property
    def environment(self) -> dict[str, str]:
        """What tells a process how to reach it and who it is."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    """The server, with its data in a folder, until the end of the block."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "s3.json"
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    reader = {"accessKey": "reader", "secretKey": SECRET}
    identities = [
        {
            "name": "tests",
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": actions,
        },
        {"name": "reader", "credentials": [reader], "actions": ["Read", "List"]},
    ]
    config.write_text(json.dumps({"identities": identities}))
    names = ["master.port", "volume.port", "filer.port", "s3.port"]
    ports = dict(zip([*names, *(f"{name}.grpc" for name in names)], _free_ports(8), strict=True))
    arguments = [
        "server", f"-dir={folder}", f"-ip={HOST}", f"-ip.bind={HOST}", "-filer", "-s3",
        *(f"-{name}={port}" for name, port in ports.items()),
        f"-s3.config={config}", "-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0",
        f"-filer.localSocket=@vostok-filer-{ports['filer.port']}",
        f"-s3.localSocket=@vostok-s3-{ports['s3.port']}",
        "-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=0",
        "-volume.preStopSeconds=0",
    ]  # fmt: skip
    weed = Path(sys.executable).with_name("weed")
    with ExitStack() as stack:
        log = stack.enter_context((folder / "weed.log").open("wb"))
        process = subprocess.Popen(
            [weed, *arguments], stdout=log, stderr=log, cwd=folder, start_new_session=True
        )
        stack.callback(_end, process)
        server = Server(f"http://{HOST}:{ports['s3.port']}", ports["s3.port"])
        _await(server, process, folder / "weed.log")
        _make_bucket(server)
        yield server


def _end(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]


def _await(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(server.url, timeout=1):
                return
        except urllib.error.HTTPError:
            return  # it wants to know who asks
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"the server did not start: {log.read_text(errors='replace')[-2000:]}")


def _make_bucket(server: Server) -> None:
    """The server makes the bucket when its administrator first writes to it."""
    import obstore
    from obstore.store import S3Store

    store = S3Store(
        BUCKET,
        config={
            "endpoint": server.url,
            "access_key_id": KEY,
            "secret_access_key": SECRET,
            "region": "us-east-1",
        },
        client_options={"allow_http": True},
    )
    obstore.put(store, "made", b"")
