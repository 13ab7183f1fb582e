"""A fake MongoDB Atlas Administration API: strict, in memory, on loopback."""

from bot.sandbox.atlas.activity import Actor
from bot.sandbox.atlas.auth.credentials import Credential, Role
from bot.sandbox.atlas.behaviour import Behaviour
from bot.sandbox.atlas.call_recorder import Call
from bot.sandbox.atlas.clock import Clock
from bot.sandbox.atlas.example import PRIVATE_KEY, PROJECT_ID, PUBLIC_KEY
from bot.sandbox.atlas.faults import PRESETS, Fault, Kind
from bot.sandbox.atlas.jobs import PLANTED_SECRET, DeliveryType, RestoreJob
from bot.sandbox.atlas.server import FakeAtlasServer
from bot.sandbox.atlas.world import Cluster, Project, World

__all__ = [
    "PLANTED_SECRET",
    "PRESETS",
    "PRIVATE_KEY",
    "PROJECT_ID",
    "PUBLIC_KEY",
    "Actor",
    "Behaviour",
    "Call",
    "Clock",
    "Cluster",
    "Credential",
    "DeliveryType",
    "FakeAtlasServer",
    "Fault",
    "Kind",
    "Project",
    "RestoreJob",
    "Role",
    "World",
]
