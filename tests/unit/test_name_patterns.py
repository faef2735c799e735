"""Patterns of names: globs and regular expressions, and what is neither."""

import pytest

from registry.name_patterns import NamePattern, PatternInvalid


@pytest.mark.parametrize(
    ("pattern", "fitting", "others"),
    [
        ("team/*", ["team/app"], ["team/app/cache", "team"]),
        ("team/**", ["team/app", "team/app/cache"], ["other/app"]),
        ("v1.?", ["v1.2"], ["v1.10"]),
        (r"/^v[0-9]+$/", ["v1", "v22"], ["v1.2", "av1"]),
        ("/rc/", ["1.0-rc1"], ["1.0"]),
        ("alpine", ["alpine"], ["alpine2", "my/alpine"]),
    ],
)
def test_a_pattern_fits_what_it_says(pattern: str, fitting: list[str], others: list[str]) -> None:
    found = NamePattern.parse(pattern)

    assert [name for name in fitting if not found.fits(name)] == []
    assert [name for name in others if found.fits(name)] == []
    assert found.is_exact == (pattern == "alpine")


@pytest.mark.parametrize("text", ["", "/", "//", "/(/", "a b", "team/", "{user}/x", "[a-z]", "a//b"])
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(PatternInvalid):
        NamePattern.parse(text)
