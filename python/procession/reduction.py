"""The standard library's own module: importing this gives `multiprocessing.reduction` itself."""

import sys
from multiprocessing import reduction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from multiprocessing.reduction import *  # noqa: F403

sys.modules[__name__] = reduction
