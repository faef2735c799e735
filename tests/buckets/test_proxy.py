"""The proxy that the other tests rely on."""

import socket
import threading
from urllib.parse import urlsplit

from tests.buckets.faults import Before
from tests.buckets.proxy import Proxy


def test_what_a_killed_client_has_asked_for_is_waited_for(proxy: Proxy, bucket: str) -> None:
    reached, go_on = threading.Event(), threading.Event()
    order: list[str] = []

    def hold() -> None:
        reached.set()
        go_on.wait(30)
        order.append("asked for")

    def settle() -> None:
        proxy.settle()
        order.append("settled")

    proxy.break_("PutObject", Before(hold))
    address = urlsplit(proxy.endpoint)
    with socket.create_connection((address.hostname, address.port)) as client:
        client.sendall(f"PUT /{bucket}/key HTTP/1.1\r\nHost: storage\r\nContent-Length: 0\r\n\r\n".encode())
    assert reached.wait(30)
    settling = threading.Thread(target=settle)
    settling.start()
    go_on.set()
    settling.join(30)

    assert order == ["asked for", "settled"]
