"""The standard library's own module: importing this gives `multiprocessing.forkserver` itself."""

import sys
from multiprocessing import forkserver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from multiprocessing.forkserver import *  # noqa: F403

sys.modules[__name__] = forkserver
