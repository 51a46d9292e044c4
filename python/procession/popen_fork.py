"""The standard library's own module: importing this gives `multiprocessing.popen_fork` itself."""

import sys
from multiprocessing import popen_fork

TYPE_CHECKING = False
if TYPE_CHECKING:
    Popen = popen_fork.Popen

sys.modules[__name__] = popen_fork
