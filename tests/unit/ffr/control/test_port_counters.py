"""The port's counters as files: what they say, and that they never go back."""

import asyncio
from collections import defaultdict

import pytest
from refusals import StandIn

from ffr.control.port_counters import PortCounters, files
from ffr.control.registry import Registry

NOTHING = dict.fromkeys(("tx_messages", "tx_bytes", "rx_messages", "rx_bytes", "reads", "atomics", "drops", "denied", "rnr_waits", "retries",
                         "completion_errors", "access_errors"), 0)


class Place:
    """A container with its files; rows: what its sessions have done."""

    def __init__(self, folder):
        self.rows = defaultdict(lambda: dict(NOTHING))
        self.counters = PortCounters(folder / "router.counters", lambda number: self.rows[number] | {"container": b"web"},
                                     lambda: sum(row["tx_messages"] for row in self.rows.values()))
        self.web = Registry().add("web", StandIn(2), ["10.32.1.1"])
        self.folder = folder / "router.counters" / "2"

    def number(self, name):
        return int((self.folder / name).read_text())

    async def becomes(self, name, value):
        for _ in range(500):
            if self.number(name) == value:
                return
            await asyncio.sleep(0.01)
        pytest.fail(f"{name}: {self.number(name)}, not {value}")


def test_what_a_port_has_done():
    done = files(NOTHING | {"tx_messages": 10, "tx_bytes": 4000, "rx_messages": 3, "reads": 2, "atomics": 1, "drops": 5, "denied": 4})
    assert (done["counters/port_xmit_data"], done["counters/port_xmit_packets"], done["counters/port_rcv_packets"]) == (1000, 13, 6)
    assert done["counters/port_xmit_discards"] == 5 and done["counters/link_downed"] == 0


def test_numbers_follow_and_outlive_their_sessions(tmp_path):
    async def run():
        place = Place(tmp_path)
        place.counters.start()
        place.counters.add(place.web)
        assert place.number("counters/port_xmit_packets") == 0
        place.web.sessions.add(7)
        place.rows[7]["tx_messages"] = 20
        await place.becomes("counters/port_xmit_packets", 20)
        place.rows[7]["tx_messages"] = 25
        place.counters.ended(place.web, 7)
        place.web.sessions.discard(7)
        place.rows[7] = NOTHING | {"tx_messages": 1}  # another session's, elsewhere
        await place.becomes("counters/port_xmit_packets", 25)
        place.counters.remove(place.web)
        assert not place.folder.exists()
        place.counters.close()
        assert list(tmp_path.iterdir()) == []
    asyncio.run(run())


def test_what_a_dead_router_left_goes(tmp_path):
    async def run():
        place = Place(tmp_path)
        (tmp_path / "router.counters/5").mkdir(parents=True)
        place.counters.start()
        assert list((tmp_path / "router.counters").iterdir()) == []
        place.counters.close()
    asyncio.run(run())
