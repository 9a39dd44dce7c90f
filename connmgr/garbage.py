"""Python's garbage collector, set for a process that holds very many long-lived objects and makes few cycles.

As Python sets it, the collector looks through everything again and again: with 10,000 connections that stops the whole
process for half a second, and every health check that is due meanwhile is late. Nearly everything of ours goes when its
last reference goes, so the collector may look seldom; a program of a few connections holds some MiB more for it.
"""

import gc

YOUNG = 50_000  # objects made and still there before the young ones are looked through: about 10 ms
MIDDLE, OLD = 50, 50  # so many looks at one generation before the next older one is included


def collect_seldom() -> None:
    """For the programs that run for months; a library must not decide this for the program that embeds it."""
    gc.set_threshold(YOUNG, MIDDLE, OLD)
