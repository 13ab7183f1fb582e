"""`list` and `history`: private, paged, and with the names of unread clusters."""

from pathlib import Path

from tests.acceptance.environment import LIVE, BotEnvironment, open_environment
from tests.acceptance.job_search.worlds import (
    backup_calls,
    job_in,
    left,
    run_privately,
    view_with,
    with_clusters,
)


async def test_list_has_each_cancellable_job_with_a_button(env: BotEnvironment) -> None:
    listed = await run_privately(env, "list")
    text = env.slack.state.text_of(listed)
    await env.slack.people.clicks(
        "rina", listed, "cancel_restore_open", value=f"5b6212af90dc76637950a2c6 {' '.join(LIVE)}"
    )
    details = env.slack.state.text_of(await view_with(env, "Download link"))

    assert "7 downloads can be cancelled now" in text
    assert text.count("[Cancel this download]") == 7
    assert LIVE[1] in details


async def test_unknown_cluster_suggests_similar_names(env: BotEnvironment) -> None:
    text = env.slack.state.text_of(await run_privately(env, "list prod-eo"))

    assert "There is no cluster `prod-eo`. Did you mean `prod-eu`" in text


async def test_long_list_is_paged_with_one_call_per_cluster(tmp_path: Path) -> None:
    async with open_environment(tmp_path, before=with_clusters(60, range(45))) as env:
        before = len(env.atlas.calls)
        first = await run_privately(env, "list", seconds=25)
        calls = len(backup_calls(env.atlas.calls[before:]))
        await env.slack.people.clicks("rina", first, "cancel_restore_more")
        second = (await env.slack.until(lambda: env.slack.state.ephemerals("rina")[1:], 20))[0]
        await env.slack.people.clicks("rina", second, "cancel_restore_more")
        third = (await env.slack.until(lambda: env.slack.state.ephemerals("rina")[2:], 20))[0]
        pages = [env.slack.state.text_of(page) for page in (first, second, third)]

        assert calls == 60
        assert [page.count("[Cancel this download]") for page in pages] == [20, 20, 5]
        assert all(sum(job_in(env, n) in page for page in pages) == 1 for n in range(45))
        assert left(env) >= 240
