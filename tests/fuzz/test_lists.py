"""Any file at all is read to its end: what no image can be told of is a warning, or nothing."""

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from config.documents import read_documents
from config.positions import YamlError
from registry.mirror.lists import Images
from registry.mirror.lists_compose import read_compose
from registry.mirror.lists_dockerfile import read_dockerfile
from registry.mirror.lists_kubernetes import read_kubernetes

_PIECES = ["FROM ", "ARG ", "COPY --from=", "RUN --mount=from=", "ENV ", "ONBUILD ", "<<EOF\n", "\nEOF\n", "\\\n", "\n"]
_PIECES += ["$", "${", "}", ":-", "a", "=", '"', "'", " ", "# syntax=", "# escape=`\n", ":", "/", "@", " AS ", "`"]
_NAMES = ["services", "image", "build", "volumes", "containers", "spec", "apiVersion", "kind", "items", "repository"]
_NAMES += ["additional_contexts", "dockerfile_inline", "args", "env", "name", "value", "reference", "tag", "type"]
_LEAVES = st.sampled_from(["v1", "x/v1", "Pod", "List", "a:1", "image", "$A", "${A:-b}", "~", "", "{{ x }}", "FROM a"])
_VALUES = st.recursive(
    _LEAVES.map(lambda text: f"'{text}'"),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=4).map(
            lambda pairs: "{" + ", ".join(f"{name}: {value}" for name, value in pairs.items()) + "}"
        )
    ),
    max_leaves=20,
)


@settings(max_examples=100)
@given(st.lists(st.sampled_from(_PIECES) | st.text(max_size=5), max_size=30).map("".join))
def test_any_dockerfile_is_read(text: str) -> None:
    read_dockerfile(Images(), "Dockerfile", text, {"a": "b"})


@settings(max_examples=100)
@given(_VALUES)
def test_any_values_are_read(text: str) -> None:
    for document in read_documents(text):
        read_compose(Images(), "x.yaml", document, {})
        read_kubernetes(Images(), "x.yaml", document, {})


@settings(max_examples=100)
@given(st.text(st.sampled_from("abc:-?[]{}&*!|>'\"#%@`, \n\t<"), max_size=60))
def test_any_text_is_yaml_or_is_refused(text: str) -> None:
    with contextlib.suppress(YamlError):
        read_documents(text)
