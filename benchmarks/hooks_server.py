"""Web hooks of a benchmark, in a process of their own: quick, failing, or hanging.

    python -m benchmarks.hooks_server

Prints its port. ``/ok…`` answers 200, ``/fail…`` answers 500, ``/hang…`` never answers.
"""

from __future__ import annotations

import asyncio

_ANSWER = b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n"


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.lower().split(b"\r\n")
            length = next(int(x.split(b":")[1]) for x in lines if x.startswith(b"content-length:"))
            await reader.readexactly(length)
            if b" /hang" in lines[0]:
                await asyncio.sleep(3600)
            writer.write(_ANSWER % (b"500 Failed" if b" /fail" in lines[0] else b"200 OK"))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def _main() -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main())
