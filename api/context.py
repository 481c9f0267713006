"""What every route needs, made once by the application's lifespan."""

from dataclasses import dataclass

from fastapi import APIRouter
from starlette.requests import HTTPConnection

from api.bus import Bus
from api.hub import Hub
from api.reader import Readers
from lab.config import Config
from lab.corrosion.desk import Desk

PREFIX = "/api/v1"
BODILESS = "lab.bodiless"
"""In a request's scope: it is a HEAD, of which no body goes out."""


def api_router(tag: str, prefix: str = PREFIX) -> APIRouter:
    """A router whose routes are complete by themselves; operations are called as their functions."""
    return APIRouter(prefix=prefix, tags=[tag], generate_unique_id_function=lambda route: route.name)


@dataclass(frozen=True)
class Context:
    """Configuration, database readers, MQTT client, live hub and corrosion record of a running API."""

    config: Config
    readers: Readers
    bus: Bus
    hub: Hub
    corrosion: Desk


def context(connection: HTTPConnection) -> Context:
    """The context of the application that serves a request."""
    found = connection.app.state.context
    assert isinstance(found, Context)
    return found
