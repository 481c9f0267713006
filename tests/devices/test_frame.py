import contextlib
import itertools
import math

import msgspec
import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from devices import quality
from devices.frame import (
    MAX_FRAME_BYTES,
    Asset,
    Birth,
    Channel,
    FrameError,
    decode_birth,
    decode_frame,
    encode_frame,
    role_by_name,
    schema_hash,
)

H = "9f86d081884c7d65"
T0 = 1_764_000_000_123_457_000


def code_of(payload: bytes) -> str:
    with pytest.raises(FrameError) as caught:
        decode_frame(payload)
    assert caught.value.detail
    return caught.value.code


@st.composite
def tables(draw: st.DrawFn) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.uint8]]:
    n, c = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    start = draw(st.integers(0, 2**32 * 10**6 - 10**9))
    steps = draw(st.lists(st.integers(1, 10**6), min_size=n - 1, max_size=n - 1))
    micros = np.array([start, *(start + offset for offset in itertools.accumulate(steps))], dtype=np.int64)
    values = st.floats(allow_infinity=False) | st.just(math.nan)
    v = np.array(draw(st.lists(values, min_size=n * c, max_size=n * c))).reshape(n, c)
    codes = st.sampled_from(sorted(quality.NAMES))
    q = np.array(draw(st.lists(codes, min_size=n * c, max_size=n * c)), dtype=np.uint8).reshape(n, c)
    return micros * 1000, v, q


@given(tables(), st.integers(0, 2**53 - 1), st.integers(0, 2**53 - 1))
def test_round_trip_is_exact(table, b, s):
    t, v, q = table
    tags = [f"x.{i}" for i in range(v.shape[1])]
    frame = decode_frame(encode_frame(b, s, H, t, v, q, tags))
    assert (frame.b, frame.s, frame.h, frame.samples) == (b, s, H, len(t))
    assert frame.times(0) == t.tolist()
    np.testing.assert_array_equal(frame.values(v.shape[1]), v)
    np.testing.assert_array_equal(frame.qualities({tag: i for i, tag in enumerate(tags)}), q)


@given(tables())
def test_named_form_reads_as_the_flat_one(table):
    t, v, q = table
    tags = [f"x-{i}" for i in range(v.shape[1])]
    message = orjson.loads(encode_frame(1, 2, H, t, v, q, tags))
    columns = np.where(np.isfinite(v), v, None).T.tolist()
    message["v"] = {tag: column if len(t) > 1 else column[0] for tag, column in zip(tags, columns, strict=True)}
    del message["h"]
    frame = decode_frame(orjson.dumps(message))
    assert frame.tags == tuple(tags)
    assert frame.times(0) == t.tolist()
    np.testing.assert_array_equal(frame.values(v.shape[1]), v)
    np.testing.assert_array_equal(frame.qualities({tag: i for i, tag in enumerate(tags)}), q)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_a_frame_or_a_frame_error(payload):
    with contextlib.suppress(FrameError):
        frame = decode_frame(payload)
        assert len(frame.v) % frame.samples == 0


def test_one_sample_leaves_dt_out_and_good_leaves_q_out():
    payload = encode_frame(7, 4711, H, np.array([T0]), np.array([[25.3, np.nan]]), np.zeros((1, 2), np.uint8))
    assert payload == b'{"b":7,"s":4711,"h":"9f86d081884c7d65","t":1764000000.123457,"v":[25.3,null]}'


def test_the_smallest_handmade_frame():
    frame = decode_frame(b'{"v": {"TI-101": 25}}')
    assert (frame.tags, frame.v, frame.b, frame.s, frame.times(T0)) == (("TI-101",), [25.0], None, None, [T0])


def test_quality_runs_are_run_lengths():
    v = np.zeros((5, 2))
    q = np.array([[0, 64], [129, 64], [129, 0], [0, 0], [192, 65]], np.uint8)
    frame = orjson.loads(encode_frame(0, 0, H, T0 + np.arange(5) * 10**9, v, q, ("a", "b")))
    assert frame["q"] == {
        "a": [[1, 2, "bad:openwire"], [4, 4, "bad:check"]],
        "b": [[0, 1, "uncertain"], [4, 4, "uncertain:clock"]],
    }


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"{", "not_json"),
        (b'{"h":"x","v":[NaN]}', "not_json"),
        (b'{"h":"x","v":[-Infinity]}', "not_json"),
        (b'{"v":{"a":NaN}}', "not_json"),
        (b'{"h":"\xff","v":[1]}', "not_json"),
        (b'{"h":"x","v":[1]} {}', "not_json"),
        (b"[1]", "bad_frame"),
        (b"{}", "bad_frame"),
        (b'{"h":"x","v":[1],"value":2}', "bad_frame"),
        (b'{"h":"x","v":[1],"tags":["a"]}', "bad_frame"),
        (b'{"h":1,"v":[1]}', "bad_frame"),
        (b'{"h":"x","v":[1e999]}', "bad_value"),
        (b'{"h":"x","v":[true]}', "bad_value"),
        (b'{"h":"x","v":["1"]}', "bad_value"),
        (b'{"v":{"a":"1"}}', "bad_value"),
        (b'{"v":{"a":{"b":1}}}', "bad_value"),
        (b'{"h":"x","v":[]}', "bad_length"),
        (b'{"v":{}}', "bad_length"),
        (b'{"h":"x","v":[1,2,3],"dt":[0,1]}', "bad_length"),
        (b'{"h":"x","v":[1],"dt":[]}', "bad_length"),
        (b'{"v":{"a":[1,2],"b":[1]},"dt":[0,1]}', "bad_length"),
        (b'{"v":{"a":[1,2]}}', "bad_length"),
        (b'{"v":{"a b":1}}', "bad_tag"),
        (b'{"v":{"":1}}', "bad_tag"),
        (b'{"h":"x","v":[1],"t":1764000000123}', "bad_time"),
        (b'{"h":"x","v":[1],"t":-1}', "bad_time"),
        (b'{"h":"x","v":[1],"t":"2026-01-01"}', "bad_time"),
        (b'{"h":"x","v":[1],"t":1e999}', "bad_time"),
        (b'{"h":"x","v":[1,2],"t":0,"dt":[0,1e12]}', "bad_time"),
        (b'{"h":"x","v":[1,2],"t":0,"dt":[0,0]}', "bad_time"),
        (b'{"h":"x","v":[1,2],"t":5,"dt":[0,1e-8]}', "bad_time"),
        (b'{"h":"x","v":[1,2],"t":5,"dt":[-6,0]}', "bad_time"),
        (b'{"h":"x","v":[1],"q":{"a":[[0,0,"bad:tempered"]]}}', "bad_quality"),
        (b'{"h":"x","v":[1],"q":{"a":[[0,1,"bad"]]}}', "bad_quality"),
        (b'{"h":"x","v":[1],"q":{"a":[[0,0]]}}', "bad_quality"),
        (b'{"h":"x","v":[1,2],"dt":[0,1],"q":{"a":[[1,0,"bad"]]}}', "bad_quality"),
        (b'{"v":{"a":1},"q":{"b":[[0,0,"bad"]]}}', "bad_quality"),
        (b'{"h":"x","v":[1],"s":1}', "bad_sequence"),
        (b'{"h":"x","v":[1],"b":1,"s":-1}', "bad_sequence"),
        (b'{"h":"x","v":[1],"b":1,"s":9007199254740992}', "bad_sequence"),
        (b'{"h":"x","v":[1],"b":1.5,"s":1}', "bad_sequence"),
        (b'{"v":[1,2]}', "unknown_schema"),
        (b"{" + b" " * MAX_FRAME_BYTES, "too_large"),
        (b"[" * 60_000, "bad_frame"),
    ],
)
def test_what_is_refused_and_why(payload, code):
    assert code_of(payload) == code


def test_length_and_tags_against_the_birth():
    frame = decode_frame(b'{"h":"x","v":[1,2,3,4],"t":1,"dt":[0,1],"q":{"b":[[1,1,"bad"]]}}')
    np.testing.assert_array_equal(frame.values(2), [[1, 3], [2, 4]])
    np.testing.assert_array_equal(frame.qualities({"a": 0, "b": 1}), [[0, 0], [0, 128]])
    for wrong in (1, 3, 4):
        with pytest.raises(FrameError, match="bad_length"):
            frame.check_length(wrong)
    with pytest.raises(FrameError, match="bad_quality"):
        frame.qualities({"a": 0, "c": 1})


@pytest.mark.parametrize(
    ("t", "v", "q"),
    [
        ([], np.empty((0, 1)), None),
        ([T0], np.zeros((2, 1)), None),
        ([T0, T0 + 400], np.zeros((2, 1)), None),
        ([T0 + 10**9, T0], np.zeros((2, 1)), None),
        ([-(10**9)], np.zeros((1, 1)), None),
        ([T0], np.zeros((1, 1)), np.array([[1]], np.uint8)),
        ([T0], np.zeros((1, 2)), np.array([[128]], np.uint8)),
        ([T0], np.zeros((1, 2)), np.array([[128, 0]], np.uint8)),
    ],
)
def test_what_cannot_be_encoded(t, v, q):
    with pytest.raises(ValueError, match=r"frame|quality"):
        encode_frame(0, 0, H, np.array(t, dtype=np.int64), v, q, ("a",))


def birth(**changes: object) -> Birth:
    channels = [Channel("a", "kPa"), Channel("b", asset="p2", lo=0.0)]
    fields: dict[str, object] = {
        "gateway": "gw-1",
        "b": 1,
        "h": schema_hash(channels),
        "assets": [Asset("p1", "pump", clock="a"), Asset("p2", "pump")],
        "channels": channels,
    }
    return Birth(**(fields | changes))  # type: ignore[arg-type]


def test_birth_round_trip():
    assert decode_birth(msgspec.json.encode(birth())) == birth()


@pytest.mark.parametrize(
    "changes",
    [
        {"h": "0" * 16},
        {"gateway": "gw/1"},
        {"assets": []},
        {"assets": [Asset("p1", "pump")]},
        {"assets": [Asset("p1", "pump"), Asset("p2", "pump"), Asset("p2", "pump")]},
        {"assets": [Asset("p1", "pump", clock="z"), Asset("p2", "pump")]},
        {"channels": []},
        {"channels": [Channel("a"), Channel("a")]},
        {"channels": [Channel("温度"), Channel("b")]},
    ],
)
def test_births_that_are_refused(changes):
    with pytest.raises(FrameError, match="bad_birth"):
        decode_birth(msgspec.json.encode(birth(**changes)))


def test_birth_with_an_unknown_field_or_no_json():
    for payload in (b'{"gateway":"g"}', b"\xff", b'{"gateway":"g","b":1,"h":"x","assets":[],"channels":[],"x":1}'):
        with pytest.raises(FrameError):
            decode_birth(payload)


@pytest.mark.parametrize(
    ("header", "role"),
    [
        ("xmv_4", "manipulated"),
        ("XMV 11", "manipulated"),
        ("xmeas_4", "measurement"),
        ("XMV(3)", "manipulated"),
        ("xmv_4 [%]", "manipulated"),
        ("FIC101.OP", "manipulated"),
        ("FIC101.OP [%]", "manipulated"),
        ("ＦＩＣ１０１．ＯＰ（％）", "manipulated"),
        ("操作量 [%]", "manipulated"),
        ("バルブ開度(%)", "manipulated"),
        ("ﾊﾞﾙﾌﾞ開度", "manipulated"),
        ("Steam valve position [%]", "manipulated"),
        ("Safety valve opening pressure [kPa]", "measurement"),
        ("valve_opening_time", "measurement"),
        ("operating_temp", "measurement"),
        ("温度", "measurement"),
        ("valve", "measurement"),
    ],
)
def test_the_role_of_a_files_column_follows_from_its_name(header: str, role: str) -> None:
    assert role_by_name(header) == role
