"""What hosts say of themselves in etcd: keys and values, made and checked. Pure.

    PREFIX hosts/10.31.0.1                  {"name": "rack7-3", "instance": "9f…", "wire": 2}
    PREFIX policy                           the policy that all hosts share, as TOML; it hangs on no lease
    PREFIX containers/10.31.0.1/10.32.1.1   {"name": "web", "since": 0, "tenant": "shop"}

A host writes below its own address alone, so etcd's roles can hold it to that, and all of it is under its lease. Its
own record is the last that it writes: whoever sees it sees all of the host's containers.
"""

import json
from dataclasses import dataclass

from ffr.map.tenants import DEFAULT_TENANT, RESERVED_TENANTS
from ffr.network import addresses as ip

PREFIX = "/freeflow/"
VALUE_BYTES_MAX = 1024
WIRE = 2  # what packets between routers look like: it goes up when they would not understand each other
NAME_CHARACTERS_MAX = 64


class BadRecord(ValueError):
    """The text says what is wrong with it; it quotes nothing that could be long."""


@dataclass(frozen=True)
class HostRecord:
    host: object  # an ipaddress, as all addresses here
    name: str
    instance: str  # of the router's process: two that say they are one host are told apart
    wire: int = 1


@dataclass(frozen=True)
class Claim:
    """A host says that a virtual address is one of its containers'."""

    host: object
    address: object
    name: str
    order: int  # which of two claims is the newer one: etcd's revision when the container came
    tenant: str = DEFAULT_TENANT


def host_key(prefix, host):
    return f"{prefix}hosts/{host}".encode()


def policy_key(prefix):
    return f"{prefix}policy".encode()


def claim_key(prefix, host, address):
    return f"{prefix}containers/{host}/{address}".encode()


def host_value(name, instance):
    return _value(name=name[:NAME_CHARACTERS_MAX], instance=instance, wire=WIRE)


def claim_value(name, since=0, tenant=DEFAULT_TENANT):
    """`since`: a claim's order when it is written again because its lease was lost; the container did not come now."""
    return _value(name=name, since=since, **({} if tenant == DEFAULT_TENANT else {"tenant": tenant}))


def parse(prefix, key, value, created):
    """A HostRecord or a Claim. `created`: the revision at which etcd first saw the key. Raises BadRecord."""
    kind, *rest = _words(prefix, key)
    fields = _fields(value)
    if kind == "hosts" and len(rest) == 1:
        return HostRecord(_address(rest[0]), _text(fields, "name"), _text(fields, "instance"), _number(fields, "wire", 1))
    if kind == "containers" and len(rest) == 2:
        return Claim(_address(rest[0]), _address(rest[1]), _text(fields, "name"), _order(fields, created), _tenant(fields))
    raise BadRecord("no such kind of record")


def about(prefix, key):
    """(host, virtual address or None) that a key speaks of; a deletion brings no more than the key. Raises BadRecord."""
    kind, *rest = _words(prefix, key)
    if (kind, len(rest)) not in (("hosts", 1), ("containers", 2)):
        raise BadRecord("no such kind of record")
    return _address(rest[0]), _address(rest[1]) if len(rest) == 2 else None


def _value(**fields):
    return json.dumps(fields, separators=(",", ":")).encode()


def _words(prefix, key):
    try:
        text = key.decode("ascii")
    except UnicodeDecodeError:
        raise BadRecord("the key is not ASCII") from None
    return text.removeprefix(prefix).split("/", 3)


def _address(text):
    try:
        address, = ip.parse([text])
    except ValueError:
        raise BadRecord("the key names no address") from None
    if str(address) != text:
        raise BadRecord("an address is not written the usual way")  # else one address would have several keys
    return address


def _fields(value):
    if len(value) > VALUE_BYTES_MAX:
        raise BadRecord(f"the value has {len(value)} bytes, more than {VALUE_BYTES_MAX}")
    try:
        fields = json.loads(value)
    except (ValueError, RecursionError):
        raise BadRecord("the value is not JSON") from None
    if not isinstance(fields, dict):
        raise BadRecord("the value is no JSON object")
    return fields


def _text(fields, name):
    text = fields.get(name)
    if not isinstance(text, str) or not text.isprintable() or not 0 < len(text) <= NAME_CHARACTERS_MAX:
        raise BadRecord(f"`{name}`: 1 to {NAME_CHARACTERS_MAX} printable characters are needed")
    return text


def _number(fields, name, otherwise):
    number = fields.get(name, otherwise)
    if type(number) is not int or not 0 < number < 1 << 31:
        raise BadRecord(f"`{name}` is no number")
    return number


def _tenant(fields):
    tenant = _text({"tenant": DEFAULT_TENANT} | fields, "tenant")
    if tenant in RESERVED_TENANTS:
        raise BadRecord(f"`tenant`: none can be called {tenant!r}")
    return tenant


def _order(fields, created):
    """A host may make its claim older than the key, not newer. One that is of an etcd which was lost meanwhile counts
    from a revision that this one has not reached; then the key's own counts."""
    since = fields.get("since", 0)
    if type(since) is not int:
        raise BadRecord("`since` is no revision")
    return since if 0 < since <= created else created
