"""The chunked transfer coding, decoded in place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.serving.chunked import ChunkedDecoder, ChunkedInvalid


def decode(stream: bytes, cuts: list[int]) -> tuple[bytes, bytes]:
    """The payload, and what lies behind the body, of a stream that arrives in pieces."""
    decoder = ChunkedDecoder()
    payload = behind = b""
    for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        buffer = bytearray(stream[start:stop])
        if decoder.done:
            behind += buffer
            continue
        kept, consumed = decoder.decode(buffer, len(buffer))
        payload += buffer[:kept]
        behind += stream[start + consumed : stop]
    assert decoder.done
    return payload, behind


@given(st.data())
def test_any_chunks_in_any_pieces_give_the_payload_and_what_is_behind(data: st.DataObject) -> None:
    chunks = data.draw(st.lists(st.binary(min_size=1, max_size=40)))
    extension = data.draw(st.sampled_from([b"", b";a=b", b" ;a", b'; a="b c"']))
    trailers = data.draw(st.sampled_from([b"", b"Digest: x\r\n", b"A: b\r\nC: d\r\n"]))
    behind = data.draw(st.binary(max_size=20))
    framed = b"".join(b"%x%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in chunks)
    stream = framed + b"0\r\n" + trailers + b"\r\n" + behind
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))

    assert decode(stream, cuts) == (b"".join(chunks), behind)


@given(st.binary(max_size=60), st.integers(0, 60))
def test_nothing_that_arrives_breaks_the_decoder(stream: bytes, cut: int) -> None:
    decoder = ChunkedDecoder()
    for piece in (stream[:cut], stream[cut:]):
        try:
            kept, consumed = decoder.decode(bytearray(piece), len(piece))
        except ChunkedInvalid:
            return
        assert 0 <= kept <= consumed <= len(piece)


@pytest.mark.parametrize(
    "stream", [b"3\r\nabcX", b"3\r\nabc\rX", b"3 3\r\nabc\r\n", b"\n", b"1_0\r\n", "٣\r\n".encode(), b"3\r\r\nabc\r\n"]
)
def test_malformed_stream_is_refused(stream: bytes) -> None:
    with pytest.raises(ChunkedInvalid):
        ChunkedDecoder().decode(bytearray(stream + b"\r\n"), len(stream) + 2)
