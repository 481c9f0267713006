"""What `lab up` runs: ports chosen, the effective configuration written, the processes named, the address shown."""

import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from lab import __version__
from lab.broker import BrokerError, BrokerFacts, broker_command, broker_facts, connect_code
from lab.config import VARIABLES, Config, ConfigError, write_config
from lab.machine import NEEDED_BYTES, disk, next_free_port, port_holder, port_state
from lab.running import AlreadyRunning, Lock, RunInfo, running
from lab.supervisor import Spec, Supervisor
from lab.text import text

MODEL_KIND: Final = "tep"
"""Kind of the simulated plants, whose model `lab up` makes when there is none or another version made it."""


class Order(msgspec.Struct):
    """What the command line asked for, handed over to the process that supervises."""

    config: Config
    given: list[str] = []
    """Fields that somebody set, see `lab.config.Settings`."""
    open_page: bool = False
    begun: float = 0.0
    """Epoch seconds at which the command began."""


def main() -> None:
    """`python -m lab.up`: take over from `lab up` without the memory its command line needs."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
    sys.exit(up(msgspec.json.decode(os.environ.pop("LAB_ORDER"), type=Order)))


def up(order: Order) -> int:
    """Run the lab until Ctrl-C or SIGTERM; the exit code."""
    config = order.config
    config.data_dir = str(config.data.absolute())
    say = _console()
    try:
        _check_data_dir(config.data)
        lock = Lock(config.data)
    except (AlreadyRunning, OSError, ConfigError) as error:
        print(_why_not(config.data, error), file=sys.stderr)
        return 1
    try:
        facts = broker_facts(config)
        choose_ports(config, frozenset(order.given), say)
        specs = processes(config, facts)
        write_config(config, config.data / "run" / "config.toml")
        _greet(config, facts, say)
    except (ConfigError, BrokerError, OSError) as error:
        print(error, file=sys.stderr)
        lock.release()
        return 1
    info = RunInfo(
        pid=os.getpid(),
        version=__version__,
        started=time.time(),
        data_dir=config.data_dir,
        broker_kind=facts.kind,
        broker_version=facts.version,
        broker_host=config.broker.host,
        broker_port=config.broker.port,
        api_host=config.api.host,
        api_port=config.api.port,
    )

    learning = not (config.models / f"{MODEL_KIND}.model").exists()

    def on_running(name: str) -> None:
        if name == "api":
            say(text("up.ready", seconds=f"{time.time() - order.begun:.1f}", url=info.url))
            say(text("up.ctrl_c"))
            if order.open_page:
                threading.Thread(target=_open_page, args=(info.url,), daemon=True).start()
        elif name == "model" and learning:
            say(text("up.learning"))

    def on_done(name: str, code: int) -> None:
        if code == 0 and not learning:
            return
        log = config.data / "logs" / f"{name}.log"
        done, failed = ("up.learned", "up.learn_failed") if name == "model" else ("up.causes", "up.causes_failed")
        say(text(done) if code == 0 else text(failed, code=code, log=log))

    try:
        Supervisor(config.data, specs, info, environment(config), say, on_running, on_done).run()
    finally:
        lock.release()
    say(text("up.stopped", data=config.data))
    return 0


def choose_ports(config: Config, given: frozenset[str], say: Callable[[str], None]) -> None:
    """Settle the ports: one that somebody set must be free, a default one that is taken makes way for the next.

    Raises:
        ConfigError: a port that was set is taken or may not be opened, or there is none to move to.
    """
    used: set[int] = set()
    for field, part in (("broker.port", config.broker), ("api.port", config.api)):
        if part is config.broker and config.broker.kind == "external":
            continue
        state = "taken" if part.port in used else port_state(part.host, part.port)
        if state != "free":
            holder = port_holder(part.port) or text("up.somebody")
            if state != "taken" or field in given:
                raise ConfigError(text(f"up.port_{state}", port=part.port, host=part.host, holder=holder))
            other = next_free_port(part.host, part.port + 1, frozenset(used))
            if other is None:
                raise ConfigError(text("up.port_none", port=part.port))
            say(text("up.port_moved", port=part.port, holder=holder, other=other))
            part.port = other
        used.add(part.port)


def processes(config: Config, facts: BrokerFacts) -> list[Spec]:
    """The processes of a configuration, in the order of starting.

    Raises:
        ConfigError: the broker would be open to the network without a password.
        OSError: the broker's configuration cannot be written.
    """
    lab = (sys.executable, "-m", "lab")
    broker, api = config.broker, config.api
    specs = []
    after = None
    if facts.kind != "external":
        after = "broker"
        login = (broker.username, broker.password)
        command = broker_command(config, facts)
        ready = lambda: connect_code(broker.host, broker.port, 0.5, *login) == 0  # noqa: E731
        specs.append(Spec("broker", command, ready, foreign=facts.program is not None))
    specs.append(Spec("api", (*lab, "api"), lambda: page_answers(api.host, api.port)))
    specs.append(Spec("collector", (*lab, "collector"), after=after))
    if config.plants or config.piping_points:
        specs.append(Spec("plant", (*lab, "plant"), after=after))
    if config.plants:
        # Also when there is a model: one that another version made is made anew, a good one is only looked at.
        specs.append(Spec("model", (*lab, "model", MODEL_KIND), after="api", once=True, low_priority=True))
        specs.append(Spec("causes", (*lab, "model", "causes"), after="model", once=True, low_priority=True))
    return specs


def environment(config: Config) -> dict[str, str]:
    """Variables of every process: where the effective configuration is, and nothing that would override it."""
    own = {*VARIABLES, "LAB_BROKER"}
    return {
        **{name: "" for name in own if name in os.environ},
        "LAB_CONFIG": str(config.data / "run" / "config.toml"),
        "LAB_SUPERVISED": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
        "TYPER_STANDARD_TRACEBACK": "1",  # no boxes in a log
    }


def page_answers(host: str, port: int, timeout: float = 1.0) -> bool:
    """Whether a web server answers `GET /healthz`, whatever it says of the lab's health."""
    host = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)
    try:
        with socket.create_connection((host, port), timeout=timeout) as connection:
            connection.settimeout(timeout)
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return connection.recv(5) == b"HTTP/"
    except OSError:
        return False


def _open_page(url: str) -> None:
    import webbrowser

    webbrowser.open(url)


def _check_data_dir(data: Path) -> None:
    found = disk(data)
    if found.full:
        free, needed = found.free // 1024**2, NEEDED_BYTES // 1024**2
        raise ConfigError(text("up.disk_full", data=data, free=free, needed=needed))
    if found.problem is not None:
        raise ConfigError(text("up.data_dir", data=data, why=found.problem))


def _why_not(data: Path, error: Exception) -> str:
    if isinstance(error, AlreadyRunning):
        info = running(data)
        return (
            text("up.already", data=data, pid=info.pid, url=info.url)
            if info
            else text("up.already_starting", data=data)
        )
    if isinstance(error, OSError):
        return text("up.data_dir", data=data, why=error.strerror or error)
    return str(error)


def _greet(config: Config, facts: BrokerFacts, say: Callable[[str], None]) -> None:
    host, port = config.broker.host, config.broker.port
    say(text("up.starting", data=config.data))
    say(text("up.broker_is", kind=facts.kind, version=facts.version, address=f"mqtt://{host}:{port}"))
    if facts.kind == "amqtt":
        say(text("up.broker_slow"))
    if facts.kind == "external":
        code = connect_code(host, port, 2.0, config.broker.username, config.broker.password)
        if code is None:
            say(text("up.broker_silent", host=host, port=port))
        elif code:
            raise BrokerError(text("up.broker_refused", host=host, port=port, code=code))


def _console() -> Callable[[str], None]:
    """A `print` for several threads that outlives a console that was closed."""
    lock = threading.Lock()
    closed = False

    def say(line: str) -> None:
        nonlocal closed
        with lock:
            if not closed:
                try:
                    print(line, flush=True)
                except OSError:
                    closed = True

    return say


if __name__ == "__main__":
    main()
