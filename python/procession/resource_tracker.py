"""The standard library's own module: importing this gives `multiprocessing.resource_tracker` itself."""

import sys
from multiprocessing import resource_tracker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from multiprocessing.resource_tracker import *  # noqa: F403

sys.modules[__name__] = resource_tracker
