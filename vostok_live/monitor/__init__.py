"""A live view of the daemon in a terminal, read through its control API.

`words` writes numbers for people, `chart` draws lines of them, and `ink` has the colours and what
else lines are made of; `panels` makes of a status what each part of the screen shows. `once` prints
that, and needs nothing but Rich. `app` shows it on a screen that follows the daemon, with the keys
that control it, and `confirm` asks before what can't be taken back; Textual is imported by these
two alone.
"""
