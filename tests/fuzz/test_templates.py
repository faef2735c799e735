"""Templates, patterns and configs of any form: each is read, or refused in words."""

import json
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from registry.browse.filters import parse_pattern
from registry.cleanup.filters import FilterInvalid
from registry.cli.gotemplate import Record, TemplateFailed, TemplateInvalid, parse
from registry.content.image_config import parse_image_config, parse_time

_VALUE = Record(
    Id="sha256:12", Size=7, Config=Record(Labels={"a": "b"}, Cmd=None), Layers=[Record(size=1), Record(size=2)]
)
_WORDS = [
    "{{",
    "}}",
    "{{-",
    "-}}",
    ".Id",
    ".Size",
    ".Config.Labels.a",
    ".Layers",
    "$",
    "$x",
    ":=",
    "=",
    ",",
    "|",
    "(",
    ")",
    "if",
    "else",
    "end",
    "range",
    "with",
    "eq",
    "index",
    "len",
    "json",
    "join",
    "split",
    "slice",
    "printf",
    "print",
    "not",
    "and",
    "or",
    "lt",
    "pad",
    "truncate",
    "0",
    "1",
    "-7",
    "2.5",
    "`a`",
    '"%s%d%q"',
    "nil",
    "true",
    "/*",
    "*/",
    ".",
    "..",
    "text",
]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["config", "Labels", "a"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    st.text(alphabet="{}-.$|()`\"'\\ axI%/*:=,09\n", max_size=60)
    | st.lists(st.sampled_from(_WORDS), max_size=14).map(" ".join)
)
def test_a_template_makes_text_or_is_refused_with_a_place(text: str) -> None:
    try:
        made = parse(text)
        made.check(list(_VALUE))
        assert isinstance(made.render(_VALUE), str)
    except (TemplateInvalid, TemplateFailed) as error:
        assert " of the template" in str(error)


@given(st.text(alphabet="ab/*?[]^-\\~&|(){}+.$", max_size=20), st.text(alphabet="ab/.", max_size=10))
def test_a_pattern_is_read_or_refused(pattern: str, name: str) -> None:
    with suppress(FilterInvalid):
        parse_pattern(pattern).fullmatch(name)


@given(
    st.dictionaries(
        st.sampled_from(["created", "config", "rootfs", "history", "os", "author"]),
        _JSON | st.fixed_dictionaries({"diff_ids": _JSON, "Labels": _JSON, "empty_layer": _JSON}),
    )
)
def test_a_config_that_says_anything_is_read(document: dict[str, object]) -> None:
    config = parse_image_config(json.dumps(document).encode())

    assert config is not None
    assert all(isinstance(value, str) for value in config.labels.values())
    assert parse_time(config.created) is None or config.created


@given(st.binary(max_size=100))
def test_bytes_that_are_no_config_are_none_or_read(data: bytes) -> None:
    parse_image_config(data)
