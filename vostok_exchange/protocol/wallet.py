"""What ccxt and a careful client ask of Binance's wallet (`sapi`): keys, coins, commission."""

from __future__ import annotations

from vostok_exchange.commands import Burn
from vostok_exchange.protocol import payloads
from vostok_exchange.protocol.calls import Call
from vostok_exchange.protocol.parameters import BOOLEAN, SYMBOL
from vostok_exchange.protocol.payloads import Payload
from vostok_exchange.symbols import amount_text


def system_status(call: Call) -> Payload:
    """All is well."""
    call.parameters.done()
    return {"status": 0, "msg": "normal"}


def key_permissions(call: Call) -> Payload:
    """What the key that asks may do."""
    call.parameters.done()
    assert call.holder is not None, "the operation needs a key"
    key = call.holder.key
    return {
        "ipRestrict": True,
        "createTime": call.stamp(call.exchange.desk.setup.start),
        "enableReading": True,
        "enableWithdrawals": key.withdraw,
        "enableInternalTransfer": False,
        "enableMargin": False,
        "enableFutures": False,
        "permitsUniversalTransfer": False,
        "enableVanillaOptions": False,
        "enableFixApiTrade": False,
        "enableFixReadOnly": False,
        "enableSpotAndMarginTrading": key.trade,
        "enablePortfolioMarginTrading": False,
    }


def coins(call: Call) -> list[Payload]:
    """Every asset, and how much of it the account has."""
    call.parameters.done()
    call.exchange.now()
    balances = call.exchange.desk.venue.account(call.uid).balances
    found = []
    for asset in call.exchange.assets():
        balance = balances.get(asset)
        free, locked = (balance.free, balance.locked) if balance else (0, 0)
        found.append(
            {
                "coin": asset,
                "depositAllEnable": False,
                "free": amount_text(free),
                "freeze": "0",
                "ipoable": "0",
                "ipoing": "0",
                "isLegalMoney": False,
                "locked": amount_text(locked),
                "name": asset,
                "networkList": [],
                "storage": "0",
                "trading": True,
                "withdrawAllEnable": False,
                "withdrawing": "0",
            }
        )
    return found


def no_pairs(call: Call) -> list[Payload]:
    """Margin pairs, of which there are none."""
    call.parameters.done()
    return []


def trade_fees(call: Call) -> list[Payload]:
    """What the account pays in each symbol, as shares."""
    name = call.parameters.optional("symbol", SYMBOL)
    call.parameters.done()
    rates = payloads.commission_rates(call.exchange.desk.venue.account(call.uid).rates)
    names = call.exchange.desk.venue.listings if name is None else [call.listing(name).symbol.name]
    return [
        {"symbol": each, "makerCommission": rates["maker"], "takerCommission": rates["taker"]}
        for each in names
    ]


def burn(call: Call) -> Payload:
    """Whether the account pays its commission in BNB."""
    call.parameters.done()
    return _burn(call)


def set_burn(call: Call) -> Payload:
    """Say whether it does."""
    wanted = call.parameters.optional("spotBNBBurn", BOOLEAN)
    call.parameters.optional("interestBNBBurn", BOOLEAN)
    call.parameters.done()
    if wanted is not None:
        call.do(Burn(call.uid, wanted))
    return _burn(call)


def _burn(call: Call) -> Payload:
    rates = call.exchange.desk.venue.account(call.uid).rates
    return {"spotBNBBurn": rates.burn, "interestBNBBurn": False}
