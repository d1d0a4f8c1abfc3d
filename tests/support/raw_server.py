"""A server on loopback that answers each connection as a test says, to the octet."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Answer = Callable[[socket.socket, bytes], None]


def reply(body: bytes, *, status: str = "200 OK", headers: str = "") -> bytes:
    """Write a whole HTTP answer."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}Connection: close\r\n\r\n".encode() + body


def always(answer: bytes) -> Answer:
    """Answer every request with the same octets."""
    return lambda connection, _head: connection.sendall(answer)


@contextmanager
def raw_server(answer: Answer) -> Iterator[tuple[str, list[bytes]]]:
    """Serve until the block ends; yields the URL and the heads of the requests that came."""
    heads: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))
    stopping = threading.Event()

    def serve() -> None:
        while True:
            connection, _address = listener.accept()
            if stopping.is_set():
                connection.close()
                return
            with connection, suppress(OSError):  # the client hangs up in the middle
                connection.settimeout(5)
                heads.append(connection.recv(65536))
                answer(connection, heads[-1])

    thread = threading.Thread(target=serve)
    thread.start()
    port = listener.getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}", heads
    finally:
        stopping.set()
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        thread.join(10)
        listener.close()
