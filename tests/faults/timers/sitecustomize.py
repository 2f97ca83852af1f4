"""Times the functions that CGNNP_TIMED names, in every Python process that has this folder on its path.

Imported by Python itself. A module is changed right after it was executed, before others import names from it.
"""

import functools
import importlib.abc
import importlib.machinery
import os
import sys
import threading
import time

WANTED: dict[str, list[str]] = {}
for _full in filter(None, os.environ.get("CGNNP_TIMED", "").split(",")):
    _module, _, _name = _full.rpartition(".")
    WANTED.setdefault(_module, []).append(_name)
INSIDE = threading.local()


def timed(function, name: str):
    """The function, which writes how long it took, if it was not called by another that is timed."""

    @functools.wraps(function)
    def call(*arguments, **options):
        if getattr(INSIDE, "busy", False):
            return function(*arguments, **options)
        INSIDE.busy, started = True, time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            INSIDE.busy = False
            with open(f"{os.environ['CGNNP_TIMERS']}/{os.getpid()}.txt", "a") as file:  # noqa: PTH123
                file.write(f"{name} {time.perf_counter() - started:.6f}\n")

    return call


class Finder(importlib.abc.MetaPathFinder):
    """Finds the wanted modules as Python would, and has their functions timed once they are there."""

    def find_spec(self, fullname, path=None, target=None):
        """Of wanted modules alone."""
        if fullname not in WANTED:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            for name in WANTED[fullname]:
                setattr(module, name, timed(getattr(module, name), f"{fullname}.{name}"))

        spec.loader.exec_module = exec_module
        return spec


if WANTED:
    sys.meta_path.insert(0, Finder())
