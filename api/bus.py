"""The API's ear on the broker: live frames for the hub, the collector's counters, the gateways, commands and replies.

The MQTT client runs in its own thread and only passes messages on; everything else happens in the event loop.
"""

import asyncio
import contextlib
import logging
import os
import time
from typing import Any, Final, NoReturn

import msgspec
import orjson
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from api.hub import Hub
from api.problems import Problem
from devices.frame import Birth, Command, Reply, State, decode_birth
from devices.topics import CORE_COMMAND, CORE_LIVE, CORE_REPLY, CORE_STATUS, parse_topic, topic
from lab.config import BrokerConfig
from lab.text import text

REPLY_S: Final = 5.0
SILENT_S: Final = 10.0
MAX_GATEWAYS: Final = 10_000
EVERY_CORE_TOPIC: Final = "lab/core/v1/#"
GATEWAY_TOPICS: Final = tuple(f"lab/v1/+/+/+/+/+/{cls}" for cls in ("event", "birth", "state"))

_MISSING: Final = {"asset": "api.no_asset", "episode": "api.no_episode", "cause": "api.no_cause"}
"""What the collector does not know when it says so, by the argument that names it."""

logger = logging.getLogger("lab.api")


class Gateway:
    """What a gateway has said of itself, as far as the API was there to hear it."""

    def __init__(self, id: str, path: str) -> None:
        self.id = id
        self.path = path
        self.birth: Birth | None = None
        self.online = False
        self.status: dict[str, Any] | None = None
        """Last status of a simulated plant, as it came."""
        self.status_at: int | None = None
        """When that came, ns."""

    @property
    def simulator(self) -> bool:
        """Whether it takes simulator commands."""
        return self.birth is not None and self.birth.simulator

    @property
    def assets(self) -> list[str]:
        """Ids of its assets."""
        return [asset.id for asset in self.birth.assets] if self.birth else []


class Bus:
    """The MQTT client. Every method is to be called in the event loop's thread."""

    def __init__(self, config: BrokerConfig, hub: Hub) -> None:
        self.config = config
        self.hub = hub
        self.connected = False
        self.refused = ""
        """Why the broker does not take us, in its words."""
        self.collector: dict[str, Any] = {}
        """The collector's last counters."""
        self.gateways: dict[str, Gateway] = {}
        self.bad = 0
        self._heard: float | None = None
        self._began = time.monotonic()
        self._waiting: dict[str, asyncio.Future[Reply]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=f"lab-api-{os.getpid()}-{os.urandom(4).hex()}")
        if config.username:
            self._client.username_pw_set(config.username, config.password)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(0.5, 5)  # type: ignore[arg-type]  # seconds; fractions work
        self._client.connect_timeout = 3.0

    def start(self) -> None:
        """Connect in the background, and again whenever the connection is lost."""
        self._loop = asyncio.get_running_loop()
        self._client.connect_async(self.config.host, self.config.port, keepalive=15)
        self._client.loop_start()

    async def stop(self) -> None:
        """Disconnect and wait for the client's thread."""
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)
        self._loop = None

    @property
    def silent_s(self) -> float:
        """Seconds since the collector was last heard (since the start when it never was)."""
        return time.monotonic() - (self._began if self._heard is None else self._heard)

    def simulator(self, id: str) -> Gateway:
        """The simulated plant of that id, a gateway's or its asset's.

        Raises:
            Problem: there is none.
        """
        found = self.gateways.get(id)
        if found is None or not found.simulator:
            found = next((each for each in self.simulators() if id in each.assets), None)
        if found is None:
            raise Problem("not-found", "api.no_simulator", id=id)
        return found

    def simulators(self) -> list[Gateway]:
        """All simulated plants, by their ids."""
        return sorted((each for each in self.gateways.values() if each.simulator), key=lambda each: each.id)

    async def command(self, gateway: Gateway, op: str, args: dict[str, object]) -> Reply:
        """Send a command to a simulated plant and wait for its answer.

        Raises:
            Problem: the broker is away, the plant is off or does not answer in time, or it refuses.
        """
        if not self.connected:
            raise Problem("broker", "api.broker", host=self.config.host, port=self.config.port)
        if not gateway.online:
            raise Problem("plant-silent", "api.plant_off", id=gateway.id)
        try:
            reply = await self._ask(topic(gateway.path, gateway.id, "cmd"), op, args)
        except TimeoutError as error:
            raise Problem("plant-silent", "api.plant_silent", id=gateway.id, seconds=REPLY_S) from error
        if not reply.ok:
            key, values = _refusal(reply, "api.plant_refused")
            raise Problem("plant-refused", key, extra={"result": reply.result}, **values)
        return reply

    async def order(self, op: str, args: dict[str, object]) -> Reply:
        """Send a command to the collector and wait for its answer.

        Raises:
            Problem: the broker is away, the collector does not answer in time, knows nothing of the kind, or refuses.
        """
        if not self.connected:
            raise Problem("broker", "api.broker", host=self.config.host, port=self.config.port)
        try:
            reply = await self._ask(CORE_COMMAND, op, args)
        except TimeoutError as error:
            raise Problem("lab-silent", "api.lab_silent", seconds=REPLY_S) from error
        if (missing := reply.result.get("missing")) in _MISSING:
            raise Problem("not-found", _MISSING[missing], id=args.get(missing, ""))
        if not reply.ok:
            key, values = _refusal(reply, "api.lab_refused")
            raise Problem("lab-refused", key, **values)
        return reply

    async def _ask(self, name: str, op: str, args: dict[str, object]) -> Reply:
        command = Command(os.urandom(8).hex(), op, args)
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[command.id] = answer
        try:
            self._client.publish(name, msgspec.json.encode(command), qos=1)
            async with asyncio.timeout(REPLY_S):
                return await answer
        finally:
            del self._waiting[command.id]

    # --- in the MQTT client's thread ---

    def _on_connect(
        self, client: Client, userdata: object, flags: ConnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        if code.is_failure:
            logger.warning("broker %s:%d refused: %s", self.config.host, self.config.port, code)
            self._pass(self._set_connected, False, str(code))
            return
        client.subscribe([(EVERY_CORE_TOPIC, 0), *((name, 1) for name in GATEWAY_TOPICS)])
        self._pass(self._set_connected, True, "")

    def _on_disconnect(
        self, client: Client, userdata: object, flags: DisconnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        self._pass(self._set_connected, False, None)

    def _on_message(self, client: Client, userdata: object, message: MQTTMessage) -> None:
        try:
            name = message.topic
        except UnicodeDecodeError:
            return  # no topic of ours; the exception would end the client's thread
        self._pass(self._take, name, message.payload, message.retain)

    def _pass(self, function: Any, *args: object) -> None:
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop was closed while the message was on its way
                loop.call_soon_threadsafe(function, *args)

    # --- in the event loop ---

    def _set_connected(self, connected: bool, refused: str | None) -> None:
        self.connected = connected
        if refused is not None:
            self.refused = refused

    def _take(self, name: str, payload: bytes, retained: bool) -> None:
        if name == CORE_LIVE:
            self._heard = time.monotonic()
            self.hub.publish(payload)
            return
        try:
            if name == CORE_STATUS:
                self._take_status(payload, retained)
            elif name == CORE_REPLY:
                self._answered(msgspec.json.decode(payload, type=Reply))
            elif not name.startswith("lab/core/"):
                self._take_gateway(name, payload)
        except (ValueError, msgspec.DecodeError) as error:
            self.bad += 1
            logger.warning("%s: message left out: %s", name, error)

    def _take_status(self, payload: bytes, retained: bool) -> None:
        status = orjson.loads(payload)
        if not isinstance(status, dict):
            _not_an_object()
        self.collector = status
        if not retained:  # what the broker kept says nothing about who is alive
            self._heard = time.monotonic()

    def _take_gateway(self, name: str, payload: bytes) -> None:
        path, id, cls = parse_topic(name)
        if not payload:  # a retained message taken back
            if cls == "birth":
                self.gateways.pop(id, None)
            return
        gateway = self.gateways.get(id)
        if gateway is None:
            if len(self.gateways) >= MAX_GATEWAYS:
                raise ValueError(f"more than {MAX_GATEWAYS} gateways")
            gateway = self.gateways[id] = Gateway(id, path)
        if cls == "birth":
            gateway.birth = decode_birth(payload)
            gateway.path = path
        elif cls == "state":
            state = msgspec.json.decode(payload, type=State)
            if state.state == "online" or gateway.birth is None or state.b >= gateway.birth.b:
                gateway.online = state.state == "online"
        else:
            self._take_event(gateway, payload)

    def _take_event(self, gateway: Gateway, payload: bytes) -> None:
        event = orjson.loads(payload)
        if not isinstance(event, dict):
            _not_an_object()
        if event.get("kind") == "status":
            gateway.status = event
            gateway.status_at = time.time_ns()
        elif event.get("kind") == "reply":
            self._answered(msgspec.convert(event, Reply))

    def _answered(self, reply: Reply) -> None:
        waiting = self._waiting.get(reply.id)
        if waiting is not None and not waiting.done():
            waiting.set_result(reply)


def _not_an_object() -> NoReturn:
    raise ValueError("not a JSON object")


def _refusal(reply: Reply, otherwise: str) -> tuple[str, dict[str, Any]]:
    """Why an order was refused, as the key of a text and its values: the code's, or `otherwise` with its own words."""
    key, given = f"api.refused.{reply.result.get('code')}", reply.result.get("values")
    values = {
        name: given[name] for name in ("loop", "xmv", "tag", "lo", "hi") if isinstance(given, dict) and name in given
    }
    try:
        text(key, **values)
    except (KeyError, ValueError, TypeError):  # a plant of another version
        return otherwise, {"detail": reply.detail}
    return key, values
