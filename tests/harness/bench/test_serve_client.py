"""The bench's client counts what it is given, and takes nothing for whole that is not."""

from __future__ import annotations

import asyncio

from harness.bench.serve_client import Client, Figures, Order

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNK = b'data: {"choices":[{"text":"x"}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":%d,"total_tokens":9}}\n\ndata: [DONE]\n\n'


def framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


WHOLE = HEAD + framed(CHUNK) + framed(CHUNK) + framed(USAGE % 2) + b"0\r\n\r\n"
CUT = HEAD + framed(CHUNK)
SHORT = HEAD + framed(CHUNK) + framed(USAGE % 1) + b"0\r\n\r\n"
REFUSED = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


def ask(*answers: bytes) -> Figures:
    """One request for each answer; the server closes the connection after one that is not whole."""
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            await reader.readexactly(int(head.partition(b"Content-Length: ")[2].split()[0]))
            answer = left.pop(0)
            for at in range(0, len(answer), 40):
                writer.write(answer[at : at + 40])
                await writer.drain()
            if answer is not WHOLE:
                break
        writer.close()

    async def scene() -> Figures:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        client = Client(Order(host="127.0.0.1", port=port, streams=len(answers), tokens=2, timeout_s=20))
        figures = await client.run()
        server.close()
        return figures

    return asyncio.run(scene())


def test_whole_answers() -> None:
    figures = ask(WHOLE, WHOLE, WHOLE)
    assert (figures.whole, figures.failed, figures.chunks, figures.tokens) == (3, 0, 6, 6)
    assert len(figures.ttft_ms) == 3 and not figures.reasons


def test_what_is_not_whole_is_a_failure_with_its_reason() -> None:
    figures = ask(CUT, SHORT, REFUSED)
    assert (figures.whole, figures.failed) == (0, 3)
    assert figures.reasons == {
        "the connection was closed before the end": 1,
        "usage says 1 tokens": 1,
        "HTTP/1.1 503 Service Unavailable": 1,
    }
