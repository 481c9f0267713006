"""Files with one reading a row: which they are, what becomes of them, and what is refused."""

import gzip
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from devices.quality import BAD, CODES, GOOD, UNCERTAIN
from lab import longtable
from lab.longtable import Twice, Wanted, find_columns, pivot, quality_codes
from lab.tables import Table, TableError, read_table

pytestmark = pytest.mark.usefixtures("english")

SECOND = 1_000_000_000
MARCH = 1_773_051_240 * SECOND  # 2026-03-09T10:14:00Z
NOTHING = Wanted()


def put(folder: Path, text: str, name: str = "run.csv", encoding: str = "utf-8") -> Path:
    file = folder / name
    file.write_bytes(text.encode(encoding))
    return file


def refused(folder: Path, text: str, wanted: Wanted = NOTHING, ignore: tuple[str, ...] = ()) -> str:
    with pytest.raises(TableError) as error:
        read_table(put(folder, text), wanted=wanted, ignore=ignore)
    return str(error.value).removeprefix(f"{folder / 'run.csv'}: ")


def minutes(table: Table) -> list[int]:
    assert table.time is not None
    return [(t - MARCH) // (60 * SECOND) for t in table.time.tolist()]


OWN = """time,sensor,value,quality
2026-03-09T10:14:00.000000000Z,tep-1/xmeas_1,1.5,good
2026-03-09T10:14:00.000000000Z,tep-1/xmeas_2,2,uncertain:clock
2026-03-09T10:15:00.000000000Z,tep-1/xmeas_1,,bad:comm
2026-03-09T10:15:00.000000000Z,tep-1/xmeas_2,9,bad:range
2026-03-09T10:15:00.000000000Z,tep-1/~score,0.5,good
"""


def test_the_labs_own_export(tmp_path: Path) -> None:
    table = read_table(put(tmp_path, OWN))
    assert table.columns == ("xmeas_1", "xmeas_2")
    np.testing.assert_array_equal(table.values, [[1.5, 2.0], [np.nan, np.nan]])
    assert minutes(table) == [0, 1]
    assert table.period_s == 60.0
    assert table.shown is not None
    assert table.beyond is not None
    assert table.shown[1, 1] == 9.0
    np.testing.assert_array_equal(table.beyond, [[False, False], [False, True]])
    read, bad = table.notes
    assert "4 readings of 2 sensors become 2 rows" in read
    assert bad.endswith("of bad quality, taken for missing values: 2")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp932"])
@pytest.mark.parametrize("packed", [False, True])
def test_encodings_in_any_order(tmp_path: Path, encoding: str, packed: bool) -> None:
    lines = [
        "日時,タグ,値",
        "2026/3/9 10:15,流量,3",
        "2026/3/9 10:14,流量,1",
        "2026/3/9 10:15,温度,4",
        "2026/3/9 10:14,温度,欠測",
    ]
    content = "\r\n".join(lines).encode(encoding)
    file = tmp_path / ("run.csv.gz" if packed else "run.csv")
    file.write_bytes(gzip.compress(content) if packed else content)
    table = read_table(file)
    assert table.columns == ("流量", "温度")
    np.testing.assert_array_equal(table.values, [[1.0, np.nan], [3.0, 4.0]])
    assert minutes(table) == [0, 1]
    assert table.zoneless
    assert "taken for missing values: 欠測 (1)" in table.notes[0]


@pytest.mark.parametrize(
    "text",
    [
        "Timestamp;Tag Name;Value;Quality\n2026-03-09T10:14:00Z;A;1,5;Good\n2026-03-09T10:14:00Z;B;2,5;GOOD\n",
        "_time\t_field\t_value\n1773051240\tA\t1.5\n1773051240\tB\t2.5\n",
        "date,time,point,reading\n2026/3/9,10:14,A,1.5\n2026/3/9,10:14,B,2.5\n",
        "計測日時,計器番号,測定値,単位\n2026/3/9 10:14,A,1.5,℃\n2026/3/9 10:14,B,2.5,kPa\n",
        "Logger 7\ntime,name,value\n2026-03-09T10:14:00Z,A,1.5\n2026-03-09T10:14:00Z,B,2.5\n",
        "Tag,Timestamp,Value,Status\nA,2026-03-09T10:14:00Z,1.5,Good\nB,2026-03-09T10:14:00Z,2.5,Uncertain\n",
        "tag,time,value,line\nA,20260309101400,1.5,L1\nB,20260309101400,2.5,L2\n",
    ],
)
def test_other_historians(tmp_path: Path, text: str) -> None:
    table = read_table(put(tmp_path, text))
    assert table.columns == ("A", "B")
    np.testing.assert_array_equal(table.values, [[1.5, 2.5]])
    assert minutes(table) == [0]


def test_a_count_from_the_start_of_the_run(tmp_path: Path) -> None:
    table = read_table(put(tmp_path, "time_min,sensor,value\n0,A,1\n0,B,2\n1,A,3\n1,B,4\n"))
    assert table.elapsed
    assert table.period_s == 60.0
    np.testing.assert_array_equal(table.values, [[1, 2], [3, 4]])


INFLUX = """#group,false,false,true,true,false,false,true,true
#datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,dateTime:RFC3339,double,string,string
#default,_result,,,,,,,
,result,table,_start,_stop,_time,_value,_field,host
,,0,2026-03-09T00:00:00Z,2026-03-10T00:00:00Z,2026-03-09T10:14:00Z,1.5,flow,edge
,,0,2026-03-09T00:00:00Z,2026-03-10T00:00:00Z,2026-03-09T10:15:00Z,1.6,flow,edge

#group,false,false,true,true,false,false,true,true
#datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,dateTime:RFC3339,double,string,string
#default,_result,,,,,,,
,result,table,_start,_stop,_time,_value,_field,host
,,1,2026-03-09T00:00:00Z,2026-03-10T00:00:00Z,2026-03-09T10:14:00Z,2.5,temp,edge
"""


def test_annotated_files_of_influxdb(tmp_path: Path) -> None:
    table = read_table(put(tmp_path, INFLUX.replace("\n", "\r\n")))
    assert table.columns == ("flow", "temp")
    np.testing.assert_array_equal(table.values, [[1.5, 2.5], [1.6, np.nan]])


def test_readings_that_another_column_tells_apart(tmp_path: Path) -> None:
    text = INFLUX.replace("2.5,temp,edge", "2.5,flow,other")
    told = refused(tmp_path, text)
    assert told == (
        "line 12: readings of 'flow' differ in column 'host' ('edge', 'other'); if it belongs to the sensor's name, "
        "say so: --tag host,_field; if it means nothing here, leave it out: --ignore host"
    )
    table = read_table(put(tmp_path, text), wanted=Wanted(tag=("host", "_field")))
    assert table.columns == ("edge/flow", "other/flow")


ASSETS = "time,sensor,value,quality\n" + "".join(
    f"2026-03-09T10:1{minute}:00Z,{asset}/x,{minute},good\n" for asset in ("a-1", "a-2", "a-3") for minute in range(3)
)


def test_several_assets(tmp_path: Path) -> None:
    told = refused(tmp_path, ASSETS)
    assert told.startswith("it has readings of 3 assets (a-1, a-2, a-3); choose one: --sensors 'a-1/*'")
    one = read_table(put(tmp_path, ASSETS), wanted=Wanted(["a-2/*"]))
    assert one.columns == ("x",)
    assert len(one.values) == 3
    assert read_table(put(tmp_path, ASSETS), wanted=Wanted(["*"])).columns == ("a-1/x", "a-2/x", "a-3/x")
    assert "no sensor is called b-* (--sensors); there are a-1/x, a-2/x, a-3/x" in refused(
        tmp_path, ASSETS, Wanted(["b-*"])
    )


def test_a_clock_of_the_plant(tmp_path: Path) -> None:
    lines = [
        f"2026-03-09T10:14:0{second}Z,tep-1/{tag},{value},good\n"
        for second in range(4)
        for tag, value in (("x", second), ("plant_s", 60 * second))
    ]
    file = put(tmp_path, "time,sensor,value,quality\n" + "".join(lines))
    table = read_table(file)
    assert (table.columns, table.clock, table.period_s) == (("x",), "plant_s", 60.0)
    assert table.clock_s is not None
    assert table.clock_s.tolist() == [0, 60, 120, 180]
    assert read_table(file, wanted=Wanted(["x"])).clock == "plant_s"
    assert read_table(file, period_s=180.0).period_s == 180.0
    assert read_table(file, ignore=["plant_s"]).clock is None
    assert read_table(file, ignore=["plant_s"]).period_s == 1.0
    with pytest.raises(TableError, match="no column 'clock'; it has x, plant_s"):
        read_table(file, wanted=Wanted(clock="clock"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "time,tag,value\n2026-03-09T10:14:00Z,A,1\n2026-03-09T10:14:00Z,A,2\n",
            "line 3: sensor 'A' has 2 at 2026-03-09T10:14:00.000Z, but 1 at the same time (line 2); keep one",
        ),
        (
            "time,tag,value\n2026-03-09T10:14:00Z,A,1\n2026-03-09T10:15:00Z,A,RUN\n",
            "line 3, column 'value': 'RUN' of sensor 'A' is not a number; leave the cell empty for a missing value, or",
        ),
        ("time,tag,value\n2026-03-09T10:14:00Z,A,1\n2026-03-09T10:15:00Z,,2\n", "line 3, column 'tag': the reading's"),
        ("time,tag,value\n2026-03-09T10:14:00Z,A,1\n,A,2\n", "line 3, column 'time': the time is missing"),
        ("time,tag,value\n2026-03-09T10:14:00Z,A,inf\n", "line 2, column 'value': 'inf' of sensor 'A' is not"),
        ("time,tag,value\n2026-03-09T10:14:00Z,A\n", "line 2 has 2 cells, the header has 3"),
        ("time,tag,value\n", "no rows under the header"),
        ("time,tag,value,val\n2026-03-09T10:14:00Z,A,1,1\n", "line 1: one reading a line, but several columns may "),
        ("time,tag,point,value\n2026-03-09T10:14:00Z,A,B,1\n", "line 1: one reading a line, but several columns may "),
        ("time,ts,tag,value\n2026-03-09T10:14:00Z,2026-03-09T10:14:00Z,A,1\n", "line 1: one reading a line, but"),
        (
            "time,tag,value,quality\n2026-03-09T10:14:00Z,A,1,good\n2026-03-09T10:14:00Z,B,1,meh\n",
            "line 3, column 'quality': 'meh' is no quality that is known; write good, uncertain or bad, or leave",
        ),
        (
            "time,tag,value,quality\n2026-03-09T10:14:00Z,A,1,192\n",
            "line 2, column 'quality': the number 192 does not say whether a reading is good",
        ),
        (
            "time,tag,value\n2026-03-09T10:14:00Z,101,1\n2026-03-09T10:14:00Z,102,1\n",
            "line 3, column 'time': '2026-03-09T10:14:00Z' is the same time as the line before",
        ),
        ("time,tag,value\n2026-03-09T10:14:00Z,A,\"1,007\"\n", "line 2, column 'value': '1,007' may have"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path: Path, text: str, told: str) -> None:
    assert refused(tmp_path, text).startswith(told)


def test_what_is_refused_says_how_it_is_read(tmp_path: Path) -> None:
    numbered = "time,tag,value\n2026-03-09T10:14:00Z,101,1\n2026-03-09T10:14:00Z,102,1\n"
    assert refused(tmp_path, numbered).endswith("with sensors named by numbers, say so: --tag 'tag' --value 'value'")
    assert read_table(put(tmp_path, numbered), wanted=Wanted(tag=["tag"])).columns == ("101", "102")
    other = "when,what,much\n2026-03-09T10:14:00Z,A,1\n2026-03-09T10:14:00Z,B,1\n"
    assert "line 1: one reading a line, but no column of times" in refused(tmp_path, other, Wanted(tag=["what"]))
    read = read_table(put(tmp_path, other), time="when", wanted=Wanted(tag=["what"], value="much"))
    assert read.columns == ("A", "B")


def test_what_is_told(tmp_path: Path) -> None:
    text = (
        "time,tag,value,quality\n2026-03-09T10:14:00Z,A,1,Good\n2026-03-09T10:14:00Z,A,1,Good\n"
        "2026-03-09T10:14:01Z,B,Bad Input,BadSensorFailure\n2026-03-09T10:14:02Z,C,3,Uncertain\n"
    )
    table = read_table(put(tmp_path, text))
    assert table.columns == ("A", "B", "C")
    told = " ".join(table.notes)
    assert "taken for missing values: Bad Input (1)" in told
    assert "counted once: 1" in told
    assert "on average 1.3 of the 3 sensors have a reading at one time (3 times)" in told
    assert (
        "words for the quality that are taken for what they begin with (good, uncertain, bad): BadSensorFailure (1)"
        in told
    )


@pytest.mark.parametrize(
    ("column", "one", "other"), [("番号", "1", "2"), ("id", "P1", "P2"), ("unit", "C", "%"), ("type", "temp", "flow")]
)
def test_sensors_of_one_name_are_not_mixed(tmp_path: Path, column: str, one: str, other: str) -> None:
    text = f"time,name,{column},value\n"
    for at in range(6):
        text += f"2026-03-09T10:{14 + at}:00Z,temp,{(one, other)[at % 2]},{at}\n"
    assert f"readings of 'temp' differ in column '{column}' ('{one}', '{other}')" in refused(tmp_path, text)
    apart = read_table(put(tmp_path, text), wanted=Wanted(tag=[column, "name"]))
    assert apart.columns == (f"{one}/temp", f"{other}/temp")


@pytest.mark.parametrize("counts", [range(6), [0, 0, 1, 1, 2, 2]])  # of all rows, of those of a sensor
def test_numbers_of_the_rows_tell_nothing(tmp_path: Path, counts: list[int]) -> None:
    text = "No,time,tag,value\n"
    for row, count in enumerate(counts):
        text += f"{count},2026-03-09T10:{14 + row // 2}:00Z,{'AB'[row % 2]},{row}\n"
    assert read_table(put(tmp_path, text)).values.tolist() == [[0, 1], [2, 3], [4, 5]]


def test_dates_go_before_counts(tmp_path: Path) -> None:
    text = "VarName;TimeString;VarValue;Time_ms\n"
    text += "T1;2026-03-09 10:14:00;25,5;46090426388,88889\nT1;2026-03-09 10:15:00;25,6;46090427083,33333\n"
    table = read_table(put(tmp_path, text), ignore=["Time_ms"])
    assert minutes(table) == [0, 1]
    assert "readings of 'T1' differ in column 'Time_ms'" in refused(tmp_path, text)
    counted = read_table(put(tmp_path, "time_s,tag,value\n0,A,1\n10,A,2\n"))
    assert (counted.elapsed, counted.period_s) == (True, 10.0)


def test_a_status_is_the_quality_if_it_says_so(tmp_path: Path) -> None:
    text = "time,tag,value,Status\n2026-03-09T10:14:00Z,A,1,Good\n2026-03-09T10:15:00Z,A,2,Bad\n"
    np.testing.assert_array_equal(read_table(put(tmp_path, text)).values, [[1], [np.nan]])
    assert "readings of 'A' differ in column 'Status' ('ON', 'OFF')" in refused(
        tmp_path, text.replace("Good", "ON").replace("Bad", "OFF")
    )


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [("状態", "正常", "不良"), ("StatusCode", "Good", "BadNoCommunication"), ("ステータス", "良", "Bad")],
)
def test_a_sensor_that_is_always_bad_is_not_taken_for_good(tmp_path: Path, name: str, good: str, bad: str) -> None:
    text = f"time,tag,value,{name}\n2026-03-09T10:14:00Z,A,1,{good}\n2026-03-09T10:14:00Z,B,2,{bad}\n"
    np.testing.assert_array_equal(read_table(put(tmp_path, text)).values, [[1, np.nan]])


def test_options_that_a_wide_file_does_not_need(tmp_path: Path) -> None:
    text = "time,channel,reading\n2026-03-09T10:14:00Z,1,5\n2026-03-09T10:15:00Z,2,6\n"
    assert "which column names the sensor (time, channel, reading)? Say so (--tag)" in refused(
        tmp_path, text, Wanted(value="reading")
    )
    (note,) = read_table(put(tmp_path, text.replace("reading", "x")), wanted=Wanted(every_s=10.0)).notes
    assert "--every does nothing" in note


def test_columns_that_are_left_out_are_told(tmp_path: Path) -> None:
    text = "time,tag,value,unit,No\n2026-03-09T10:14:00Z,A,1,C,1\n2026-03-09T10:14:00Z,B,2,bar,2\n"
    assert "tell no readings of one sensor apart: unit, No" in read_table(put(tmp_path, text)).notes[1]
    assert len(read_table(put(tmp_path, text), ignore=["unit", "No"]).notes) == 1


def test_two_readings_are_told_with_what_differs(tmp_path: Path) -> None:
    text = "time,tag,value,quality\n2026-03-09T10:14:00Z,A,{},{}\n2026-03-09T10:14:00Z,A,{},{}\n"
    assert "'A' has 1 (bad) at" in refused(tmp_path, text.format(1, "good", 1, "bad"))
    assert "but 1 (good) at" in refused(tmp_path, text.format(1, "good", 1, "bad"))
    assert "'A' has 1234567.2 at" in refused(tmp_path, text.format(1234567.1, "good", 1234567.2, "good"))


def test_texts_of_sensors_that_are_left_out(tmp_path: Path) -> None:
    text = "time,tag,value\n2026-03-09T10:14:00Z,A,1\n2026-03-09T10:14:00Z,MODE,RUN\n"
    table = read_table(put(tmp_path, text), ignore=["MODE"])
    assert table.columns == ("A",)
    assert table.ignored == {"MODE"}


@pytest.mark.parametrize(
    "text",
    [
        "time,tag,value\n2026-03-09T10:14:00Z,101,1\n2026-03-09T10:15:00Z,102,2\n",  # counts, whatever they are called
        "time,tag,value\n2026-03-09T10:14:00Z,,1\n2026-03-09T10:15:00Z,,2\n",
        "time,point,reading\n2026-03-09T10:14:00Z,-,1\n2026-03-09T10:15:00Z,3,2\n",
        "time,sensor,pressure\n2026-03-09T10:14:00Z,5,1\n2026-03-09T10:15:00Z,4,2\n",
    ],
)
def test_wide_files_stay_wide(tmp_path: Path, text: str) -> None:
    table = read_table(put(tmp_path, text))
    assert table.columns == tuple(text.split("\n")[0].split(",")[1:])
    assert len(table.values) == 2


def test_states_in_parquet_name_no_sensor(tmp_path: Path) -> None:
    stamps = pyarrow.array([MARCH, MARCH + SECOND], pyarrow.timestamp("ns", tz="UTC"))
    on = pyarrow.array([True, False])
    for signal in (on, on.dictionary_encode()):
        parquet.write_table(
            pyarrow.table({"time": stamps, "signal": signal, "value": [1.5, 2.5]}), tmp_path / "t.parquet"
        )
        table = read_table(tmp_path / "t.parquet")
        assert table.columns == ("signal", "value")
        assert table.values.tolist() == [[1.0, 1.5], [0.0, 2.5]]


def test_numbers_that_may_name_sensors_are_told(tmp_path: Path) -> None:
    rows = "2026-03-09T10:14:00Z,{},1\n2026-03-09T10:15:00Z,{},2\n"
    (note,) = read_table(put(tmp_path, "time,tag,value\n" + rows.format(101, 102))).notes
    assert "a column a sensor, 'tag' and 'value' among them" in note
    assert "--tag 'tag' --value 'value'" in note
    assert not read_table(put(tmp_path, "time,tag,value\n" + rows.format(10.1, 10.2))).notes
    assert not read_table(put(tmp_path, "time,tag,pressure\n" + rows.format(101, 102))).notes


def test_a_header_like_the_labs_own(tmp_path: Path) -> None:
    """Numbers for the quality are the lab's own only in its own file: elsewhere 216 is good and not bad."""
    told = "the number 216 does not say whether a reading is good"
    assert told in refused(tmp_path, "time,sensor,value,quality\n2026-03-09T10:14:00Z,TI-1,1,216\n")
    own = read_table(put(tmp_path, "time,sensor,value,quality\n2026-03-09T10:14:00Z,a/TI-1,1,216\n"))
    assert np.isnan(own.values).all()
    stamps = pyarrow.array([MARCH], pyarrow.timestamp("ns", tz="UTC"))
    columns = {"time": stamps, "sensor": ["TI-1"], "value": [1.5], "quality": pyarrow.array([216], pyarrow.uint8())}
    parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet")
    with pytest.raises(TableError, match=told):
        read_table(tmp_path / "t.parquet")


def test_one_sensor_with_its_name_left_out_is_wide_as_ever(tmp_path: Path) -> None:
    text = "time,tag,value\n2026-03-09T10:14:00Z,A,1\n2026-03-09T10:15:00Z,A,2\n"
    assert read_table(put(tmp_path, text), ignore=["tag"]).columns == ("value",)


def test_some_columns_of_a_wide_file(tmp_path: Path) -> None:
    file = put(tmp_path, "time,TI-1,TI-2,PI-1\n2026-03-09T10:14:00Z,1,2,3\n")
    assert read_table(file, wanted=Wanted(["TI-*"])).columns == ("TI-1", "TI-2")
    assert "no sensor is called X (--sensors); there are TI-1, TI-2, PI-1" in refused(
        tmp_path, file.read_text(), Wanted(["X"])
    )


def test_an_hour_that_comes_twice(tmp_path: Path) -> None:
    from zoneinfo import ZoneInfo

    clocks = ["01:30", "02:00", "02:30", "02:00", "02:30", "03:00"]  # set back from three to two
    lines = [f"2025-10-26 {clock},{tag},{row}\n" for row, clock in enumerate(clocks) for tag in "AB"]
    table = read_table(put(tmp_path, "time,tag,value\n" + "".join(lines)), zone=ZoneInfo("Europe/Berlin"))
    assert table.time is not None
    assert np.diff(table.time).tolist() == [1800 * SECOND] * 5
    assert table.values[:, 1].tolist() == [0, 1, 2, 3, 4, 5]
    newest_first = read_table(put(tmp_path, "time,tag,value\n" + "".join(lines[::-1])), zone=ZoneInfo("Europe/Berlin"))
    assert newest_first.time is not None
    assert newest_first.time.tolist() == table.time.tolist()
    assert newest_first.values[:, 1].tolist() == [0, 1, 2, 3, 4, 5]
    seldom = "time,tag,value\n2025-10-26 03:00,A,4\n2025-10-26 02:50,A,3\n2025-10-26 02:10,A,2\n2025-10-26 01:00,A,1\n"
    told = read_table(put(tmp_path, seldom), zone=ZoneInfo("Europe/Berlin"))
    assert told.values[:, 0].tolist() == [1, 2, 3, 4]
    assert "'2025-10-26 02:50' came twice" in told.notes[1]


def test_parquet(tmp_path: Path) -> None:
    times = pyarrow.array([MARCH, MARCH, MARCH + SECOND]).cast(pyarrow.timestamp("ns", tz="UTC"))
    names = pyarrow.array(["p/a", "p/b", "p/a"]).dictionary_encode()
    columns = {"time": times, "sensor": names, "value": [1.0, None, 3.0]}
    quality = pyarrow.array([0, 133, 192], pyarrow.uint8())
    parquet.write_table(pyarrow.table({**columns, "quality": quality}), tmp_path / "own.parquet")
    table = read_table(tmp_path / "own.parquet")
    assert table.columns == ("a", "b")
    np.testing.assert_array_equal(table.values, [[1, np.nan], [np.nan, np.nan]])  # 192 is bad:check here
    some = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0, 0, 0], pyarrow.int32()), ["p/a", "q/b", ""])
    parquet.write_table(
        pyarrow.table({**columns, "time": times, "sensor": some, "value": [1.0, 1.0, 3.0]}), tmp_path / "few.parquet"
    )
    assert read_table(tmp_path / "few.parquet").columns == ("a",)  # of what no row has, nothing
    parquet.write_table(pyarrow.table({**columns, "quality": [0, 133, 192]}), tmp_path / "other.parquet")
    with pytest.raises(TableError, match="row 1, column 'quality': the number 0 does not say"):
        read_table(tmp_path / "other.parquet")


def test_a_table_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(longtable, "MOST_CELLS", 8)
    lines = [f"2026-03-09T10:14:0{at}Z,S{at},{at}\n" for at in range(9)]
    told = refused(tmp_path, "time,tag,value\n" + "".join(lines))
    assert told.startswith(
        "9 different times and 9 sensors, of which on average 1.0 have a reading at one time, are too large"
    )


def test_sensors_that_are_asked_one_after_the_other(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    lines = []
    for round_ in range(50):
        for sensor in range(4):
            ms = 10_000 * round_ + 300 * sensor + int(rng.integers(0, 50))
            lines.append(f"2026-03-09T10:{14 + ms // 60_000}:{ms % 60_000 / 1000:06.3f}Z,S{sensor},{round_ + sensor}\n")
    lines.insert(0, lines[0])
    lines.append("2026-03-09T10:14:03.000Z,S1,77\n")  # once more in the first round
    rng.shuffle(lines)
    file = put(tmp_path, "time,tag,value\n" + "".join(lines))
    apart = read_table(file)
    assert len(apart.values) == 201
    assert "make one row of each round: --every 10s;" in apart.notes[-1]
    table = read_table(file, wanted=Wanted(every_s=10.0))
    assert [len(table.values), table.columns[0][0]] == [50, "S"]
    wanted = np.arange(50.0)[:, None] + np.arange(4)
    wanted[0, 1] = 77
    order = [table.columns.index(f"S{sensor}") for sensor in range(4)]
    np.testing.assert_array_equal(table.values[:, order], wanted)
    assert table.period_s == pytest.approx(10, abs=0.05)
    assert table.time is not None
    assert 0 <= table.time[0] - MARCH < 50_000_000
    told = table.notes[-2:]
    assert "counted once: 1" in told[0]
    assert told[1].endswith("a later one of the same sensor in their row replaces: 1")
    (tmp_path / "two.csv").write_text(file.read_text() + "2026-03-09T10:14:03.000Z,S1,78\n")
    with pytest.raises(TableError, match=r"sensor 'S1' has 7[78] at 2026-03-09T10:14:03.000Z, but 7[78]"):
        read_table(tmp_path / "two.csv", wanted=Wanted(every_s=10.0))


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.integers(0, 4), st.floats(-9, 9), st.sampled_from([0, 65, 131, 133])),
        min_size=1,
    )
)
@settings(max_examples=200, deadline=None)
def test_a_row_is_what_was_read_at_its_time(readings: list[tuple[int, int, float, int]]) -> None:
    kept = {(t, s): (v, q) for t, s, v, q in readings}
    order = [(t, s, v, q) for (t, s), (v, q) in kept.items()]
    t, s, v, q = (np.array(each) for each in zip(*order, strict=True))
    table = pivot(t.astype(np.int64), s.astype(np.int32), v.astype(np.float64), q.astype(np.uint8), 5)
    assert table.time.tolist() == sorted({t for t, _ in kept})
    for row, at in enumerate(table.time.tolist()):
        for sensor in range(5):
            value, quality = kept.get((at, sensor), (np.nan, BAD))
            np.testing.assert_equal(table.values[row, sensor], np.nan if quality >= BAD else value)
            np.testing.assert_equal(table.shown[row, sensor], value)
            assert (table.beyond is not None and bool(table.beyond[row, sensor])) == (quality == CODES["bad:range"])


def test_the_same_again_and_another_one() -> None:
    t, s = np.array([5, 5], dtype=np.int64), np.zeros(2, dtype=np.int32)
    none = np.full(2, np.nan)
    assert pivot(t, s, none, np.full(2, BAD, dtype=np.uint8), 1).repeated == 1
    with pytest.raises(Twice):
        pivot(t, s, none, np.array([GOOD, BAD], dtype=np.uint8), 1)
    with pytest.raises(Twice):
        pivot(t, s, np.array([1.0, np.nan]), np.zeros(2, dtype=np.uint8), 1)


def test_words_for_quality() -> None:
    words = ["good", "bad:openwire", "", "Good", "UncertainInitialValue", "不良", "良"]
    codes, strange, unknown = quality_codes(words, False, [1] * len(words))
    assert codes.tolist() == [GOOD, CODES["bad:openwire"], GOOD, GOOD, UNCERTAIN, BAD, GOOD]
    assert dict(strange) == {"UncertainInitialValue": 1}
    assert unknown is None
    assert quality_codes(["77"], True, [1])[0].tolist() == [77]
    for word in ("77", "0", "192", "goodness", "ok", "異常"):  # an alarm of the process is no bad reading
        assert quality_codes([word], False, [1])[2] == 0
    assert quality_codes(["192"], True, [1])[2] == 0


def test_columns_by_their_names() -> None:
    def found(*names: str, first: str = "A") -> longtable.Columns | None:
        cells = dict.fromkeys(names, "1") | {names[0]: "2026-03-09T10:14:00Z", names[1]: first}
        text = cells[names[1]].isalpha()
        return find_columns(names, lambda at: cells[names[at]], lambda at: at == 1 and text, None, frozenset(), NOTHING)

    columns = found("time", "sensor", "value", "quality")
    assert columns is not None
    assert columns.own
    assert (columns.time, columns.tag, columns.value, columns.quality, columns.others) == ([0], [1], 2, 3, [])
    other = found("Time", "Sensor", "Value")
    assert other is not None
    assert not other.own
    assert found("time", "sensor", "pressure") is None
    assert found("time", "label", "value") is None
    assert found("time", "tag", "value", first="12.5") is None
    assert found("time", "tag", "value", first="2026-03-09") is None
