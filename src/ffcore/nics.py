"""What containers are reached by: the words that --nic takes, wherever it is asked for."""

WIRED = ("roce",)  # NICs with a place on the network (ffr/nic/backends.py): by these alone, this host's own containers too
NICS = ("auto", "local", *WIRED)  # auto: whatever reaches a peer; local: this host alone
LINKS = ("udp", "stream")  # what carries connections' packets to other routers
