"""tshark, which nobody here wrote either, looks at what a container sends to rxe: every packet has its name, and none is
complained of."""

import signal
import subprocess
from collections import Counter

from guest import TAP
from pairs import pair

# What a payload might be taken for, by its first bytes: they are perftest's, and mean nothing. One of 1 or 2 bytes, with its
# pad, might be taken for an Ethernet type, of which there are too many to name.
GUESSES = ["smc", "smb_direct", "rpcordma", "nvme-rdma", "lnet", "iser", "infiniband_sdp"]
WARN = 0x600000  # epan/proto.h: PI_WARN
FEW = ["-F", "-n", "10"]
PAIRS = [["ib_send_bw", "-s", "3000", *FEW], ["ib_write_bw", "-s", "3001", *FEW], ["ib_read_bw", "-s", "3002", "-o", "16", *FEW],
         ["ib_atomic_bw", "-o", "16", *FEW], ["ib_atomic_bw", "-A", "CMP_AND_SWAP", "-o", "16", *FEW],
         ["ib_send_bw", "-c", "UC", "-s", "2000", *FEW], ["ib_write_bw", "-c", "UC", "-s", "2000", *FEW],
         ["ib_send_bw", "-c", "UD", "-s", "999", *FEW], ["ib_send_bw", "-s", "5", *FEW], ["ib_write_bw", "-s", "502", *FEW],
         ["ib_read_bw", "-s", "503", "-o", "16", *FEW], ["ib_send_bw", "-c", "UC", "-s", "501", *FEW]]
# Those that perftest leads to, which is all but immediates and invalidates (IBTA volume 1, table 38).
OPCODES = {0x00, 0x01, 0x02, 0x04, 0x06, 0x07, 0x08, 0x0a, 0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11, 0x12, 0x13, 0x14,
           0x20, 0x22, 0x24, 0x26, 0x28, 0x64}


def test_every_packet_is_understood(lab, guest, tmp_path):
    path = tmp_path / "sent.pcapng"
    netns = lab.plan.hosts[0].netns_path
    capture = subprocess.Popen(["nsenter", f"--net={netns}", "dumpcap", "-q", "-i", TAP, "-f", "udp port 4791", "-w", path],
                               stderr=subprocess.PIPE, text=True)
    while "File:" not in capture.stderr.readline():
        assert capture.poll() is None, "dumpcap ended"
    for command in PAIRS:
        for serves in ("rxe", "freeflow"):
            pair(lab, guest, serves, command)
    capture.send_signal(signal.SIGINT)
    capture.communicate(timeout=20)

    ours = f"ip.src == {lab.plan.find('h1c1').address}"
    seen = Counter(int(code) for code in tshark(path, "-Y", ours, "-T", "fields", "-e", "infiniband.bth.opcode").split())
    assert OPCODES <= set(seen), f"not sent: {[hex(code) for code in OPCODES - set(seen)]}"
    complaints = tshark(path, "-Y", f"{ours} && (_ws.malformed || _ws.expert.severity >= {WARN} || !infiniband)")
    assert not complaints, complaints[:4000]


def tshark(path, *options):
    disabled = [word for name in GUESSES for word in ("--disable-protocol", name)]
    done = subprocess.run(["tshark", "-n", "-r", path, *disabled, *options], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout
