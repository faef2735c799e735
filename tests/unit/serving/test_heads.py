"""The end of a head."""

from hypothesis import given
from hypothesis import strategies as st

from registry.serving.heads import HeadEnd


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a", b"a: b\r\n"])), st.data())
def test_end_is_found_wherever_the_head_is_cut(parts: list[bytes], data: st.DataObject) -> None:
    head = b"GET / HTTP/1.1\r\n" + b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(head)), max_size=6)))
    end, found, position = HeadEnd(), -1, 0
    for start, stop in zip([0, *cuts], [*cuts, len(head)], strict=True):
        piece = head[start:stop]
        at = end.find(piece)
        if at >= 0:
            found = position + at
            break
        end.passed(piece)
        position += len(piece)

    expected = head.find(b"\r\n\r\n")
    assert found == (expected + 4 if expected >= 0 else -1)
