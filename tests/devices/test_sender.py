import itertools
import random
from collections.abc import Iterator

import pytest

from devices.frame import Ack
from devices.sender import Sender
from devices.spool import Spool


@pytest.fixture
def spool(tmp_path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "a.db")
    yield spool
    spool.close()


class World:
    """A sender with a broker and a collector that can be broken, on a clock of our own."""

    def __init__(self, spool: Spool, **options: float) -> None:
        self.spool = spool
        self.sender = Sender(spool, **options)  # type: ignore[arg-type]
        self.now = 1000.0
        self.made = 0
        self.taken: set[int] = set()
        self.sent: list[int] = []
        self.online = False
        self.hears = True
        self.poison: set[int] = set()

    def connect(self) -> None:
        self.online = True
        self.sender.connected(self.now)

    def disconnect(self) -> None:
        if self.online:
            self.online = False
            self.sender.disconnected(self.now)

    def make(self, count: int) -> None:
        self.spool.append([(s, b"%d" % s) for s in range(self.made, self.made + count)])
        self.made += count

    def step(self, seconds: float = 1.0, confirm: bool = True) -> None:
        """Send what is due, let the broker and the collector do their part, and let time go by."""
        while self.online and (frames := self.sender.due(self.now)):
            for b, s, payload in frames:
                assert payload == b"%d" % s
                self.sent.append(s)
                if s in self.poison:
                    self.disconnect()
                    break
                if self.hears:
                    self.taken.add(s)
                if confirm:
                    self.sender.confirm((b, s))
        if self.hears and self.taken:
            top = max(self.taken)
            edges = [-1, *sorted(self.taken)]
            missing = [(i + 1, j - 1) for i, j in itertools.pairwise(edges) if j > i + 1]
            if self.online:
                self.sender.receipt(Ack(self.spool.boot, top, missing), self.now)
        self.now += seconds


def test_in_good_times_every_frame_goes_out_once_and_in_order(spool):
    world = World(spool)
    world.connect()
    for _ in range(100):
        world.make(7)
        world.step()
    assert world.sent == list(range(700))
    assert world.sender.resent == 0
    assert spool.stats().frames == 0


def test_the_window_bounds_what_is_under_way(spool):
    world = World(spool, window=10)
    world.make(50)
    world.connect()
    world.step(confirm=False)
    assert world.sent == list(range(10))
    for s in range(4):
        world.sender.confirm((spool.boot, s))
    world.step(confirm=False)
    assert world.sent == list(range(14))


def test_a_slow_collector_is_not_run_over(spool):
    world = World(spool, ack_window=30)
    world.connect()
    world.make(10)
    world.step()
    world.make(500)
    world.hears = False
    world.step()
    assert world.sent == list(range(10 + 30))
    for _ in range(11):  # nothing comes any more: the lab may be gone, others may listen
        world.step()
    assert len(world.sent) > 500


def test_a_silent_collector_is_asked_with_one_frame_at_a_time(spool):
    world = World(spool, resend_s=10.0)
    world.connect()
    world.make(100)
    world.hears = False
    for _ in range(45):
        world.step()
    assert world.sent[100:] == [0, 0, 0, 0]
    world.hears = True
    for _ in range(15):
        world.step()
    assert world.taken == set(range(100))
    assert spool.stats().frames == 0


def test_what_is_missing_is_asked_for_less_and_less_often(spool):
    world = World(spool)
    world.connect()
    world.make(10)
    boot = spool.boot
    while frames := world.sender.due(world.now):
        for b, s, _ in frames:
            world.sender.confirm((b, s))
    asked = []
    for second in range(300):
        world.sender.receipt(Ack(boot, 9, [(4, 5)]), world.now)
        while frames := world.sender.due(world.now):
            asked.append(second)
            assert [s for _, s, _ in frames] == [4, 5]
            for b, s, _ in frames:
                world.sender.confirm((b, s))
        world.now += 1.0
    assert 6 <= len(asked) <= 20
    assert asked[0] == 0


def test_a_frame_that_ends_the_connection_twice_is_set_aside_and_tried_later(spool):
    world = World(spool)
    world.make(10)
    world.poison = {4}
    for _ in range(3):
        world.connect()
        world.step()
    world.connect()
    world.step()
    assert world.online
    assert world.taken == set(range(10)) - {4}
    assert world.sent.count(4) == 3  # once in company, twice alone
    world.poison = set()
    for _ in range(120):
        world.step()
    assert 4 in world.taken
    assert spool.stats().frames == 0


def test_two_broken_connections_do_not_set_innocent_frames_aside(spool):
    world = World(spool)
    world.make(10)
    for _ in range(5):
        world.connect()
        for b, s, _ in world.sender.due(world.now):
            world.sender.confirm((b, s))
        world.disconnect()
    assert not world.sender.parked


def test_a_receipt_for_what_was_never_sent_is_refused(spool):
    world = World(spool)
    world.make(10)
    world.connect()
    for ack in (Ack(spool.boot, 0, []), Ack(spool.boot + 1, 0, [])):
        with pytest.raises(ValueError, match="never sent"):
            world.sender.receipt(ack, world.now)
    assert spool.stats().frames == 10


@pytest.mark.parametrize("seed", range(10))
def test_whatever_breaks_everything_arrives(spool, seed):
    rng = random.Random(seed)
    world = World(spool, window=rng.choice([1, 5, 100]), ack_window=rng.choice([5, 50, 4000]), resend_s=5.0)
    for _ in range(100):
        match rng.randrange(8):
            case 0:
                world.disconnect()
            case 1 | 2 if not world.online:
                world.connect()
            case 3:
                world.hears = not world.hears
            case 4:
                world.taken = {s for s in world.taken if not any(key[1] == s for key in spool.read())} | (
                    world.taken if rng.random() < 0.5 else set()
                )
            case _:
                world.make(rng.randrange(20))
        world.step(rng.random() * 3, confirm=rng.random() < 0.8)
    world.disconnect()
    world.hears = True
    world.connect()
    for _ in range(600):
        if not spool.stats().frames:
            break
        world.step()
    assert world.taken == set(range(world.made))
    assert spool.stats().frames == 0
