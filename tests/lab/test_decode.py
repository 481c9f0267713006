"""Frames into arrays: the batch comes out as each frame alone would."""

import json

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.frame import Asset, Birth, Channel, decode_frame, schema_hash
from devices.quality import BAD, CODES
from lab.clock import CLOCK, Skew
from lab.decode import LATE, RANGE, SCORE, STORE, Group, Layout, in_order

SECOND = 10**9
TAGS = ("a", "b", "c")
VALUES = st.none() | st.floats(-1e6, 1e6) | st.integers(-1000, 1000)


def layout(gateways: int) -> Layout:
    """A layout whose gateways differ in ids and ranges."""
    made: Layout | None = None
    for n in range(gateways):
        channels = [Channel(tag, lo=-100.0 * n, hi=100.0 if at else None) for at, tag in enumerate(TAGS)]
        birth = Birth(f"g{n}", 1, schema_hash(channels), [Asset(f"x{n}", "k")], channels)
        made = made or Layout(0, birth)
        assert made.bind(birth, np.arange(3, dtype=np.int32) + 10 * n, [(birth.assets[0], n)]) == n
    assert made is not None
    return made


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_batch_equals_its_frames_one_by_one(data: st.DataObject) -> None:
    made = layout(12)
    samples = data.draw(st.integers(1, 4))
    group = Group(made, samples)
    wanted = []
    for at in range(data.draw(st.integers(1, 6))):
        slot = data.draw(st.integers(0, 11))
        body = {"b": 1, "s": at, "h": made.h, "t": data.draw(st.integers(10**15, 2 * 10**15)) / 1e6}
        body["v"] = data.draw(st.lists(VALUES, min_size=3 * samples, max_size=3 * samples))
        if samples > 1:
            body["dt"] = [round(0.013 * k, 6) for k in range(samples)]
        if data.draw(st.booleans()):
            body["q"] = {"b": [[0, samples - 1, data.draw(st.sampled_from(sorted(CODES)))]]}
            group.q.append((at, body["q"]))
        frame = decode_frame(json.dumps(body).encode())
        todo = data.draw(st.sampled_from([STORE | SCORE, STORE, SCORE, STORE | LATE]))
        code = data.draw(st.sampled_from([0, CLOCK]))
        group.plain = group.plain and todo == STORE | SCORE and not code
        if frame.dt is not None:
            group.dt.append(frame.dt)
        group.frames.append((slot, frame.times(0)[0], frame.v, todo, code, at))
        wanted.append((slot, frame, todo, code))
    if samples == 1 and not group.q:
        wanted.sort(key=lambda each: each[0])  # each gateway's frames together, in their order
    rows = group.rows()
    stored = rows.readings()

    sensor, t, v, q, score = [], [], [], [], []
    for slot, frame, todo, code in wanted:
        values, quality = frame.values(3), frame.qualities(made.position)
        quality = np.maximum(quality, code)
        quality[np.isnan(values) & (quality < BAD)] = BAD
        outside = (values < made.lo[slot]) | (values > made.hi[slot])
        quality[outside & (quality < BAD)] = RANGE
        if todo & STORE:
            sensor += made.ids[slot].tolist() * samples
            t += np.repeat(frame.times(0), 3).tolist()
            v += values.ravel().tolist()
            q += quality.ravel().tolist()
        if todo & SCORE:
            score += [(slot, time) for time in frame.times(0)]
    if stored is None:
        assert not sensor
    else:
        assert stored[0].tolist() == sensor
        assert stored[1].tolist() == t
        np.testing.assert_array_equal(stored[2], v)
        assert stored[3].tolist() == q
    picked = in_order([rows])
    assert list(zip(picked[0].tolist(), picked[1].tolist(), strict=True)) == score


def test_measuring_ranges_are_each_gateways_own_also_after_another_birth() -> None:
    def birth(name: str, hi: float) -> Birth:
        channels = [Channel(tag, lo=0.0, hi=hi) for tag in TAGS]
        return Birth(name, 1, schema_hash(channels), [Asset(f"x-{name}", "k")], channels)

    made = Layout(0, birth("g0", 10.0))

    def bind(name: str, hi: float) -> None:
        new = birth(name, hi)
        made.bind(new, np.arange(3, dtype=np.int32), [(new.assets[0], 0)])

    def beyond() -> list[bool]:
        group = Group(made, 1)
        for slot in range(len(made.gateways)):
            group.frames.append((slot, slot, [5.0, 15.0, 25.0], STORE | SCORE, 0, slot))
        return (group.rows().q == RANGE).sum(axis=1).tolist()

    bind("g0", 10.0)
    assert beyond() == [2]
    bind("g0", 20.0)
    assert beyond() == [1]
    bind("g1", 20.0)
    assert beyond() == [1, 1]
    bind("g0", 10.0)
    assert beyond() == [2, 1]
    bind("g1", 30.0)
    assert beyond() == [2, 0]


def test_groups_of_one_layout_are_scored_in_the_order_of_arrival() -> None:
    made = layout(1)
    one, two = Group(made, 1), Group(made, 2)
    one.frames.append((0, 100, [1.0, 1.0, 1.0], STORE | SCORE, 0, 0))
    two.frames.append((0, 200, [2.0] * 6, STORE | SCORE, 0, 1))
    two.dt.append([0.0, 0.1])
    one.frames.append((0, SECOND, [3.0, 3.0, 3.0], STORE | SCORE, 0, 2))
    _, t, v, _ = in_order([one.rows(), two.rows()])
    assert t.tolist() == [100, 200, 200 + SECOND // 10, SECOND]
    assert v[:, 0].tolist() == [1.0, 2.0, 2.0, 3.0]


def test_what_a_frame_does_not_mention_is_not_stored() -> None:
    made = layout(1)
    group = Group(made, 1)
    group.frames.append((0, 100, [None, 5.0, None], STORE | SCORE, 0, 0))
    group.absent.append((0, [0]))
    stored = group.rows().readings()
    assert stored is not None
    assert stored[0].tolist() == [1, 2]  # c is there, and is null
    np.testing.assert_array_equal(stored[2], [5.0, np.nan])


def test_skew_is_the_least_delay_of_the_last_minute() -> None:
    skew = Skew()
    for n in range(100):
        skew.observe(n * SECOND, SECOND // 10 + (n % 7) * SECOND // 20)
    assert skew.milliseconds(100 * SECOND) == 100.0
    assert skew.observe(101 * SECOND, 90 * SECOND) == 0  # one late frame says nothing
    assert Skew().milliseconds(0) is None


def test_skew_forgets_after_a_minute() -> None:
    skew = Skew()
    skew.observe(0, -10 * SECOND)
    assert skew.observe(30 * SECOND, 0) == CLOCK
    assert skew.observe(75 * SECOND, 0) == 0


def test_a_clock_set_right_is_good_after_a_minute_and_a_clock_behind_is_seen_after_five_seconds() -> None:
    skew = Skew()
    codes = [skew.observe(n * SECOND, 600 * SECOND) for n in range(10)]
    assert codes == [0] * 5 + [CLOCK] * 5
    assert skew.observe(11 * SECOND, 0) == 0


def test_a_wild_frame_is_shown_but_marks_no_others() -> None:
    skew = Skew()
    skew.observe(0, 0)
    skew.wild(SECOND, -3600 * SECOND)
    assert skew.milliseconds(2 * SECOND) == -3.6e6
    assert skew.observe(3 * SECOND, 0) == 0
    assert skew.milliseconds(120 * SECOND) == 0.0
