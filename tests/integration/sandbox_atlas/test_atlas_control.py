"""The control API: calls, faults, changed jobs and options, and rejected origins."""

import pytest

from bot.sandbox.atlas import PLANTED_SECRET, PROJECT_ID, Call
from tests.integration.sandbox_atlas.conftest import GROUP, AtlasEnv, job_path

JOB = "65f0a1c2d3e4f5a6b7c80101"
RUNNING = job_path("prod-eu", JOB)


async def test_every_response_has_the_sandbox_header(env: AtlasEnv) -> None:
    answers = [await env.http.get("/"), await env.http.get("/_sandbox/"), await env.v2.get(GROUP)]

    assert {answer.headers["X-Sandbox"] for answer in answers} == {
        "fake MongoDB Atlas; nothing here is real"
    }
    assert answers[0].text.startswith("This is a sandbox")


async def test_status_has_url_and_credentials(env: AtlasEnv) -> None:
    about = (await env.http.get("/_sandbox/")).json()

    assert about["atlas"] == env.atlas.url
    assert about["projects"] == {PROJECT_ID: "shop-prod"}
    assert about["keys"]["sandboxk"] == env.atlas.world.keys["sandboxk"].secret


async def test_world_is_returned_without_links(env: AtlasEnv) -> None:
    answer = await env.http.get("/_sandbox/world")
    states = {job["id"][-3:]: job["state"] for job in answer.json()["jobs"] if job["id"][0] == "6"}

    assert states["101"] == "running"
    assert states["102"] == "live"
    assert states["104"] == "finished"
    assert PLANTED_SECRET not in answer.text


async def test_calls_are_returned_from_an_offset(env: AtlasEnv) -> None:
    await env.v2.get(GROUP)
    first = (await env.http.get("/_sandbox/calls")).json()
    await env.v2.delete(RUNNING)
    second = (await env.http.get("/_sandbox/calls", params={"since": first["next"]})).json()

    assert [call["status"] for call in first["calls"]] == [401, 200]
    assert [(call["method"], call["effect"]) for call in second["calls"]] == [("DELETE", True)]
    assert second["next"] == 3


async def test_listener_gets_calls_until_it_unsubscribes(env: AtlasEnv) -> None:
    received: list[Call] = []
    unsubscribe = env.atlas.recorder.subscribe(received.append)
    await env.v2.get(GROUP)
    unsubscribe()
    await env.v2.get(GROUP)

    assert received == env.atlas.calls[:2]


async def test_fault_is_added_and_cleared(env: AtlasEnv) -> None:
    fault = {"kind": "status", "status": 503, "method": "GET", "times": 2}
    added = (await env.http.post("/_sandbox/faults", json=fault)).json()
    faults = await env.v2.get(GROUP)
    cleared = (await env.http.delete("/_sandbox/faults")).json()

    assert added["active"] == [{**fault, "left": 2}]
    assert set(added["presets"]) >= {"slow", "cut-after", "maintenance"}
    assert faults.status_code == 503
    assert cleared["active"] == env.atlas.faults.active == []


async def test_preset_is_added_by_its_name(env: AtlasEnv) -> None:
    await env.http.post("/_sandbox/faults", json={"preset": "maintenance"})

    answer = await env.v2.delete(RUNNING)

    assert answer.json()["errorCode"] == "WRITES_NOT_ALLOWED_DURING_APP_UPGRADES"


@pytest.mark.parametrize(
    ("action", "state"),
    [
        ("release", "live"),
        ("cancel", "cancelled"),
        ("expire", "expired"),
        ("fail", "failed"),
        ("finish", "finished"),
    ],
)
async def test_job_is_changed(env: AtlasEnv, action: str, state: str) -> None:
    answer = await env.http.post(f"/_sandbox/jobs/{JOB}", json={"action": action})

    assert answer.json()["state"] == state
    assert env.atlas.world.job(JOB).state == state
    assert env.atlas.world.cancellations == []


@pytest.mark.parametrize("cluster", ["prod-eu", "orders-sharded"])
async def test_used_link_leaves_only_its_time(env: AtlasEnv, cluster: str) -> None:
    new = {"project": PROJECT_ID, "cluster": cluster, "live": True}
    started = (await env.http.post("/_sandbox/jobs", json=new)).json()
    path = f"/_sandbox/jobs/{started['id']}"
    before = (await env.v2.get(job_path(cluster, started["id"]))).json()

    changed = (await env.http.post(path, json={"action": "use"})).json()
    again = await env.http.post(path, json={"action": "use"})
    after = (await env.v2.get(job_path(cluster, started["id"]))).text

    assert (changed["state"], again.status_code) == ("used", 409)
    assert before["expiresAt"] in after
    assert PLANTED_SECRET not in after


async def test_job_is_started(env: AtlasEnv) -> None:
    new = {"project": PROJECT_ID, "cluster": "prod-eu", "live": True}
    started = (await env.http.post("/_sandbox/jobs", json=new)).json()

    job = (await env.v2.get(job_path("prod-eu", started["id"]))).json()

    assert started["state"] == "live"
    assert PLANTED_SECRET in job["deliveryUrl"][0]


async def test_behaviour_is_changed(env: AtlasEnv) -> None:
    changed = await env.http.patch("/_sandbox/behaviour", json={"nonce_lifetime": 5})

    assert changed.json()["nonce_lifetime"] == 5
    assert env.atlas.behaviour.nonce_lifetime == 5
    assert (await env.http.get("/_sandbox/behaviour")).json() == changed.json()


@pytest.mark.parametrize(
    ("call", "body", "status"),
    [
        ("POST faults", {"kind": "earthquake"}, 400),
        ("POST faults", {"kind": "status", "status": 418, "colour": "red"}, 400),
        ("POST faults", {"kind": "status", "status": 599}, 400),
        ("POST faults", {"kind": "error", "code": "NO_SUCH_CODE"}, 400),
        ("POST faults", ["slow"], 400),
        ("POST faults", {"preset": "no-such-preset"}, 404),
        (f"POST jobs/{JOB}", {"action": "explode"}, 400),
        (f"POST jobs/{'a' * 24}", {"action": "cancel"}, 404),
        ("POST jobs", {"project": PROJECT_ID, "cluster": "nowhere"}, 404),
        ("PATCH behaviour", {"algorithm": "ROT13", "nonce_lifetime": 1}, 400),
        ("PATCH behaviour", {"seen_address": "home"}, 400),
        ("PATCH behaviour", [1], 400),
        ("GET calls?since=yesterday", None, 400),
        ("GET nothing", None, 404),
        ("PUT faults", {}, 404),
    ],
)
async def test_invalid_change_is_rejected_and_changes_nothing(
    env: AtlasEnv, call: str, body: object, status: int
) -> None:
    before = env.atlas.behaviour.model_dump()

    method, path = call.split(" ")
    answer = await env.http.request(method, f"/_sandbox/{path}", json=body)

    assert answer.status_code == status
    assert env.atlas.faults.active == []
    assert env.atlas.behaviour.model_dump() == before
    assert env.atlas.calls == []


async def test_body_without_json_is_rejected(env: AtlasEnv) -> None:
    headers = {"Content-Type": "application/json"}
    broken = await env.http.post("/_sandbox/faults", content=b"{", headers=headers)
    form = await env.http.post("/_sandbox/faults", data={"preset": "slow"})

    assert (broken.status_code, form.status_code) == (400, 415)


@pytest.mark.parametrize("path", ["/_sandbox/", f"/api/atlas/v2{GROUP}"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_other_sites_get_403(env: AtlasEnv, path: str, headers: dict[str, str]) -> None:
    assert (await env.http.get(path, headers=headers)).status_code == 403
    assert env.atlas.calls == []


async def test_own_origin_is_accepted(env: AtlasEnv) -> None:
    own = await env.http.get("/_sandbox/", headers={"Origin": env.atlas.url})
    other_port = await env.http.get("/_sandbox/", headers={"Origin": "http://127.0.0.1:1"})

    assert [own.status_code, other_port.status_code] == [200, 403]
