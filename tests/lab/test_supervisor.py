"""lab.supervisor and `lab up`: restarts, stopping in order, nothing left behind, plain words when it cannot start."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lab.config import ApiConfig, BrokerConfig, Config, ConfigError
from lab.logs import SHOWN, Log
from lab.running import RunInfo, pid_alive, run_file, running
from lab.supervisor import GUARD, Spec, Supervisor
from lab.up import choose_ports, environment, page_answers, processes

PYTHON = sys.executable
POSIX_ONLY = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")

# A child that notes its beginning and its orderly end in a file both share.
WORKER = """
import signal, sys, time
def end(*_):
    with open(sys.argv[2], "a") as notes: notes.write("end " + sys.argv[1] + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
with open(sys.argv[2], "a") as notes: notes.write("begin " + sys.argv[1] + "\\n")
print("up and running", flush=True)
while True: time.sleep(0.05)
"""


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.text.language", lambda: "en")


def until(true: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Wait for something to become true; fail with its last value when it does not."""
    end = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < end, f"still {value!r} after {seconds} s"
        time.sleep(0.02)
    return value


def worker(name: str, notes: Path, **options: Any) -> Spec:
    return Spec(name, (PYTHON, "-S", "-c", WORKER, name, str(notes)), **options)


class Lab:
    """A supervisor in a thread of its own (its signal handlers left out: those are the main thread's)."""

    def __init__(self, data: Path, specs: list[Spec]) -> None:
        self.said: list[str] = []
        self.ran: list[str] = []
        self.done: list[tuple[str, int]] = []
        info = RunInfo(os.getpid(), "1", time.time(), str(data), "external", "", "127.0.0.1", 1, "127.0.0.1", 2)
        (data / "run").mkdir(parents=True)
        self.supervisor = Supervisor(
            data, specs, info, {}, self.said.append, self.ran.append, lambda *end: self.done.append(end)
        )
        self.info = info
        self.thread = threading.Thread(target=self.supervisor.run)

    def process(self, name: str) -> Any:
        return next(process for process in self.info.processes if process.name == name)

    def running_pid(self, name: str, other_than: int = 0) -> int:
        def found() -> int | None:
            process = self.process(name)
            return process.pid if process.state == "running" and process.pid not in {None, other_than} else None

        return int(until(found))


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[list[Spec]], Lab]]:
    monkeypatch.setattr("lab.supervisor._stop_signals", list)
    monkeypatch.setattr("lab.supervisor.SETTLE_S", 0.1)
    monkeypatch.setattr("lab.supervisor.BACKOFF_S", (0.05, 0.1, 0.2))
    made: list[Lab] = []

    def make(specs: list[Spec]) -> Lab:
        made.append(Lab(tmp_path / "data", specs))
        made[-1].thread.start()
        return made[-1]

    yield make
    for one in made:
        one.supervisor.stop()
        one.thread.join(30)
        assert not one.thread.is_alive()
        assert all(child.process is None for child in one.supervisor.children)


def test_every_process_killed_comes_back(lab: Callable[[list[Spec]], Lab], tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    one = lab([worker("broker", notes, foreign=True), worker("collector", notes), worker("api", notes)])
    for name in ("broker", "collector", "api"):
        pid = one.running_pid(name)
        os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        assert one.running_pid(name, other_than=pid) != pid
        assert one.process(name).restarts == 1
        assert f"{name} ended" in "\n".join(one.said)
        assert f"{name} is running again" in "\n".join(one.said)
    until(lambda: (info := running(tmp_path / "data")) and [p.restarts for p in info.processes] == [1, 1, 1])
    one.supervisor.stop()
    one.thread.join(30)
    assert not run_file(tmp_path / "data").exists()
    order = [line for line in notes.read_text().splitlines() if line.startswith("end")]
    assert order == ["end api", "end collector", "end broker"], "the opposite order of starting"


def test_a_process_that_cannot_live_is_tried_ever_more_slowly(lab: Callable[[list[Spec]], Lab]) -> None:
    one = lab([Spec("bad", (PYTHON, "-S", "-c", "print('ValueError: no'); raise SystemExit(3)"))])
    until(lambda: one.process("bad").restarts >= 4)
    waits = [line.split(" in ")[1].split(" s.")[0] for line in one.said if "exit code 3" in line]
    assert waits[:4] == ["0.05", "0.1", "0.2", "0.2"]
    assert one.process("bad").exit_code == 3
    assert "bad" not in one.ran
    assert any("ValueError: no" in line for line in one.said), "the console shows why"


def test_the_last_words_of_a_process_that_failed_are_shown_once(lab: Callable[[list[Spec]], Lab]) -> None:
    one = lab([Spec("bad", (PYTHON, "-S", "-c", "print('lab.db: no database\\n'); raise SystemExit(1)"))])
    until(lambda: one.process("bad").restarts >= 2)
    said = [line for line in one.said if "exit code 1" in line or "no database" in line][:4]
    assert ["no database" in line for line in said] == [True, False, True, False]


def test_a_program_that_is_not_there_is_reported_and_stopping_still_works(lab: Callable[[list[Spec]], Lab]) -> None:
    one = lab([Spec("gone", ("/nonexistent/program",), foreign=True)])
    until(lambda: one.process("gone").state == "backoff")
    assert any("cannot be started" in line for line in one.said)


def test_one_waits_for_another_and_for_being_ready(lab: Callable[[list[Spec]], Lab], tmp_path: Path) -> None:
    gate = threading.Event()
    one = lab([worker("first", tmp_path / "n", ready=gate.is_set), worker("second", tmp_path / "n", after="first")])
    until(lambda: (tmp_path / "n").exists())
    time.sleep(0.3)
    assert (one.process("first").state, one.process("second").state) == ("starting", "waiting")
    gate.set()
    one.running_pid("second")
    until(lambda: one.ran == ["first", "second"])


def test_what_runs_once_is_done_or_failed(lab: Callable[[list[Spec]], Lab]) -> None:
    one = lab(
        [
            Spec("good", (PYTHON, "-S", "-c", "pass"), once=True, low_priority=True),
            Spec("ill", (PYTHON, "-S", "-c", "raise SystemExit(7)"), once=True),
        ]
    )
    until(lambda: len(one.done) == 2)
    assert sorted(one.done) == [("good", 0), ("ill", 7)]
    assert (one.process("good").state, one.process("ill").state) == ("done", "failed")
    assert one.process("ill").restarts == 0


@POSIX_ONLY
def test_one_that_will_not_stop_is_ended_with_its_descendants(
    lab: Callable[[list[Spec]], Lab], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.supervisor.STOP_S", 0.3)
    stubborn = (
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = os.fork()\n"
        "if child: open(sys.argv[1], 'w').write(str(child))\n"
        "time.sleep(600)"
    )
    one = lab([Spec("stubborn", (PYTHON, "-S", "-c", stubborn, str(tmp_path / "pid")))])
    one.running_pid("stubborn")
    grandchild = int(until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    one.supervisor.stop()
    one.thread.join(30)
    assert any("did not stop" in line for line in one.said)
    until(lambda: not alive(grandchild))


def alive(pid: int) -> bool:
    """Whether a process lives; a zombie that nobody collects in a container does not."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return sys.platform != "linux" and pid_alive(pid)


# A supervisor in a process of its own that can be killed: one foreign child, and one that watches its parent.
PARENT = """
import sys, time, os
from pathlib import Path
from lab.running import RunInfo
from lab.supervisor import Spec, Supervisor
data = Path(sys.argv[1])
(data / "run").mkdir()
info = RunInfo(os.getpid(), "1", 0.0, str(data), "external", "", "", 1, "", 2)
watching = "import time; from lab.running import watch_parent; watch_parent(); print(1, flush=True); time.sleep(600)"
specs = [Spec("foreign", (sys.executable, "-S", "-c", "import time; time.sleep(600)"), foreign=True),
         Spec("own", (sys.executable, "-c", watching))]
if sys.argv[2] == "guard":
    import lab.supervisor
    sys.platform = "other"  # no kernel to end the foreign one: the guard has to
Supervisor(data, specs, info, {}).run()
"""


@POSIX_ONLY
@pytest.mark.parametrize("way", ["kernel", "guard"])
@pytest.mark.parametrize("number", [signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)])
def test_no_process_outlives_its_supervisor(tmp_path: Path, way: str, number: int) -> None:
    parent = subprocess.Popen([PYTHON, "-c", PARENT, str(tmp_path), way], stdout=subprocess.DEVNULL)
    try:
        pids = until(
            lambda: ((info := running(tmp_path)) and [p.pid for p in info.processes if p.state == "running"]) or [None]
        )
        pids = until(
            lambda: (
                (info := running(tmp_path))
                and all(p.state == "running" for p in info.processes)
                and [p.pid for p in info.processes]
            )
        )
        until(lambda: (tmp_path / "logs" / "own.log").exists(), 30)  # it watches by now
        family = [*pids, *(child for pid in pids for child in children(pid))]
        os.kill(parent.pid, number)
        assert parent.wait(30) == (0 if number == signal.SIGTERM else -number)
    finally:
        parent.kill()
        parent.wait()
    until(lambda: not [pid for pid in family if alive(pid)])


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in found.read_text().split()] if found.exists() else []


def test_the_guard_hands_on_exit_codes_and_ends_with_its_pipe() -> None:
    for code, expected in (("raise SystemExit(5)", 5), ("import time; time.sleep(600)", 256 - signal.SIGTERM)):
        command = [PYTHON, "-S", "-c", GUARD, PYTHON, "-S", "-c", code]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as guard:
            if expected != 5:
                guard.communicate(timeout=30)  # closes the pipe, as the end of the supervisor does
            assert guard.wait(30) == expected


# --- logs


def test_a_log_turns_over_and_loses_no_line_but_old_ones(tmp_path: Path) -> None:
    log = Log(tmp_path / "logs" / "x.log", print, max_bytes=1000)
    for number in range(300):
        log.line(b"line %06d\n" % number)
    log.close()
    kept = (tmp_path / "logs" / "x.log.1").read_text() + (tmp_path / "logs" / "x.log").read_text()
    numbers = [int(line.split()[1]) for line in kept.splitlines()]
    assert numbers == list(range(numbers[0], 300))
    assert 1000 < len(kept) < 2100


def test_only_what_matters_reaches_the_console_and_not_without_end(tmp_path: Path) -> None:
    said: list[str] = []
    log = Log(tmp_path / "api.log", said.append)
    log.line(b"GET /healthz 200, 0 errors\n")
    log.line(b"    raise ValueError  # a traceback's source line\n")
    assert said == []
    for number in range(20):
        log.line(b"ERROR number %d\n" % number)
    log.close()
    assert len(said) == SHOWN + 1
    assert said[0].endswith("api | ERROR number 0")
    assert "api.log" in said[-1]


def test_a_log_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "logs").write_text("a file where the folder should be")
    log = Log(tmp_path / "logs" / "x.log", said.append)
    for _ in range(3):
        log.line(b"words\n")
    assert len(said) == 1, "said once, not with every line"


# --- what `lab up` runs


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        yield int(listener.getsockname()[1])


def test_a_default_port_makes_way_and_a_chosen_one_does_not(taken: int, free_port: int) -> None:
    said: list[str] = []
    config = Config(broker=BrokerConfig(port=taken), api=ApiConfig(port=free_port))
    choose_ports(config, frozenset(), said.append)
    assert config.broker.port > taken
    assert str(taken) in said[0]
    assert str(config.broker.port) in said[0]
    config.broker.port = taken
    with pytest.raises(ConfigError, match=rf"{taken}.*--broker-port"):
        choose_ports(config, frozenset({"broker.port"}), said.append)
    config.broker.kind = "external"
    choose_ports(config, frozenset({"broker.port"}), said.append)
    assert config.broker.port == taken, "somebody else's broker is where it is"


def test_broker_and_api_do_not_take_the_same_port(free_port: int) -> None:
    config = Config(broker=BrokerConfig(port=free_port), api=ApiConfig(port=free_port))
    choose_ports(config, frozenset({"broker.port"}), lambda line: None)
    assert config.broker.port == free_port
    assert config.api.port != free_port


def test_the_processes_follow_the_configuration(tmp_path: Path) -> None:
    from lab.broker import BrokerFacts

    config = Config(data_dir=str(tmp_path))
    facts = BrokerFacts("amqtt", "0")
    assert [spec.name for spec in processes(config, facts)] == [
        *("broker", "api", "collector", "plant", "model", "causes")
    ]
    config.plants = []
    external = BrokerFacts("external", "")
    assert [spec.name for spec in processes(config, external)] == ["api", "collector"]
    assert all(spec.after is None for spec in processes(config, external))


def test_children_get_the_effective_configuration_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_API_PORT", "1")
    monkeypatch.setenv("LAB_LANG", "ja")
    made = environment(Config(data_dir=str(tmp_path)))
    assert made["LAB_API_PORT"] == "", "it stands in the configuration, perhaps changed"
    assert "LAB_LANG" not in made
    assert made["LAB_CONFIG"] == str(tmp_path / "run" / "config.toml")


def test_any_answer_of_a_web_server_is_a_page(taken: int, free_port: int) -> None:
    assert not page_answers("127.0.0.1", free_port)
    assert not page_answers("127.0.0.1", taken, timeout=0.2), "it listens, but is no web server"
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert page_answers("0.0.0.0", listener.getsockname()[1])
        thread.join()


def lab_up(data: Path | str, *options: str, lang: str = "en") -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LAB_")} | {"LAB_LANG": lang}
    return subprocess.run(
        [PYTHON, "-m", "lab", "up", "--data-dir", str(data), *options],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=environ,
        timeout=60,
        check=False,
    )


def test_a_chosen_port_that_is_taken_ends_it_with_plain_words(tmp_path: Path, taken: int) -> None:
    done = lab_up(tmp_path / "d", "--broker-port", str(taken))
    assert done.returncode == 1
    assert str(taken) in done.stderr
    assert "--broker-port" in done.stderr
    assert running(tmp_path / "d") is None
    assert "使用中" in lab_up(tmp_path / "d", "--api-port", str(taken), lang="ja").stderr


def test_a_second_start_shows_where_the_first_one_is(tmp_path: Path) -> None:
    from lab.running import Lock, write_private

    lock = Lock(tmp_path)
    assert "just starting" in lab_up(tmp_path).stderr
    info = RunInfo(os.getpid(), "1", 0.0, str(tmp_path), "external", "", "", 1, "127.0.0.1", 8123)
    write_private(run_file(tmp_path), msgspec.json.encode(info))
    done = lab_up(tmp_path)
    lock.release()
    assert done.returncode == 1
    assert "http://127.0.0.1:8123/" in done.stderr
    assert str(os.getpid()) in done.stderr


def test_a_data_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    done = lab_up(tmp_path / "file" / "data")
    assert done.returncode == 1
    assert "--data-dir" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="needs a small file system")
def test_a_full_disk(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "lab-test", str(small)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting needs root")
    try:
        (small / "filler").write_bytes(bytes(65536))
        done = lab_up(small)
        assert done.returncode == 1
        assert "Make room" in done.stderr
        assert "Traceback" not in done.stderr
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_wrong_configuration_file(tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_text("[api]\nprot = 1\n")
    done = lab_up(tmp_path)
    assert done.returncode == 1
    assert "line 2: api.prot" in done.stderr


def test_the_supervisor_is_light() -> None:
    code = "import lab.up, sys, json; print(json.dumps([m for m in sys.modules if '.' not in m]))"
    loaded = json.loads(subprocess.run([PYTHON, "-c", code], capture_output=True, check=True, timeout=60).stdout)
    assert not {"numpy", "typer", "pydantic", "paho", "amqtt", "hashlib"} & set(loaded)
