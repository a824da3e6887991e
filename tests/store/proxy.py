"""Stands between a client and the server: counts requests, and spoils some of them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPResponse

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Request:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    raw: bytes

    @property
    def is_conditional(self) -> bool:
        """Whether it is to write under a condition."""
        return self.method == "PUT" and bool({"if-match", "if-none-match"} & self.headers.keys())


Fault = Callable[[Request], bytes | str | None]
"""What is to become of a request: None to let it pass, `before` to break the connection before the
server hears of it, `after` to break it once the server has answered, or an answer of its own."""


@dataclass
class Proxy:
    """Its address, what went through it, and what it does to that."""

    url: str
    seen: list[Request] = field(default_factory=list)
    fault: Fault | None = None

    def counts(self) -> dict[str, int]:
        """Requests by method."""
        found: dict[str, int] = {}
        for request in self.seen:
            found[request.method] = found.get(request.method, 0) + 1
        return found


def answer(status: str, headers: str = "", body: str = "") -> bytes:
    """An answer of the proxy's own."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n{body}".encode()


@contextmanager
def between(port: int) -> Iterator[Proxy]:
    """A proxy for the server at a port of this machine, until the end of the block."""
    listener = socket.create_server((HOST, 0))
    proxy = Proxy(f"http://{HOST}:{listener.getsockname()[1]}")
    threading.Thread(target=_accept, args=(listener, port, proxy), daemon=True).start()
    try:
        yield proxy
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _accept(listener: socket.socket, port: int, proxy: Proxy) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_serve, args=(client, port, proxy), daemon=True).start()


def _serve(client: socket.socket, port: int, proxy: Proxy) -> None:
    with client, suppress(OSError), socket.create_connection((HOST, port)) as server:
        incoming = client.makefile("rb")
        while (request := _read(incoming)) is not None:
            proxy.seen.append(request)
            fate = proxy.fault(request) if proxy.fault else None
            if isinstance(fate, bytes):
                client.sendall(fate)
                continue
            if fate == "before":
                return
            server.sendall(request.raw)
            response = HTTPResponse(server, method=request.method)
            response.begin()
            body = response.read()
            if fate == "after":
                return
            client.sendall(_written(response, request, body))


def _read(incoming) -> Request | None:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = incoming.readline()
        if not line:
            return None
        head += line
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    body = incoming.read(int(headers.get("content-length", "0")))
    method, path, _ = first.split(" ", 2)
    return Request(method, path, headers, head + body)


def _written(response: HTTPResponse, request: Request, body: bytes) -> bytes:
    head = [f"HTTP/1.1 {response.status} {response.reason}"]
    for name, value in response.getheaders():
        if name.lower() not in ("transfer-encoding", "connection", "content-length"):
            head.append(f"{name}: {value}")
    length = response.getheader("Content-Length") if request.method == "HEAD" else str(len(body))
    if response.status not in (204, 304):
        head.append(f"Content-Length: {length or 0}")
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body
