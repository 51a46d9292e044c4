"""The reference is whole: every public name has a docstring of substance, a declared type, and a place on a page."""

from __future__ import annotations

import ast
import importlib
import inspect
import queue
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import load_script

import procession
from procession import _native, errors
from procession.mapreduce import errors as job_errors

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "docs" / "reference"
# What users import from, besides the package itself
MODULES = ["checkpoint", "connection", "context", "dummy", "errors", "executor", "gather", "installing"]
MODULES += ["managers", "mapreduce", "pool", "process", "progress", "queues", "shared_memory", "sharedctypes"]
MODULES += ["statistics", "synchronize", "testing"]
# `joblib` as well, which takes long to import
# Neighbours use these, or libraries that know the standard library's insides
INTERNAL = {"arena_of", "assert_spawning", "concrete_contexts", "default", "get_spawning_popen", "set_spawning_popen"}


def public(modules: list[str] = MODULES) -> Iterator[tuple[str, Any]]:
    """The package's names and those of its modules, with what they are."""
    for name in procession.__all__:
        yield name, getattr(procession, name)
    for module in modules:
        found = importlib.import_module(f"procession.{module}")
        for name in found.__all__:
            if name not in INTERNAL:
                yield f"{module}.{name}", getattr(found, name)


def is_ours(thing: Any) -> bool:
    """Not the standard library's under our name."""
    return str(getattr(thing, "__module__", "")).startswith("procession")


def methods(name: str, cls: type[Any]) -> Iterator[tuple[str, Any]]:
    """The public methods and properties of a class that are ours."""
    for attribute in dir(cls):
        owner = next((base for base in cls.__mro__ if attribute in vars(base)), None)
        if not attribute.startswith("_") and owner is not None and is_ours(owner):
            found = inspect.getattr_static(cls, attribute)
            is_slot = inspect.ismemberdescriptor(found)
            if (
                callable(found)
                or (inspect.isdatadescriptor(found) and not is_slot)
                or isinstance(found, classmethod | staticmethod)
            ):
                yield f"{name}.{attribute}", getattr(cls, attribute)


def documented(modules: list[str] = MODULES) -> Iterator[tuple[str, Any]]:
    """Everything of ours that has to have a docstring."""
    for name, thing in public(modules):
        if is_ours(thing) and (callable(thing) or inspect.isclass(thing)):
            yield name, thing
            if inspect.isclass(thing) and not issubclass(thing, BaseException):
                yield from methods(name, thing)


def parameters(thing: Any) -> list[str]:
    """Names of what it takes."""
    if inspect.isclass(thing):
        return []
    try:
        found = inspect.signature(thing).parameters.values()
    except (TypeError, ValueError):
        return []
    return [each.name for each in found if each.name not in ("self", "cls")]


def refers(text: str) -> bool:
    """Whether a docstring leaves the rest to another: "As `get`", "see `repair`"."""
    return re.search(r"\b([Aa]s|[Ss]ee|[Ee]lse as) (that of |for |an?y? )?`", text) is not None


@pytest.mark.parametrize("modules", [MODULES, pytest.param(["joblib"], marks=pytest.mark.slow)], ids=["all", "joblib"])
def test_every_public_name_has_a_docstring_that_says_something(modules: list[str]) -> None:
    if "joblib" in modules:
        pytest.importorskip("joblib", reason="needs joblib")
    poor = [name for name, thing in documented(modules) if len((inspect.getdoc(thing) or "").split()) < 2]
    standard = {"SyncManager.set", "SemLock.maxvalue"}  # a registered type's, made by the standard library
    assert [name for name in poor if name.partition(".")[2] not in standard] == []


def test_what_takes_a_timeout_says_what_it_does() -> None:
    silent = [
        name
        for name, thing in documented()
        if "timeout" in parameters(thing)
        and not re.search(r"timeout|seconds", text := inspect.getdoc(thing) or "")
        and not refers(text)
    ]
    assert silent == []


def test_the_packages_names_tell_of_each_of_their_parameters() -> None:
    silent = []
    for name in procession.__all__:
        thing = getattr(procession, name)
        text = f"{inspect.getdoc(thing)} {inspect.getdoc(getattr(thing, '__init__', None))}"
        if is_ours(thing) and not refers(text):
            silent += [f"{name}({given}=)" for given in parameters(thing) if not re.search(rf"\b{given}\b", text)]
    assert silent == []


def test_signatures_are_known_of_native_methods_too() -> None:
    for name in ("Queue.get", "Lock.acquire", "Condition.wait", "Semaphore.acquire", "Event.wait", "Barrier.wait"):
        cls, _, method = name.partition(".")
        module = importlib.import_module("procession.queues" if cls == "Queue" else "procession.synchronize")
        assert "timeout" in inspect.signature(getattr(getattr(module, cls), method)).parameters, name


def test_the_stub_has_the_native_docstrings() -> None:
    """Of the first paragraph, however the lines are broken: what an editor shows is what `help` says."""
    stands_for = {"_Lock": "Lock", "_Cells": "Value", "Column": "", "Order": ""}  # no classes of their own at run time
    differing = []
    for node in ast.walk(ast.parse((ROOT / "python/procession/_native.pyi").read_text())):
        if not isinstance(node, ast.ClassDef):
            continue
        real = getattr(_native, stands_for.get(node.name, node.name), None)
        things = [(node.name, node, real)] if node.name not in stands_for else []
        things += [
            (f"{node.name}.{each.name}", each, getattr(real, each.name, None))
            for each in node.body
            if isinstance(each, ast.FunctionDef) and not each.name.startswith("_")
        ]
        for name, stub, thing in things:
            said, meant = ast.get_docstring(stub) or "", inspect.cleandoc(getattr(thing, "__doc__", None) or "")
            if said.split() != meant.partition("\n\n")[0].split():
                differing.append(name)
    assert differing == []


def test_every_public_name_is_on_a_page() -> None:
    text = "\n".join(page.read_text() for page in PAGES.glob("*.md"))
    words = set(re.findall(r"[\w.]+", text))
    last = {word.rpartition(".")[2] for word in words}
    assert [name for name, _ in public() if name.rpartition(".")[2] not in last] == []


def bases(cls: type[BaseException]) -> set[type]:
    """What else an error is: the nearest of its bases, and no common ancestor of all."""
    common = {Exception, BaseException, object, Warning, errors.ProcessionError, cls}
    found = [base for base in cls.__mro__ if base not in common and not base.__name__.startswith("_")]
    return {base for base in found if not any(one is not base and issubclass(one, base) for one in found)}


def named(word: str) -> type:
    """A class by what the page calls it: an error of ours by its name, another's with its module."""
    module, _, name = word.rpartition(".")
    if module:
        return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]
    ours = getattr(errors, word, None) or getattr(job_errors, word, None)
    return ours or getattr(__import__("builtins"), word)  # type: ignore[no-any-return]


def test_the_page_of_errors_has_every_error_and_what_else_it_is() -> None:
    rows = re.findall(r"^\| `(\w+)`(?:<br>also ([^|]*))? \| (.+) \| (.+) \|$", (PAGES / "errors.md").read_text(), re.M)
    told = {name: set(re.findall(r"`([\w.]+)`", also)) for name, also, _, _ in rows}
    real = {
        name: getattr(module, name)
        for module in (errors, job_errors)
        for name in module.__all__
        if inspect.isclass(getattr(module, name))
    }
    assert told.keys() == real.keys()
    told["ShutDown"] = {"queue.ShutDown"} if hasattr(queue, "ShutDown") else {"ValueError"}
    told["TimeoutError"] = {"multiprocessing.TimeoutError"}
    for name, cls in real.items():
        expected = bases(cls) - ({TimeoutError} if name == "TimeoutError" else set())
        assert {named(word) for word in told[name]} == expected, name


@pytest.mark.slow
@pytest.mark.watchdog(320)
def test_every_public_name_has_a_type_and_a_docstring_for_pyright() -> None:
    pytest.importorskip("basedpyright", reason="needs basedpyright")
    completeness = load_script("completeness")
    found = completeness.report()
    assert completeness.lacking(found) == []
    assert found["completenessScore"] == 1
    assert {name: found[name] for name in completeness.COUNTS} == dict.fromkeys(completeness.COUNTS, 0)
