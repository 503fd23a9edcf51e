"""How two routers prove to each other that they know the hosts' common key, on a TCP connection between the hosts' addresses.

The key is what whoever runs the hosts gives to each router (`freeflow router --key FILE`). Who is called speaks first:

    called:  hello, nonce
    caller:  nonce, proof that it asks
    called:  proof that it serves

Both prove it over both nonces and both addresses, so that no proof serves between two other hosts, or twice. The hello names what
the connection is for, and its version: who hears another one hangs up. What follows is not encrypted.
"""

import asyncio
import hashlib
import hmac
import os
import socket

from ffr.network.addresses import gid

NONCE, MAC = 16, 32
SECRET = 16
KEY_MIN = 16
KEEPALIVE_S = 5  # a host that vanished is noticed after three of these,
SILENT_MS = 2000  # or after this while something is unanswered


class Greeting:
    """For one kind of connections: `hello`, bytes. Raises ValueError."""

    def __init__(self, key, hello):
        if len(key) < KEY_MIN:
            raise ValueError(f"the hosts' key has {len(key)} bytes, less than {KEY_MIN}")
        self._key = hashlib.sha256(b"freeflow tcp key\n" + key).digest()
        self._hello = hello

    async def answer(self, one, own, host):
        """As the one who was called, by `host`. A secret that both know now. Raises OSError, ValueError, EOFError."""
        loop = asyncio.get_running_loop()
        mine = os.urandom(NONCE)
        await loop.sock_sendall(one, self._hello + mine)
        theirs, proof = _split(await _receive(one, NONCE + MAC), NONCE)
        if not hmac.compare_digest(proof, self._mac(b"asks", mine, theirs, host, own)):
            raise ValueError("it does not know the key")
        await loop.sock_sendall(one, self._mac(b"serves", mine, theirs, host, own))
        return self._mac(b"links", mine, theirs, host, own)[:SECRET]

    async def ask(self, one, own, host):
        """As the one who has called `host`. The same."""
        hello, theirs = _split(await _receive(one, len(self._hello) + NONCE), len(self._hello))
        if hello != self._hello:
            raise ValueError("something else answers there")
        mine = os.urandom(NONCE)
        await asyncio.get_running_loop().sock_sendall(one, mine + self._mac(b"asks", theirs, mine, own, host))
        proof = await _receive(one, MAC)
        if not hmac.compare_digest(proof, self._mac(b"serves", theirs, mine, own, host)):
            raise ValueError("it does not know the key")
        return self._mac(b"links", theirs, mine, own, host)[:SECRET]

    def _mac(self, what, server_nonce, client_nonce, client, server):
        text = b"\n".join([what, server_nonce, client_nonce, gid(client), gid(server)])
        return hmac.digest(self._key, text, "sha256")


def family(address):
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def prepare(one):
    """A connection that does not block, sends at once, and ends when the other host does."""
    one.setblocking(False)
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL):
        one.setsockopt(socket.IPPROTO_TCP, option, KEEPALIVE_S)
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_MS)


async def _receive(one, size):
    data = b""
    while len(data) < size:
        more = await asyncio.get_running_loop().sock_recv(one, size - len(data))
        if not more:
            raise EOFError("it hung up")
        data += more
    return data


def _split(data, at):
    return data[:at], data[at:]
