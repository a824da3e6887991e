"""The control API: HTTP on this machine, for the command line, the monitor and Prometheus.

    GET  /livez             200 while the daemon does its work, else 503 and why
    GET  /readyz            200 while a position may be opened, else 503 and the reasons
    GET  /healthz           both in short; 503 only where /livez is
    GET  /metrics           for Prometheus
    GET  /status            everything (`status.Status`)
    POST /control/<action>  pause, resume, flatten, kill, reset

Whoever is on this machine may ask how the daemon is, so that a supervisor, a container's probe and
Prometheus need no secret. What tells how much money there is takes the token, as does every
control: without it /status is refused, /metrics leaves out money and position, and /readyz gives
reasons by code and hint, without their words, which may name amounts. With
`authorization: {credentials_file: <state folder>/control.token}` Prometheus gets it all.

Every control is written down by the source before it is done, and one that is refused is not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from aiohttp import web

from vostok_core.errors import VostokError
from vostok_core.trading.events import Action
from vostok_live.seams import Random
from vostok_live.service import exposition, logs
from vostok_live.service.announce import Address, announce, withdraw
from vostok_live.service.controls import ACTIONS, Asked, Controlled
from vostok_live.service.errors import ServiceError
from vostok_live.service.guard import Guard, Turned, document, loopback
from vostok_live.service.metrics import expose
from vostok_live.service.source import Source
from vostok_live.service.status import Status, encode
from vostok_live.service.token import ensure_token

_LARGEST = 1_024  # bytes of a request's body
_PATIENCE = 10.0  # seconds that a control is waited for

_log = logging.getLogger(f"{logs.ROOT}.service")
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Answers for a source.

    Args:
        source: The daemon.
        token: What callers must know.
        patience: Seconds that a control is waited for.
    """

    def __init__(self, source: Source, token: str, *, patience: float = _PATIENCE) -> None:
        self._source = source
        self._guard = Guard(token)
        self._patience = patience
        self._controls: set[asyncio.Task[None]] = set()

    def app(self) -> web.Application:
        """The application, to be run by aiohttp."""
        app = web.Application(client_max_size=_LARGEST, middlewares=[self._answering])
        app.on_response_prepare.append(_sign)
        for path, handler in (
            ("/livez", self._livez),
            ("/readyz", self._readyz),
            ("/healthz", self._healthz),
            ("/metrics", self._metrics),
            ("/status", self._status),
        ):
            app.router.add_get(path, handler)
        app.router.add_post("/control/{action}", self._control)
        return app

    async def close(self) -> None:
        """Give up controls that have not been heard; to be called when the daemon ends."""
        for task in tuple(self._controls):
            task.cancel()
        await asyncio.gather(*self._controls, return_exceptions=True)

    # What is asked

    async def _livez(self, _: web.Request) -> web.Response:
        pulse = self._source.pulse()
        about = {"alive": pulse.failing is None, "loop_lag_ms": 1e3 * pulse.loop_lag}
        if pulse.failing is None:
            return _json(about)
        return _json({**about, "why": pulse.failing}, 503)

    async def _readyz(self, request: web.Request) -> web.Response:
        known = self._guard.knows(request)
        status = self._source.status()
        reasons = [
            {"code": each.code, "what": each.what, "hint": each.hint}
            if known
            else {"code": each.code, "hint": each.hint}
            for each in status.reasons
        ]
        about = {"ready": status.ready, "reasons": reasons}
        return _json(about, 200 if status.ready else 503)

    async def _healthz(self, _: web.Request) -> web.Response:
        pulse, status = self._source.pulse(), self._source.status()
        alive = pulse.failing is None
        about = {
            "status": "failing" if not alive else "ok" if status.ready else "not_ready",
            "alive": alive,
            "ready": status.ready,
            "state": status.state,
            "paused": status.paused,
            "killed": status.killed is not None,
            "mode": status.mode,
            "strategy": status.strategy,
            "instrument": status.instrument,
            "version": status.version,
            "run": status.run,
            "uptime_s": status.uptime_s,
            "loop_lag_ms": 1e3 * pulse.loop_lag,
        }
        return _json(about, 200 if alive else 503)

    async def _metrics(self, request: web.Request) -> web.Response:
        private = self._guard.knows(request)
        text = expose(self._source.status(), self._source.measures, private=private)
        return web.Response(body=text.encode(), headers={"Content-Type": exposition.CONTENT_TYPE})

    async def _status(self, request: web.Request) -> web.Response:
        self._guard.require(request)
        return web.Response(body=encode(self._source.status()), content_type="application/json")

    async def _control(self, request: web.Request) -> web.Response:
        self._guard.require(request)
        action = _action(request.match_info["action"])
        asked_by = f"{await _asker(request)}, by the control API"
        self._source.measures.controls[action] += 1
        logs.event(_log, "warning", "control", f"{action} was asked for", asked_by=asked_by)
        # What was begun is not given up because the asker goes or has waited long enough.
        task = asyncio.ensure_future(self._source.control(action, asked_by))
        self._controls.add(task)
        task.add_done_callback(self._controls.discard)
        done, _ = await asyncio.wait({task}, timeout=self._patience)
        if done:
            task.result()
        return _json(
            _controlled(action, self._source.status(), done=bool(done)), 200 if done else 202
        )

    # How it is answered

    @web.middleware
    async def _answering(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Turn away who may not call, and tell every error in the same form."""
        try:
            self._guard.check(request)
            return await handler(request)
        except Turned as turned:
            self._source.measures.refused_calls[turned.reason] += 1
            if turned.reason != "too_many":
                what, path = turned.error.what, request.path[:100]
                logs.event(_log, "warning", "call_refused", what, path=path, reason=turned.reason)
            return _json(document(turned.error), turned.status, turned.headers)
        except VostokError as error:
            return _json(document(error), 409)
        except msgspec.MsgspecError as error:
            logs.event(_log, "error", "status", f"it is not as published: {error}")
            said = ServiceError(f"the status can't be told: {error}", hint="report this as a bug")
            return _json(document(said), 500)
        except web.HTTPException as error:
            said = ServiceError(
                f"{request.method} {request.path[:100]}: {error.reason}",
                hint="docs/live-control.md lists what can be asked",
            )
            allowed = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
            return _json(document(said), error.status, allowed)


@asynccontextmanager
async def serving(
    source: Source, state: Path, random: Random, *, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[Address]:
    """Serve a daemon, and say in its state folder where, until the block ends.

    Args:
        source: The daemon.
        state: Its state folder, which exists and which this process alone writes to.
        random: Chance, for the token.
        host: Where to listen: an address of loopback.
        port: Likewise; 0 for any that is free.

    Yields:
        Where it listens.

    Raises:
        SettingsError: Other machines could reach it there.
        ServiceError: It can't listen there.
    """
    host = loopback(host)
    token, fresh = ensure_token(state, random)
    server = Server(source, token)
    runner = web.AppRunner(server.app(), access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise ServiceError(
                f"the control API can't listen on port {port}: {error.strerror or error}",
                where=host,
                hint="choose another port, or 0 for any that is free",
            ) from None
        bound = runner.addresses[0][1]
        name = f"[{host}]" if ":" in host else host
        address = announce(state, f"http://{name}:{bound}")
        logs.event(
            _log, "info", "serving", "the control API listens", url=address.url, new_secret=fresh
        )
        try:
            yield address
        finally:
            withdraw(state, address)
    finally:
        await server.close()
        await runner.cleanup()


def _action(name: str) -> Action:
    for action in ACTIONS:
        if action == name:
            return action
    raise web.HTTPNotFound


async def _asker(request: web.Request) -> str:
    """Who says to ask, as far as that can be printed."""
    body = await request.read()
    try:
        asked = msgspec.json.decode(body, type=Asked) if body else Asked()
    except msgspec.MsgspecError:
        raise web.HTTPBadRequest from None
    return "".join(c for c in asked.asked_by if c.isprintable())[:60] or "somebody"


def _controlled(action: Action, status: Status, *, done: bool) -> Controlled:
    return Controlled(action, done, status.state, status.paused, status.killed)


def _json(
    content: object, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(content),
        status=status,
        headers=headers,
        content_type="application/json",
    )


async def _sign(_: web.Request, response: web.StreamResponse) -> None:
    """No cache keeps an answer, no browser takes it for a page, and it names no libraries."""
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Server"] = "vostok"
