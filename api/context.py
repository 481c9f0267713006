"""What every route needs, made once by the application's lifespan."""

from dataclasses import dataclass

from starlette.requests import HTTPConnection

from api.bus import Bus
from api.hub import Hub
from api.reader import Readers
from lab.config import Config


@dataclass(frozen=True)
class Context:
    """Configuration, database readers, MQTT client and live hub of a running API."""

    config: Config
    readers: Readers
    bus: Bus
    hub: Hub


def context(connection: HTTPConnection) -> Context:
    """The context of the application that serves a request."""
    found = connection.app.state.context
    assert isinstance(found, Context)
    return found
