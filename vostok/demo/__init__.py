"""The demo: a world whose truth is known, walked by the shipped pipeline and judged by its gate.

`world` says what is planted; `run` writes the history, starts a `worker` for each instrument,
shows progress and prints what came of it; `result` is the published form of that.
"""
