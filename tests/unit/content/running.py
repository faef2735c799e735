"""Runs a coroutine to its end, for properties: hypothesis calls plain functions."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """The coroutine's result, on an event loop of its own."""
    return asyncio.run(coroutine)
