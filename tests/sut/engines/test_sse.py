"""Server-sent events, by the examples of the specification and by streams cut at any byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sut.engines.sse import Decoder

CASES = {
    "lines of data": (b"data: YHOO\ndata: +2\ndata: 10\n\n", [("message", b"YHOO\n+2\n10")]),
    "a comment": (b": test stream\n\ndata: first event\nid: 1\n\n", [("message", b"first event")]),
    "one space is dropped": (b"data:test\n\ndata:  test\n\n", [("message", b"test"), ("message", b" test")]),
    "no data, no event": (b"event: ping\n\nid: 3\nretry: 10\n\n", []),
    "empty data": (b"data\n\ndata\ndata\n\ndata:", [("message", b""), ("message", b"\n")]),
    "a type": (b"event: error\ndata: x\n\ndata: y\n\n", [("error", b"x"), ("message", b"y")]),
    "a byte-order mark": (b"\xef\xbb\xbfdata: x\n\n\xef\xbb\xbfdata: y\n\n", [("message", b"x")]),
    "carriage returns": (b"data: x\r\rdata: y\r\r", [("message", b"x"), ("message", b"y")]),
    "both": (b"data: x\r\n\r\ndata: y\r\n\r\n", [("message", b"x"), ("message", b"y")]),
    "mixed": (b"data: x\r\ndata: z\n\rdata: y\r\n\n", [("message", b"x\nz"), ("message", b"y")]),
    "an unfinished end": (b"data: x\n\ndata: y\n", [("message", b"x")]),
    "other bytes": ("data: 日本\u2028é\n\n".encode(), [("message", "日本\u2028é".encode())]),
    "a field that is not known": (b"dat: x\nfoo\ndata: y\n\n", [("message", b"y")]),
}


def decoded(chunks: list[bytes]) -> list[tuple[str, bytes]]:
    decoder = Decoder()
    return [(event.type, event.data) for chunk in chunks for event in decoder.feed(chunk)]


@pytest.mark.parametrize("name", CASES)
def test_as_specified(name: str) -> None:
    stream, events = CASES[name]
    assert decoded([stream]) == events
    assert decoded([bytes([byte]) for byte in stream]) == events


def test_an_event_is_given_out_with_its_last_byte() -> None:
    decoder = Decoder()
    assert len(decoder.feed(b"data: x\r\n\r")) == 1  # the line feed that may follow is not waited for
    assert decoder.feed(b"\ndata: y\r\n\r\n")[0].data == b"y"


@given(
    st.lists(
        st.sampled_from([b"data: x", b"data:", b":", b"event: e", b"\n", b"\r", b"\r\n", b"\xef\xbb\xbf", b"\xff"])
    ),
    st.data(),
)
def test_where_a_stream_is_cut_makes_no_difference(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert decoded(chunks) == decoded([stream])
