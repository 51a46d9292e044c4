"""The standard library's own module: importing this gives `multiprocessing.resource_sharer` itself."""

import sys
from multiprocessing import resource_sharer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    DupFd = resource_sharer.DupFd
    stop: Final = resource_sharer.stop

sys.modules[__name__] = resource_sharer
