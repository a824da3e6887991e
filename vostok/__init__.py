"""The command line and the demo: the only package that may import all the others.

`cli` holds the commands, which parse, call and print and compute nothing; `context` finds the
project that a command is about; `faults` says what a person is told about an exception; `doctor`
looks for what would make a command fail; `warden` ends child processes with their parent;
`reference` writes the generated pages of `docs/`; `demo` tells the whole story on synthetic
markets.
"""

__version__ = "0.1.0"
