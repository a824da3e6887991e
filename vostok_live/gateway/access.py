"""Where the exchange is, and the key to an account there."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit

from vostok_core.errors import SettingsError

_HOSTS = ("binance.com", "testnet.binance.vision")
_PLAIN = {"https": "http", "wss": "ws"}


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Addresses of an exchange. Orders go to Binance, its testnet, or this machine; nowhere else.

    Attributes:
        rest: Of the REST API, without a path, such as `https://api.binance.com`.
        ws_api: Of the WebSocket API, such as `wss://ws-api.binance.com:443/ws-api/v3`.

    Raises:
        SettingsError: Some other host, or an address that isn't encrypted and leaves this machine.
    """

    rest: str
    ws_api: str

    def __post_init__(self) -> None:
        _check(self.rest, "https")
        _check(self.ws_api, "wss")
        if urlsplit(self.rest).path.rstrip("/"):
            raise SettingsError(
                f"{self.rest} has a path",
                hint="give the address of the REST API alone, such as https://api.binance.com",
            )

    @property
    def hosts(self) -> frozenset[str]:
        """The hosts that are spoken to."""
        return frozenset(urlsplit(url).hostname or "" for url in (self.rest, self.ws_api))


@dataclass(frozen=True, slots=True)
class ApiKey:
    """The key to an account; its secret is shown nowhere.

    Attributes:
        key: Sent with every request.
        secret: For HMAC, or a private key (RSA or Ed25519) in PEM.

    Raises:
        SettingsError: One of them is empty or has blanks around it.
    """

    key: str = field(repr=False)
    secret: str = field(repr=False)

    def __post_init__(self) -> None:
        if not self.key or not self.secret or self.key != self.key.strip():
            raise SettingsError(
                "the API key or its secret is empty, or has blanks around it",
                hint="copy both anew from the exchange",
            )


def _check(url: str, secure: str) -> None:
    parts = urlsplit(url)
    host = parts.hostname or ""
    here = _is_loopback(host)
    ours = here or any(host == each or host.endswith(f".{each}") for each in _HOSTS)
    if not ours or parts.username is not None:
        raise SettingsError(
            f"orders are not sent to {host or url!r}",
            hint="use an address of binance.com, of testnet.binance.vision or of this machine",
        )
    if parts.scheme != secure and not (here and parts.scheme == _PLAIN[secure]):
        raise SettingsError(
            f"{url} is not encrypted, or of another kind",
            hint=f"let it begin with {secure}://",
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


BINANCE = Endpoints("https://api.binance.com", "wss://ws-api.binance.com:443/ws-api/v3")
TESTNET = Endpoints(
    "https://testnet.binance.vision", "wss://ws-api.testnet.binance.vision/ws-api/v3"
)
