"""The standard library's own module: importing this gives `multiprocessing.spawn` itself."""

import sys
from multiprocessing import spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    _main: Final = spawn._main
    freeze_support: Final = spawn.freeze_support
    set_executable: Final = spawn.set_executable
    get_executable: Final = spawn.get_executable
    get_preparation_data: Final = spawn.get_preparation_data
    get_command_line: Final = spawn.get_command_line
    import_main_path: Final = spawn.import_main_path

sys.modules[__name__] = spawn
