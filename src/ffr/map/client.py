"""A connection to one etcd server: aetcd's stubs, with a time limit on every call and one kind of error.

aetcd's own client knows neither TLS nor keepalives, and its watch does not tell that etcd has cancelled it; what is
used of it is what it was generated from etcd's definitions, and that is most of it.
"""

import asyncio
import os
from contextlib import contextmanager

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what goes wrong comes as errors, and is told once (etcd.py)
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # children of the router exec at once

import grpc
from aetcd import rpc
from aetcd.utils import prefix_range_end

CALL_S = 3.0
PAGE = 512  # records of one answer
WRITES = 100  # of one transaction; etcd allows 128 unless told otherwise
MESSAGE_MAX = 16 << 20  # bytes; an etcd value has 1.5 MB at most
OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", MESSAGE_MAX),
    ("grpc.keepalive_time_ms", 10_000),  # etcd takes one in 5 s at most
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
)
ERROR_CHARACTERS_MAX = 200


class EtcdError(Exception):
    """etcd does not answer, refuses, or has lost what was asked for. One line for a person."""


class Compacted(EtcdError):
    """The changes since the revision asked for are no longer kept: list again."""


class Client:
    """Not to be used after an EtcdError: make another."""

    def __init__(self, endpoint, settings):
        self.endpoint = endpoint
        self._settings = settings
        self._metadata = [("hasleader", "true")]  # an etcd that lost its quorum says so, and does not just fall silent
        with _errors(endpoint):
            self._channel = self._open_channel()
        self._kv, self._lease = rpc.KVStub(self._channel), rpc.LeaseStub(self._channel)

    def _open_channel(self):
        if not self.endpoint.secure:
            return rpc.insecure_channel(self.endpoint.target, options=OPTIONS)
        ca, key, certificate = self._settings.credentials()
        return rpc.secure_channel(self.endpoint.target, grpc.ssl_channel_credentials(ca, key, certificate),
                                  options=OPTIONS)

    async def close(self):
        await self._channel.close()

    async def authenticate(self):
        """Once, before anything else, where there is a user."""
        if self._settings.user:
            with _errors(self.endpoint):
                request = rpc.AuthenticateRequest(name=self._settings.user, password=self._settings.password())
                answer = await rpc.AuthStub(self._channel).Authenticate(request, timeout=CALL_S)
            self._metadata.append(("token", answer.token))

    async def grant(self, ttl_s):
        """A lease's number."""
        return (await self._call(self._lease.LeaseGrant, rpc.LeaseGrantRequest(TTL=ttl_s))).ID

    async def refresh(self, lease):
        """Seconds that the lease has left; 0 or less: it is gone."""
        with _errors(self.endpoint):
            async for answer in self._lease.LeaseKeepAlive([rpc.LeaseKeepAliveRequest(ID=lease)], timeout=CALL_S,
                                                           metadata=self._metadata):
                return answer.TTL
        raise EtcdError(f"{self.endpoint}: no answer about the lease")

    async def revoke(self, lease):
        await self._call(self._lease.LeaseRevoke, rpc.LeaseRevokeRequest(ID=lease))

    async def write(self, lease, puts=(), deletions=()):
        """{key: value} and keys, in their order; each transaction's at once."""
        operations = [rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=key)) for key in deletions]
        operations += [rpc.RequestOp(request_put=rpc.PutRequest(key=key, value=value, lease=lease))
                       for key, value in dict(puts).items()]
        for start in range(0, len(operations), WRITES):
            await self._call(self._kv.Txn, rpc.TxnRequest(success=operations[start:start + WRITES]))

    async def list(self, prefix):
        """(revision, everything below a prefix, as of that revision)."""
        key, end, found = prefix, prefix_range_end(prefix), []
        revision = more = None
        limit = PAGE
        while more is not False:
            request = rpc.RangeRequest(key=key, range_end=end, limit=limit, revision=revision or 0)
            try:
                answer = await self._call(self._kv.Range, request)
            except TooLarge:
                if limit == 1:
                    raise
                limit = max(1, limit // 8)  # somebody has written very long values; one alone always fits
                continue
            revision, more = revision or answer.header.revision, answer.more
            found += answer.kvs
            if more:
                key = answer.kvs[-1].key + b"\0"
        return revision, found

    async def watch(self, prefix, revision, started):
        """Yields lists of events from `revision` on, for ever; `started` is called once etcd has agreed."""
        create = rpc.WatchCreateRequest(key=prefix, range_end=prefix_range_end(prefix), start_revision=revision)

        async def requests():
            yield rpc.WatchRequest(create_request=create)
            await asyncio.Event().wait()  # the stream ends with its last request

        with _errors(self.endpoint):
            async for answer in rpc.WatchStub(self._channel).Watch(requests(), metadata=self._metadata):
                if answer.compact_revision:
                    raise Compacted(f"{self.endpoint}: the changes up to {answer.compact_revision} are compacted")
                if answer.canceled:
                    raise EtcdError(f"{self.endpoint}: it ends the watch: {answer.cancel_reason or 'no reason given'}")
                if answer.created:
                    started()
                if answer.events:
                    yield answer.events
        raise EtcdError(f"{self.endpoint}: the watch ended")

    async def _call(self, function, request):
        with _errors(self.endpoint):
            return await function(request, timeout=CALL_S, metadata=self._metadata)


class TooLarge(EtcdError):
    """The answer is longer than MESSAGE_MAX."""


@contextmanager
def _errors(endpoint):
    """What gRPC and files say, as EtcdError."""
    try:
        yield
    except grpc.RpcError as error:
        code, text = error.code(), str(error.details() or "")[:ERROR_CHARACTERS_MAX]
        if code == grpc.StatusCode.RESOURCE_EXHAUSTED:
            raise TooLarge(f"{endpoint}: {text}") from None
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            text = f"no answer within {CALL_S:g} s"
        raise EtcdError(f"{endpoint}: {text or code.name}") from None
    except OSError as error:  # a certificate or the password file
        raise EtcdError(f"{error.filename or endpoint}: {error.strerror or error}") from None
