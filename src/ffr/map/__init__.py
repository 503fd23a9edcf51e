"""The map: who is where. Virtual addresses are containers'; a host is known by its own address, on the underlay.

    hosts     the map as the router uses it: lookups, and who hears of changes
    static    a map written down: the TOML file of `freeflow router --hosts`, the op hosts.set
    embedded  the contract of a store, and the one of a single host
    tenants   names of tenants that mean something
    records   what hosts say of themselves and of their containers in etcd: keys and values, checked
    claims    all records together, and by which rule an address that two hosts claim is one host's
    settings  where etcd is, and how it is spoken to
    client    calls to etcd, with time limits and one kind of error
    session   one connection to etcd: a lease, what this host claims, the list, and then changes as they come
    etcd      the store that keeps such a session up for as long as the router lives

Nothing here knows a NIC: whoever needs the map listens to it (hosts.py).
"""
