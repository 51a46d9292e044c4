"""The interpreter's `test` package, and behind it the system's copy of the same version.

An interpreter's own may have been thinned out by whoever packaged it. The runner puts the directory of this package in
front of `sys.path`, from where it reaches every child, whatever its start method.
"""

import os
import sys

_version = f"python{sys.version_info.major}.{sys.version_info.minor}"
__path__ = [os.path.join(os.path.dirname(os.__file__), "test"), f"/usr/lib/{_version}/test"]
