"""The standard library's own module: importing this gives `multiprocessing.resource_sharer` itself."""

import sys
from multiprocessing import resource_sharer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from multiprocessing.resource_sharer import *  # noqa: F403

sys.modules[__name__] = resource_sharer
