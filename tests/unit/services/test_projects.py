"""The names of projects that the settings do not name."""

from dataclasses import replace

import pytest

from bot.atlas.errors import Unavailable
from bot.cancellation.policy import Policies
from bot.services.projects import Project, Projects
from tests.support.clock import FakeClock, SimulatedLoop, simulate
from tests.support.core import CoreEnvironment
from tests.support.domain import PROJECT, START
from tests.support.fake_atlas import FakeAtlas


class NamedAtlas(FakeAtlas):
    """An Atlas that has the name of the project, after some failures."""

    failures = 0

    async def project_name(self) -> str:
        if self.failures:
            self.failures -= 1
            raise Unavailable(status=503)
        return "shop-prod"


@pytest.mark.parametrize(
    ("name", "failures", "is_known", "after"),
    [
        (PROJECT, 0, True, "shop-prod"),
        (PROJECT, 1, False, PROJECT),
        ("shop", 0, True, "shop"),  # the settings name it
    ],
)
async def test_name_that_the_settings_lack_is_read_from_atlas(
    name: str, failures: int, is_known: bool, after: str, env: CoreEnvironment
) -> None:
    atlas = NamedAtlas(FakeClock(START))
    atlas.failures = failures
    projects = Projects([replace(env.project, name=name, gateway=atlas)])

    assert await projects.read_names_once() is is_known
    assert projects.name_of(PROJECT) == after
    assert projects.label_of(PROJECT) == name


def test_name_is_asked_for_each_minute_until_it_is_known() -> None:
    async def read(loop: SimulatedLoop) -> None:
        atlas = NamedAtlas(FakeClock(START))
        atlas.failures = 2
        unnamed = Project(id=PROJECT, name=PROJECT, policies=Policies(), gateway=atlas)
        projects = Projects([unnamed])

        await projects.read_names()

        assert projects.name_of(PROJECT) == "shop-prod"
        assert loop.time() == pytest.approx(120)

    simulate(read)
