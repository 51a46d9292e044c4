"""The standard library's own module: importing this gives `multiprocessing.popen_spawn_posix` itself."""

import sys
from multiprocessing import popen_spawn_posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from multiprocessing.popen_spawn_posix import *  # noqa: F403

sys.modules[__name__] = popen_spawn_posix
