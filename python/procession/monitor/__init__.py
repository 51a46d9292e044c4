"""The task manager: what `procession top` shows of a running program, in a terminal or a browser.

A watcher, not a participant: it reads `_registry` (the program's shared memory, from outside) and what the operating
system says of the processes, and takes no lock that the program uses. So it also shows a program that hangs.

The way of the data: `sample` asks the operating system, `_registry` reads the shared memory; `model` turns two such
looks into `rows` and rates; `columns` says which tabs and columns there are; `words`, `states` and `details` put it
into English; `table`, `dialogs` and `screen` draw. All but `sample` and what draws is pure: no clock, no I/O, tested as
data. `stacks` asks py-spy for the Python stacks of a process, `web` serves the screen to a browser.

Needs textual and psutil, for the browser textual-serve, for stacks py-spy: `pip install procession[top]`. Nothing here
is loaded before the command is given.
"""

__all__: list[str] = []
