"""Sizes, durations and file modes as people write them."""

import pytest

from config.units import parse_duration, parse_mode, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("4194304", 4194304), ("4MiB", 4 << 20), ("4 mib", 4 << 20), ("10GB", 10**10), ("1TiB", 1 << 40)],
)
def test_a_size_is_bytes_or_has_a_unit(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "-1", "4 pounds", "1.5GiB", "4MiBB", "٤"])
def test_what_is_not_a_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="4MiB"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30", 30), ("2.5", 2.5), ("30s", 30), ("5m", 300), ("1h30m", 5400), ("500ms", 0.5), ("1d", 86400)],
)
def test_a_duration_is_seconds_or_has_units(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "5 minutes", "-5", "1h 30m", "5m!", "1e3"])
def test_what_is_not_a_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="1h30m"):
        parse_duration(text)


@pytest.mark.parametrize(("text", "mode"), [("0660", 0o660), ("660", 0o660), ("0777", 0o777), ("000", 0)])
def test_file_rights_are_octal_digits(text: str, mode: int) -> None:
    assert parse_mode(text) == mode


@pytest.mark.parametrize("text", ["", "0o660", "888", "66", "06600"])
def test_what_are_not_file_rights_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="in quotes"):
        parse_mode(text)
