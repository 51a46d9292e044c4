"""The standard library's own module: importing this gives `multiprocessing.forkserver` itself."""

import sys
from multiprocessing import forkserver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    ensure_running: Final = forkserver.ensure_running
    get_inherited_fds: Final = forkserver.get_inherited_fds
    connect_to_new_process: Final = forkserver.connect_to_new_process
    set_forkserver_preload: Final = forkserver.set_forkserver_preload

sys.modules[__name__] = forkserver
