"""Whether a Dask cluster's scheduler and workers have what this program has, asked once, when it is opened.

Functions travel as the code of one Python, and what serves them in a worker is ours and speaks to what is ours here: so
both have to be the same, the patch level of Python apart. Dask itself warns of its own packages. Workers that come
later are not asked; what they lack becomes an error of the calls they get, see `missing`.
"""

from __future__ import annotations

from distributed.versions import get_versions

from ..errors import VersionMismatch

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from typing import Any

    from .dask import DaskCluster

__all__ = ["compare", "missing", "not_installed"]

_PACKAGES = ["procession"]
_SHOWN = 3  # so many are named that have another version


def compare(cluster: DaskCluster) -> None:
    """Raises: VersionMismatch naming who has what; ClusterLost."""
    scheduler: Any = cluster.client.scheduler
    found = {"the scheduler": cluster.ask(scheduler.versions, packages=_PACKAGES)}
    asked = {"op": "versions", "packages": _PACKAGES}
    found |= cluster.ask(scheduler.broadcast, msg=asked, on_error="return")  # an error for those that died meanwhile
    ours = _told(get_versions(packages=_PACKAGES))
    others: dict[tuple[str, str | None], list[str]] = {}
    for who, versions in found.items():
        if isinstance(versions, dict) and (theirs := _told(versions)) != ours:
            others.setdefault(theirs, []).append(who)
    for theirs, whose in others.items():
        who = ", ".join(whose[:_SHOWN]) + (f" and {len(whose) - _SHOWN} more" if len(whose) > _SHOWN else "")
        here, there = (f"Python {python}, procession {own}" for python, own in (ours, theirs))
        if theirs == (ours[0], None):
            message = not_installed(f"{who} of {cluster.name}")
        else:
            message = f"{who} of {cluster.name} has {there}, and this program {here}: they have to be the same"
        raise VersionMismatch(message, cluster=cluster.name, here=here, there=there)


def _told(versions: dict[str, Any]) -> tuple[str, str | None]:
    """Of Python the two numbers on which the code of functions depends, and procession's version."""
    packages = versions["packages"]
    return ".".join(packages["python"].split(".")[:2]), packages["procession"]


def not_installed(where: str) -> str:
    """What to do about it."""
    own = get_versions(packages=_PACKAGES)["packages"]["procession"]
    return (
        f"procession is not installed in {where}, where its half of the work is done: `pip install procession=={own}` "
        "there, as everything that tasks use (distributed.PipInstall does it on workers)"
    )


def missing(error: BaseException | None) -> str | None:
    """The name of our package if an error comes of its not being there."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == "procession":
            return error.name
        error = error.__cause__ or error.__context__
    return None
