"""Sizes, durations and file modes as people write them. Pure; raises `ValueError` with what was expected."""

import re

_SIZE_UNITS = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+)\s*([a-z]*)", re.ASCII)
_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
_MODE = re.compile(r"0?[0-7]{3}", re.ASCII)


def parse_size(text: str) -> int:
    """Bytes in `4194304`, `4MiB` or `4MB`."""
    match = _SIZE.fullmatch(text.strip().lower())
    if match is None or match[2] not in _SIZE_UNITS:
        raise ValueError("write a size as bytes or with a unit, such as 4194304, 4MiB or 10GB")
    return int(match[1]) * _SIZE_UNITS[match[2]]


def parse_duration(text: str) -> float:
    """Seconds in `30`, `2.5`, `30s`, `500ms` or `1h30m`."""
    stripped = text.strip().lower()
    if _NUMBER.fullmatch(stripped):
        return float(stripped)
    parts = _PART.findall(stripped)
    if not parts or "".join(number + unit for number, unit in parts) != stripped:
        raise ValueError("write a duration as seconds or with a unit, such as 30, 30s, 5m or 1h30m")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def parse_mode(text: str) -> int:
    """The rights of a file in `0660` or `660`."""
    if not _MODE.fullmatch(text):
        raise ValueError('write the rights of a file as three octal digits in quotes, such as "0660"')
    return int(text, 8)


def format_size(size: int) -> str:
    """Bytes as people read them, in decimal units as docker has them: `512B`, `1.2kB`, `34MB`, `5.6GB`."""
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.3g}{unit}"
        amount /= 1000
    return f"{amount:.3g}TB"
