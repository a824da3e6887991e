"""The commands. `app` gathers them; `command` gives each its common options and turns errors into
exit codes; `output` prints tables, which `fit` makes fit the terminal; `decisions` and `verdicts`
tell what the gate and parity decided; the other modules hold a few related commands each.

Commands import what they need when they are called, so that `--help` is quick.
"""
