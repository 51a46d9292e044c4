"""The standard library's own module: importing this gives `multiprocessing.spawn` itself."""

import sys
from multiprocessing import spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from multiprocessing.spawn import *  # noqa: F403

sys.modules[__name__] = spawn
