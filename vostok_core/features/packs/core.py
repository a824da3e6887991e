"""The pack `core`: what prices, volumes, flow and prints of the instrument itself say."""

from __future__ import annotations

from vostok_core.features.kernels.averages import ema_distance, window_distances
from vostok_core.features.kernels.clock import shape_and_time
from vostok_core.features.kernels.flow import flow, flow_means
from vostok_core.features.kernels.indicators import bollinger, directional, macd, rsi
from vostok_core.features.kernels.trades import activity, trade_shape
from vostok_core.features.kernels.volatility import realised, returns, volatility
from vostok_core.features.registry import Pack, register

CORE = register(
    Pack(
        name="core",
        version="1",
        description="Price, volatility, volume, order flow and prints of the instrument itself.",
        inputs="bars",
        kernels=(
            returns((1, 5, 15, 60, 240), span=1440),
            volatility(60),
            volatility(1440),
            realised((30, 60), longest=1440),
            rsi(14),
            macd(12, 26, 9),
            bollinger(20, 2.0),
            directional(14),
            ema_distance(12),
            ema_distance(60),
            ema_distance(240),
            window_distances((60, 240)),
            flow((5, 15, 30, 60, 240), levels=2),
            flow_means(30, persistence=0.9),
            flow_means(60, persistence=0.9),
            activity(30, 1440),
            trade_shape(30),
            shape_and_time(),
        ),
    )
)
