"""The standard library's own module: importing this gives `multiprocessing.popen_spawn_posix` itself."""

import sys
from multiprocessing import popen_spawn_posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    Popen = popen_spawn_posix.Popen

sys.modules[__name__] = popen_spawn_posix
