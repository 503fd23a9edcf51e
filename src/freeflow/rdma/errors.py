"""What can go wrong, by name. Every exception of this package is an RdmaError; one class for each completion status
(enum ibv_wc_status), whose text says what it means and with which peer it happened."""

import errno as errnos
import os


class RdmaError(Exception):
    """peer: who was at the other end, as text, or None. status: the completion's ibv_wc_status, or None."""

    status = None

    def __init__(self, text, peer=None):
        super().__init__(f"{peer}: {text}" if peer else text)
        self.peer = peer


class NoDevice(RdmaError):
    """No verbs library, or no device of that name, or none whose port is up."""


class Timeout(RdmaError, TimeoutError):
    """The time that the caller gave is over. What was asked for goes on where it can: see each call."""


class Closed(RdmaError, EOFError):
    """The peer has closed the connection in good order, and everything that it sent was received."""


class PeerGone(RdmaError, ConnectionResetError):
    """The peer's process ended, or its host cannot be reached."""


class Broken(RdmaError, ConnectionResetError):
    """The connection went into its error state from the other side: a request of the peer's was refused, or the peer tore it
    down."""


class DeviceGone(RdmaError):
    """The device behind the connection is gone: a router that ended, a NIC that was removed."""


class ForkedChild(RdmaError):
    """A connection belongs to the process that made it: a child of its fork must make its own."""


class WrongProtocol(RdmaError):
    """What answers there is not this package, or speaks another version of its protocol."""


class NotContiguous(RdmaError, ValueError):
    """A NIC moves bytes that lie side by side: numpy.ascontiguousarray makes a copy that does."""


class ReadOnly(RdmaError, ValueError):
    """The memory may not be written to."""


class WrongType(RdmaError, TypeError):
    """Not a buffer, or another dtype than the remote one."""


class OutOfRange(RdmaError, IndexError):
    """Beyond the remote buffer: told here, before the NIC would."""


class TooLong(RdmaError, ValueError):
    """A datagram is longer than a packet, or a message than the buffer that it should go to."""


class WorkError(RdmaError):
    """A work request that completed with an error. The connection is in its error state: nothing more moves on it."""

    meaning = "failed"

    def __init__(self, peer=None, what="the operation"):
        super().__init__(f"{what}: {self.meaning}", peer)


def _status(name, number, meaning):
    kind = type(name, (WorkError,), {"status": number, "meaning": meaning, "__doc__": f"{meaning} (ibv_wc_status {number}).",
                                     "__module__": __name__})
    globals()[name] = kind
    BY_STATUS[number] = kind
    return kind


BY_STATUS = {}
STATUS_NAMES = [_status(*row).__name__ for row in (
    ("LocalLengthError", 1, "the message does not fit into the buffer that waited for it"),
    ("LocalQpOperationError", 2, "the work request is not one that this connection can do"),
    ("LocalEecOperationError", 3, "the device reports an EE context error"),
    ("LocalProtectionError", 4, "the local buffer is not registered, or its memory is gone"),
    ("Flushed", 5, "the connection had failed or was closed before it was this one's turn"),
    ("WindowBindError", 6, "a memory window could not be bound"),
    ("BadResponse", 7, "the peer's answer was not one to this request"),
    ("LocalAccessError", 8, "the local buffer may not be written to"),
    ("RemoteInvalidRequest", 9, "the peer's end does not take this request (a message too long for its buffer, or an operation"
                                " that it has not allowed)"),
    ("RemoteAccessError", 10, "the remote buffer is not there any more, or does not allow this"),
    ("RemoteOperationError", 11, "the peer's end failed while it did its part"),
    ("RetryExceeded", 12, "does not answer"),
    ("ReceiverNotReady", 13, "is not receiving: it has no room for the message"),
    ("LocalRddViolation", 14, "the device reports an RD domain violation"),
    ("RemoteInvalidRdRequest", 15, "the peer's device reports an invalid RD request"),
    ("RemoteAborted", 16, "the peer aborted the operation"),
    ("InvalidEecn", 17, "the device reports an invalid EE context number"),
    ("InvalidEecState", 18, "the device reports an invalid EE context state"),
    ("FatalDeviceError", 19, "the device failed"),
    ("ResponseTimeout", 20, "the peer's answer came too late"),
    ("GeneralError", 21, "the device reports a failure that it does not name"),
)]


def of_status(status, peer, what):
    """The exception for a completion's status."""
    kind = BY_STATUS.get(status, BY_STATUS[21])
    return kind(peer, what)


def of_errno(number, doing, peer=None):
    """For a verb that failed: what it was to do, and the cure where there is one."""
    cures = {errnos.ENOMEM: "a limit is reached (`freeflow doctor` and ulimit -l tell which)",
             errnos.ENODEV: "the device is gone",
             errnos.EIO: "the device is gone"}
    text = f"{doing}: {cures.get(number, os.strerror(number))}"
    return DeviceGone(text, peer) if number in (errnos.ENODEV, errnos.EIO) else RdmaError(text, peer)


__all__ = ["RdmaError", "NoDevice", "Timeout", "Closed", "PeerGone", "Broken", "DeviceGone", "ForkedChild", "WrongProtocol",
           "NotContiguous", "ReadOnly", "WrongType", "OutOfRange", "TooLong", "WorkError", *STATUS_NAMES]
