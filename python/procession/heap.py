"""The standard library's own module: importing this gives `multiprocessing.heap` itself."""

import sys
from multiprocessing import heap

TYPE_CHECKING = False
if TYPE_CHECKING:
    BufferWrapper = heap.BufferWrapper

sys.modules[__name__] = heap
