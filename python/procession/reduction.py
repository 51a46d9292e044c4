"""The standard library's own module: importing this gives `multiprocessing.reduction` itself."""

import sys
from multiprocessing import reduction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    ForkingPickler = reduction.ForkingPickler
    send_handle: Final = reduction.send_handle
    recv_handle: Final = reduction.recv_handle
    register: Final = reduction.register
    dump: Final = reduction.dump
    DupFd: Final = reduction.DupFd
    sendfds: Final = reduction.sendfds
    recvfds: Final = reduction.recvfds

sys.modules[__name__] = reduction
