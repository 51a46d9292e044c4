"""The standard library's own module: importing this gives `multiprocessing.popen_forkserver` itself."""

import sys
from multiprocessing import popen_forkserver

TYPE_CHECKING = False
if TYPE_CHECKING:
    Popen = popen_forkserver.Popen

sys.modules[__name__] = popen_forkserver
