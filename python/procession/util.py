"""The standard library's own module: importing this gives `multiprocessing.util` itself."""

import sys
from multiprocessing import util

TYPE_CHECKING = False
if TYPE_CHECKING:
    from multiprocessing.util import *  # noqa: F403

sys.modules[__name__] = util
