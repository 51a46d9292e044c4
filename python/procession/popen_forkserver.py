"""The standard library's own module: importing this gives `multiprocessing.popen_forkserver` itself."""

import sys
from multiprocessing import popen_forkserver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from multiprocessing.popen_forkserver import *  # noqa: F403

sys.modules[__name__] = popen_forkserver
