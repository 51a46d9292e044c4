"""The standard library's own module: importing this gives `multiprocessing.resource_tracker` itself."""

import sys
from multiprocessing import resource_tracker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    ensure_running: Final = resource_tracker.ensure_running
    register: Final = resource_tracker.register
    unregister: Final = resource_tracker.unregister

sys.modules[__name__] = resource_tracker
