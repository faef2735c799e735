"""YAML of other programs, as values with lines."""

import pytest

from config.documents import Word, read_documents
from config.positions import YamlError


def test_each_word_knows_its_line() -> None:
    [document] = read_documents("a: 1\nb:\n  - x\n  - 'y'\n")

    assert document == {"a": Word("1", 1), "b": [Word("x", 3), Word("y", 4)]}


def test_documents_that_are_empty_are_left_out() -> None:
    assert read_documents("---\n---\n# nothing\n---\na: 1\n---\n") == [{"a": Word("1", 5)}]
    assert read_documents("") == []


def test_merged_maps_count_where_nothing_else_is_said() -> None:
    text = "x: &x {a: 1, b: 2}\ny: &y {c: 3}\none: {<<: *x, b: 4}\nboth: {<<: [*x, *y]}\n"
    [document] = read_documents(text)

    assert isinstance(document, dict)
    assert document["one"] == {"b": Word("4", 3), "a": Word("1", 1)}
    assert document["both"] == {"a": Word("1", 1), "b": Word("2", 1), "c": Word("3", 2)}


def test_aliases_repeat_the_same_object_so_that_nothing_grows() -> None:
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 40))]
    [document] = read_documents("\n".join(lines))

    assert isinstance(document, dict)
    last = document["a39"]
    assert isinstance(last, list)
    assert all(item is last[0] for item in last)


def test_what_holds_itself_can_be_read() -> None:
    [document] = read_documents("a: &a [*a]\n")

    assert isinstance(document, dict)
    assert isinstance(document["a"], list)
    assert document["a"][0] is document["a"]


def test_tags_of_other_programs_are_taken() -> None:
    assert read_documents("a: !reset null\nb: !Ref x\n") == [{"a": Word("", 1), "b": Word("x", 2)}]


@pytest.mark.parametrize(
    ("text", "line"),
    [("a: [", 1), ("a: 1\n b: {{ .Values.x }}\n", 2), ("a: *nobody", 1), ("\x00", 1), ("[" * 100_000, 1)],
)
def test_what_is_not_yaml_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(YamlError) as refused:
        read_documents(text)

    assert refused.value.line == line
