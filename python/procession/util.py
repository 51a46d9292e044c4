"""The standard library's own module: importing this gives `multiprocessing.util` itself."""

import sys
from multiprocessing import util

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    Finalize = util.Finalize
    ForkAwareThreadLock = util.ForkAwareThreadLock
    ForkAwareLocal = util.ForkAwareLocal
    sub_debug: Final = util.sub_debug
    debug: Final = util.debug
    info: Final = util.info
    sub_warning: Final = util.sub_warning
    get_logger: Final = util.get_logger
    log_to_stderr: Final = util.log_to_stderr
    get_temp_dir: Final = util.get_temp_dir
    register_after_fork: Final = util.register_after_fork
    is_exiting: Final = util.is_exiting
    close_all_fds_except: Final = util.close_all_fds_except
    SUBDEBUG: Final = util.SUBDEBUG
    SUBWARNING: Final = util.SUBWARNING

sys.modules[__name__] = util
