"""The outbox: one message a download, its edits and replies, and what Slack may answer."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from bot.cancellation.policy import Policies, Policy
from bot.cancellation.starter import Starters
from bot.services.projects import Project, Projects
from bot.slack.errors import (
    AlreadyPosted,
    CannotPost,
    ContentRefused,
    MessageGone,
    RateLimited,
    SlackError,
    SlackRejected,
    SlackUnavailable,
    ThreadClosed,
)
from bot.slack.outbox import BATCH, CHANNEL_PAUSE, ERROR_PAUSE, REFUSED_PAUSE, TURN, Outbox
from bot.storage.download_store import Listing
from bot.storage.outbox_store import OF_A_CHANNEL, Delivery, Waiting
from bot.tasks import cancel_and_wait
from tests.support.backlog import copy_download, copy_reply
from tests.support.clock import SimulatedLoop, simulated
from tests.support.core import CoreEnvironment, core_environment
from tests.support.domain import (
    ADA,
    AUTO_CANCEL,
    LINK,
    POLICY,
    PROJECT,
    REF,
    RINA,
    START,
    job_ref,
    restore_job,
)
from tests.unit.slack.block_text import as_text
from tests.unit.slack.fake_slack import FakeSlack
from tests.unit.slack.samples import LINKS

POST, EDIT = "chat.postMessage", "chat.update"
OTHER = "5b6212af90dc76637950a2c7"  #: another project


@dataclass
class PostingBot:
    """An outbox over the stores of a process and a workspace without a network."""

    core: CoreEnvironment
    slack: FakeSlack = field(default_factory=FakeSlack)
    is_active: bool = True
    dropped: int = 0

    def __post_init__(self) -> None:
        self.restart(self.core.policy)

    def restart(self, policy: Policy) -> None:
        """Build what a process has, with this policy."""
        self.core.policy = policy
        self.core.build()
        self.start_outbox(self.core.projects)

    def start_outbox(self, projects: Projects) -> None:
        self.outbox = Outbox(
            self.core.outbox,
            self.slack,
            projects,
            LINKS,
            lambda: self.is_active,
            self.core.clock,
            on_dropped=self.drop,
            monotonic=self.core.clock.monotonic,
        )
        self.core.on_messages = self.outbox.wake

    def other_project(self, channel: str) -> Project:
        policies = Policies(default=replace(POLICY, channel=channel))
        return replace(self.core.project, id=OTHER, policies=policies)

    def drop(self) -> None:
        self.dropped += 1

    async def look(self, times: int = 1, after: float = 0.0) -> None:
        """Let the outbox look for what is due, and deliver it."""
        self.core.clock.advance(after)
        for _ in range(times):
            await self.outbox.deliver()
            await self.outbox.idle()


def jobs(bot: PostingBot) -> list[str]:
    """Return the downloads that Slack shows, by their messages' order."""
    return [item["metadata"]["event_payload"]["job"] for item in bot.slack.roots]


async def leave_behind(
    bot: PostingBot, project: Project, number: int, *, has_replies: bool = False
) -> None:
    """Store downloads that Slack does not show, or only the replies of their live links."""
    ref, core = replace(REF, project_id=project.id), bot.core
    jobs = [restore_job(ref, **(LINK if has_replies else {}))]
    listing = Listing(project_id=project.id, cluster="prod-eu", jobs=jobs, read_at=core.clock.now)
    await core.downloads.record_listing(listing, project.policies.default)
    if has_replies:
        await core.outbox.message_shown(ref, 1, "C0DEAD", "1.0")
        await core.database.write(lambda db: copy_reply(db, ref, number))
    await core.database.write(lambda db: copy_download(db, ref, number))


@pytest.fixture
async def bot() -> AsyncIterator[PostingBot]:
    async with core_environment() as core:
        core.clock.advance(5)
        yield PostingBot(core)


async def test_download_has_one_message_that_is_edited_and_its_replies_in_order(
    bot: PostingBot,
) -> None:
    await bot.core.see()
    await bot.look()
    request = await bot.core.ask()
    await bot.core.requests.approve(request.id, ADA, POLICY)
    await bot.look(2)

    (root,) = bot.slack.roots
    assert bot.slack.states == ["approved"]
    assert [call for call, _ in bot.slack.calls] == [POST, EDIT, POST, POST]
    assert root["channel"] == "C0OPS"
    asked, approved = bot.slack.replies
    assert "asks to cancel" in asked["text"]
    assert "<@U0ADA>" in asked["text"]
    assert "approves" in approved["text"]
    assert {item["thread_ts"] for item in bot.slack.replies} == {"1.0"}
    assert [item["reply_broadcast"] for item in bot.slack.replies] == [True, False]


async def test_call_for_approvals_that_comes_after_the_end_calls_nobody(bot: PostingBot) -> None:
    await bot.core.see()
    await bot.look(2)
    request = await bot.core.ask()
    bot.slack.failures[POST].append(RateLimited("ratelimited", 75))
    await bot.look()
    bot.core.clock.advance(61)
    await bot.core.requests.remind(request.id, POLICY)
    await bot.core.requests.let_run(
        REF, request.id, ADA, POLICY, reason="a test", feed_is_readable=True
    )
    await bot.look(3, after=15)

    asked, reminded, ended = bot.slack.replies
    assert "asks to cancel" in asked["text"]
    assert "is decided" in reminded["text"]
    for late in (asked, reminded):
        assert "Approve above" not in late["text"]
        assert "<@U0ADA>" not in late["text"]
        assert not late["reply_broadcast"]
    assert "let" in ended["text"]


async def test_changes_before_a_look_are_one_edit(bot: PostingBot) -> None:
    await bot.core.see()
    await bot.look()
    request = await bot.core.ask()
    await bot.core.requests.let_run(
        REF, request.id, ADA, POLICY, reason="a test", feed_is_readable=True
    )
    await bot.look(2)

    assert len(bot.slack.called(EDIT)) == 1
    assert bot.slack.states == ["denied"]


async def test_message_says_when_the_feed_shows_no_starter_after_all(bot: PostingBot) -> None:
    await bot.core.see()
    shown = []
    for seconds in (8, 21):
        found = Starters(read_at=START + timedelta(seconds=seconds))
        await bot.core.downloads.record_starters(PROJECT, {REF.job_id: found})
        await bot.look(2, after=CHANNEL_PAUSE)
        shown.append(as_text(bot.slack.roots[0]))

    assert "starter not known yet" in shown[0]
    assert "starter not in the activity feed" in shown[1]


async def test_change_during_an_edit_is_shown_by_the_next_one(bot: PostingBot) -> None:
    await bot.core.see()
    await bot.look()
    request = await bot.core.ask()
    gate = bot.slack.gates[EDIT] = asyncio.Event()
    await bot.outbox.deliver()
    await asyncio.sleep(0)
    await bot.core.requests.approve(request.id, ADA, POLICY)
    gate.set()
    await bot.outbox.idle()
    await bot.look()

    assert bot.slack.states == ["approved"]


@simulated
async def test_commit_wakes_the_outbox_which_else_looks_every_second(loop: SimulatedLoop) -> None:
    async with core_environment() as core:
        loop.clock = core.clock
        bot = PostingBot(core)
        looks: list[datetime] = []
        due = core.outbox.due

        async def noted(*given: Any, **options: Any) -> list[Delivery]:
            looks.append(core.clock.now)
            return await due(*given, **options)

        core.outbox.due = noted  # type: ignore[method-assign]
        running = asyncio.create_task(bot.outbox.run())
        await asyncio.sleep(10.5)
        quiet = len(looks)
        await core.see()
        await asyncio.sleep(0.1)
        assert len(bot.slack.roots) == 1
        bot.slack.gates[POST] = asyncio.Event()
        await core.see(REF, job_ref(START, 2))
        await asyncio.sleep(0.1)
        await cancel_and_wait(running)

    assert quiet == 11
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("deliver")]


@pytest.mark.parametrize("number", [1, 2], ids=["message", "reply"])
async def test_post_whose_answer_was_lost_is_repeated_with_the_same_id(
    bot: PostingBot, number: int
) -> None:
    await bot.core.see()
    await bot.core.ask()
    bot.slack.lost = frozenset({number})
    await bot.look()
    await bot.look(2, after=ERROR_PAUSE)

    ids = [given["client_msg_id"] for given in bot.slack.called(POST)]
    assert (len(bot.slack.roots), len(bot.slack.replies)) == (1, 1)
    assert (len(ids), len(set(ids))) == (3, 2)


async def test_another_process_repeats_a_post_with_the_same_id(bot: PostingBot) -> None:
    await bot.core.see()
    bot.slack.lost = frozenset({1})
    await bot.look()
    bot.restart(POLICY)
    await bot.look()

    first, second = bot.slack.called(POST)
    assert first["client_msg_id"] == second["client_msg_id"]
    assert len(bot.slack.roots) == 1


async def test_message_that_is_gone_is_posted_anew_with_the_mentions_of_its_state(
    bot: PostingBot,
) -> None:
    await bot.core.see()
    await bot.look()
    first = bot.slack.roots[0]
    bot.slack.messages.clear()
    await bot.core.ask()
    await bot.look(2)

    (root,) = bot.slack.roots
    assert root["client_msg_id"] != first["client_msg_id"]
    assert "<@U0ADA>" not in first["text"]
    assert root["text"].startswith("<@U0ADA> and <@U0ALAN>: ")
    assert [item["thread_ts"] for item in bot.slack.replies] == ["1.0"]


@pytest.mark.parametrize("was_posted", [False, True])
async def test_message_that_the_old_channel_does_not_take_goes_to_that_of_the_new_policy(
    bot: PostingBot, *, was_posted: bool
) -> None:
    await bot.core.see()
    if was_posted:
        await bot.look()
        bot.slack.failures[EDIT].append(CannotPost("is_inactive"))
    else:
        bot.slack.failures[POST].append(CannotPost("is_archived"))
        await bot.look()
    bot.slack.messages.clear()
    bot.restart(replace(POLICY, channel="C0NEW"))
    await bot.core.ask()
    await bot.look(4)

    assert {item["channel"] for item in (*bot.slack.roots, *bot.slack.replies)} == {"C0NEW"}
    assert (len(bot.slack.roots), len(bot.slack.replies)) == (1, 1)
    assert (await bot.core.download()).channel == "C0NEW"


async def test_message_of_a_channel_that_the_bot_lost_moves_to_that_of_the_new_policy(
    bot: PostingBot,
) -> None:
    await bot.core.see()
    await bot.look(2)
    bot.slack.failing_channels["C0OPS"] = CannotPost("channel_not_found")
    bot.restart(replace(POLICY, channel="C0NEW"))
    await bot.core.ask()
    await bot.look(3)

    assert [item["channel"] for item in bot.slack.roots] == ["C0OPS", "C0NEW"]
    assert [item["channel"] for item in bot.slack.replies] == ["C0NEW"]


async def test_message_that_takes_no_edit_is_posted_anew_once_for_each_change(
    bot: PostingBot,
) -> None:
    await bot.core.see()
    await bot.look()
    bot.slack.failures[EDIT] += [MessageGone("edit_window_closed")] * 10
    await bot.core.ask()
    await bot.look(5)

    assert bot.slack.states == ["announced", "awaiting"]
    assert len(bot.slack.called(EDIT)) == 1


async def test_new_post_whose_answer_was_lost_is_repeated_and_then_edited(bot: PostingBot) -> None:
    await bot.core.see()
    await bot.look()
    bot.slack.messages.clear()
    bot.slack.lost = frozenset({3})  # after the first post, and the edit that finds it gone
    request = await bot.core.ask()
    await bot.look(2)
    await bot.core.requests.approve(request.id, ADA, POLICY)
    await bot.look(3, after=ERROR_PAUSE)

    assert bot.slack.states == ["approved"]


async def test_message_that_a_reply_finds_deleted_is_posted_anew_and_then_replied_to(
    bot: PostingBot,
) -> None:
    await bot.core.see()
    await bot.core.ask()
    bot.slack.failures[POST] += [None, RateLimited("ratelimited", 1)]
    await bot.look()
    bot.slack.messages.clear()
    await bot.look(4, after=2)

    assert len(bot.slack.roots) == len(bot.slack.replies) == 1


async def test_deleted_message_of_which_a_reply_alone_is_missing_is_posted_anew(
    bot: PostingBot,
) -> None:
    await bot.core.see()
    await bot.look(2)
    await bot.core.ask()
    bot.slack.failures[POST] += [RateLimited("ratelimited", 1)]
    await bot.look()
    bot.slack.messages.clear()
    await bot.look(4, after=2)

    assert len(bot.slack.roots) == len(bot.slack.replies) == 1


@pytest.mark.parametrize("is_posted_before", [False, True], ids=["post", "edit"])
async def test_reply_that_a_present_message_cannot_have_is_dropped_and_counted(
    bot: PostingBot, *, is_posted_before: bool
) -> None:
    await bot.core.see()
    if is_posted_before:
        await bot.look(2)
    request = await bot.core.ask()
    await bot.core.requests.approve(request.id, ADA, POLICY)
    if not is_posted_before:
        bot.slack.failures[POST].append(None)
    bot.slack.failures[POST].append(MessageGone("cannot_reply_to_message"))
    await bot.look(2)

    assert bot.dropped == 1
    assert ["approves" in item["text"] for item in bot.slack.replies] == [True]


async def test_id_that_slack_knows_without_a_message_is_replaced(bot: PostingBot) -> None:
    await bot.core.see()
    bot.slack.failures[POST] += [AlreadyPosted("duplicate_message_not_found")]
    await bot.look(2)

    first, second = bot.slack.called(POST)
    assert first["client_msg_id"] != second["client_msg_id"]
    assert len(bot.slack.roots) == 1


async def test_channel_that_takes_no_post_is_tried_once_every_30_seconds(bot: PostingBot) -> None:
    bot.slack.failing_channels["C0OPS"] = error = CannotPost("not_in_channel")
    refs = [job_ref(number=number) for number in range(1, 7)]
    await bot.core.see(*refs[:5])
    with capture_logs() as logs:
        for _ in range(60):
            await bot.look(after=1)
        tries = len(bot.slack.calls)
        del bot.slack.failing_channels["C0OPS"]
        await bot.look(2, after=CHANNEL_PAUSE)
        bot.slack.failing_channels["C0OPS"] = error
        await bot.core.see(*refs)
        await bot.look(after=CHANNEL_PAUSE)

    assert tries == 2
    assert bot.slack.states == ["announced"] * 5
    assert bot.dropped == 0
    failed = [line for line in logs if line["event"] == "channel takes no post: tried again"]
    assert [line["log_level"] for line in failed] == ["error", "info", "error"]
    assert {(line["channel"], line["why"]) for line in failed} == {("C0OPS", str(error))}


@pytest.mark.parametrize("what", ["messages", "replies", "unnamed project"])
async def test_backlog_that_slack_does_not_take_delays_no_other_project(
    bot: PostingBot, what: str
) -> None:
    channel = "C0OPS" if what == "unnamed project" else "C0DEAD"
    dead = bot.other_project(channel)
    bot.start_outbox(Projects([bot.core.project, *([dead] if channel == "C0DEAD" else [])]))
    bot.slack.failing_channels["C0DEAD"] = CannotPost("is_archived")
    await bot.core.see()
    seen_at = bot.core.clock.now
    bot.core.clock.advance(1)
    await leave_behind(bot, dead, BATCH + 1, has_replies=what == "replies")
    await bot.look(2)

    assert jobs(bot) == [REF.job_id]
    assert await bot.core.outbox.oldest() == seen_at + timedelta(seconds=1)


async def test_long_backlog_of_a_channel_hides_no_other_channel(bot: PostingBot) -> None:
    other = bot.other_project("C0OTHER")
    bot.start_outbox(Projects([bot.core.project, other]))
    await bot.core.see()
    bot.core.clock.advance(1)
    await leave_behind(bot, other, BATCH + 1)
    await bot.look()

    assert {item["channel"] for item in bot.slack.roots} == {"C0OPS", "C0OTHER"}


async def test_message_of_an_archived_channel_is_edited_when_the_channel_is_back(
    bot: PostingBot,
) -> None:
    await bot.core.see()
    await bot.look()
    bot.slack.failing_channels["C0OPS"] = CannotPost("is_inactive")
    await bot.core.ask()
    await bot.look(2)
    del bot.slack.failing_channels["C0OPS"]
    await bot.look(2, after=CHANNEL_PAUSE)

    assert bot.slack.states == ["awaiting"]
    assert len(bot.slack.replies) == 1


async def test_download_is_due_only_where_slack_takes_its_next_call(bot: PostingBot) -> None:
    async def is_due(**waiting: Any) -> bool:
        """Whether the store returns it, where first posts go to another channel by now."""
        return bool(await bot.core.outbox.due(10, Waiting(**waiting), {PROJECT: "C0NEW"}))

    await bot.core.see()
    posts = [await is_due(posts={channel}) for channel in ("C0OPS", "C0NEW")]
    await bot.core.outbox.message_shown(REF, 1, "C0OPS", "1.0")
    await bot.core.ask()
    here, thread = {"C0OPS"}, {("C0OPS", "1.0")}
    edits = [await is_due(posts=here), await is_due(posts=here, edits=here)]
    replies = [await is_due(every_edit=True), await is_due(every_edit=True, threads=thread)]

    assert posts == edits == replies == [True, False]


async def test_downloads_in_delivery_or_held_take_no_turn_of_others(bot: PostingBot) -> None:
    oldest, *others = [job_ref(number=number) for number in range(1, 2 * OF_A_CHANNEL)]
    await bot.core.see(oldest, *others)

    found = await bot.core.outbox.due(1, Waiting(downloads=others))
    assert [item.download.ref for item in found] == [oldest]


async def test_backlog_after_an_outage_begins_with_requests_and_then_the_newest(
    bot: PostingBot,
) -> None:
    bot.slack.outage = SlackUnavailable()
    await bot.look(after=TURN / 2)
    refs = [job_ref(number=number) for number in range(1, 5)]
    for seen in range(1, 5):
        await bot.core.see(*refs[:seen])
        await bot.look(after=TURN)
    await bot.core.ask(ref=refs[1], job=restore_job(refs[1]))
    bot.slack.outage = None
    await bot.look(3, after=TURN)

    assert jobs(bot) == [refs[number].job_id for number in (1, 3, 2, 0)]


async def test_oldest_message_has_its_turn_in_a_channel_with_ever_new_ones(
    bot: PostingBot,
) -> None:
    newer = [job_ref(number=number) for number in range(2, 50)]
    for seconds in range(round(TURN) + 1):
        await bot.core.see(REF, *newer[: 2 * OF_A_CHANNEL + 2 * seconds])
        await bot.look(2, after=1)

    assert REF.job_id in jobs(bot)
    assert newer[0].job_id not in jobs(bot)


async def test_thread_that_takes_no_reply_holds_no_other_download_up(bot: PostingBot) -> None:
    await bot.core.see()
    await bot.core.ask()
    bot.slack.failures[POST] += [None, ThreadClosed("restricted_action_thread_locked")]
    await bot.look()
    await bot.core.see(REF, job_ref(number=2))
    await bot.look(2)
    posted = len(bot.slack.roots), len(bot.slack.replies)
    await bot.look(after=CHANNEL_PAUSE)

    assert posted == (2, 0)
    assert len(bot.slack.replies) == 1


async def test_limit_of_one_channel_and_method_pauses_no_other(bot: PostingBot) -> None:
    await bot.core.see()
    await bot.look()
    request = await bot.core.ask()
    bot.slack.failures[EDIT].append(RateLimited("ratelimited", 20))
    await bot.look()
    await bot.core.requests.approve(request.id, ADA, POLICY)
    await bot.look(2, after=19)

    assert len(bot.slack.replies) == 2  # they notify people, and need not wait for the edit
    assert bot.slack.states == ["announced"]
    await bot.look(after=1)
    assert bot.slack.states == ["approved"]


@pytest.mark.parametrize("error", [ContentRefused("invalid_blocks"), SlackRejected("no_idea")])
async def test_message_that_slack_refuses_is_sent_as_a_short_text(
    bot: PostingBot, error: SlackError
) -> None:
    await bot.core.see()
    bot.slack.failures[POST].append(error)
    await bot.look()

    (root,) = bot.slack.roots
    assert root["text"] == f"Download {REF.job_id} of prod-eu in shop: announced"
    assert root["blocks"] == []


async def test_short_text_with_an_auto_cancel_time_mentions_the_approvers(bot: PostingBot) -> None:
    bot.restart(AUTO_CANCEL)
    await bot.core.downloads.start_watch(PROJECT, START)
    await bot.core.see()
    bot.slack.failures[POST].append(ContentRefused("invalid_blocks"))
    await bot.look()

    (root,) = bot.slack.roots
    assert "<@U0ADA>" in root["text"]
    assert root["blocks"] == []


async def test_message_whose_short_text_is_refused_too_holds_no_other_one_up(
    bot: PostingBot,
) -> None:
    await bot.core.see()
    bot.slack.failures[POST] += [ContentRefused("invalid_blocks")] * 2
    await bot.look()
    other = job_ref(START, 2)
    await bot.core.see(REF, other)
    await bot.look(after=1)
    shown = jobs(bot)
    await bot.look(after=REFUSED_PAUSE)

    assert shown == [other.job_id]
    assert len(bot.slack.roots) == 2


@pytest.mark.parametrize(
    "error", [SlackUnavailable("internal_error"), ValueError("a bug")], ids=["Slack", "bug"]
)
async def test_message_that_failed_is_tried_again_after_two_seconds(
    bot: PostingBot, error: Exception
) -> None:
    await bot.core.see()
    bot.slack.failures[POST] += [error]  # type: ignore[list-item]
    await bot.look()
    await bot.look(after=1.9)
    early = len(bot.slack.called(POST))
    await bot.look(after=0.1)

    assert (early, len(bot.slack.called(POST))) == (1, 2)


async def test_replies_do_not_wait_for_an_edit_that_slack_refuses(bot: PostingBot) -> None:
    await bot.core.see()
    await bot.look(2)
    await bot.core.ask()
    bot.slack.failures[EDIT] += [ContentRefused("invalid_blocks")] * 2
    await bot.look()

    assert bot.slack.states == ["announced"]
    assert len(bot.slack.replies) == 1


async def test_reply_that_slack_refuses_is_dropped_and_the_next_one_posted(
    bot: PostingBot,
) -> None:
    await bot.core.see()
    request = await bot.core.ask()
    await bot.core.requests.approve(request.id, ADA, POLICY)
    bot.slack.failures[POST] += [None, SlackRejected("no_idea"), SlackRejected("no_idea")]
    await bot.look()

    assert bot.dropped == 1
    assert ["approves" in item["text"] for item in bot.slack.replies] == [True]


async def test_nothing_is_sent_without_the_lease(bot: PostingBot) -> None:
    await bot.core.see()
    bot.is_active = False
    await bot.look()
    assert bot.slack.calls == []
    bot.is_active = True
    await bot.look()
    assert len(bot.slack.roots) == 1


async def test_post_that_a_lost_lease_leaves_unrecorded_is_found_by_its_id(
    bot: PostingBot,
) -> None:
    await bot.core.see()
    await bot.core.lease.release()
    await bot.look()
    await bot.core.lease.take()
    await bot.look(after=ERROR_PAUSE)

    assert len(bot.slack.called(POST)) == 2
    assert len(bot.slack.roots) == 1


async def test_direct_message_is_edited_in_the_channel_that_slack_gave_it(
    bot: PostingBot,
) -> None:
    bot.restart(Policy())
    request = await bot.core.ask(channel=RINA.id)
    await bot.look()
    assert bot.slack.states == ["approved"]
    await bot.core.requests.apply_policy(request.id, replace(POLICY, read_only=True))
    await bot.look()

    assert bot.slack.called(EDIT)[0]["channel"] == "D0RINA"
    assert bot.slack.states == ["withdrawn"]


async def test_message_of_a_project_that_is_not_named_any_more_waits(bot: PostingBot) -> None:
    await bot.core.see(REF, job_ref(number=2))
    bot.start_outbox(Projects([]))
    with capture_logs() as logs:
        await bot.look(2)

    assert bot.slack.calls == []
    assert [(line["log_level"], line["project"]) for line in logs] == [("warning", PROJECT)]


async def test_first_post_of_a_request_leaves_the_mention_to_its_reply(bot: PostingBot) -> None:
    await bot.core.ask()
    await bot.look()

    assert "<@U0ADA>" not in bot.slack.roots[0]["text"]
    assert "<@U0ADA>" in bot.slack.replies[0]["text"]


@pytest.mark.parametrize("policy", [POLICY, AUTO_CANCEL], ids=["announced", "auto_cancel"])
async def test_first_post_mentions_approvers_only_with_an_auto_cancel_time(
    bot: PostingBot, policy: Policy
) -> None:
    bot.restart(policy)
    await bot.core.downloads.start_watch(PROJECT, START)
    bot.core.clock.advance(10)
    await bot.core.see(job_ref(START + timedelta(seconds=10)))
    await bot.look()

    assert ("<@U0ADA>" in bot.slack.roots[0]["text"]) is (policy is AUTO_CANCEL)


async def test_request_goes_before_announcements_that_wait_for_their_turn(bot: PostingBot) -> None:
    await bot.core.see()
    await bot.look()
    await bot.core.see(*(job_ref(number=number) for number in range(2, 20)))
    await bot.look()
    announced = len(bot.slack.roots)
    bot.core.clock.advance(1)
    await bot.core.ask()
    for _ in range(2):  # first the message is edited, then the thread gets its reply
        await bot.look(after=1)

    assert announced < len(bot.slack.roots) < 19
    assert ["asks to cancel" in item["text"] for item in bot.slack.replies] == [True]


async def test_age_of_the_oldest_change_counts_replies_too(bot: PostingBot) -> None:
    await bot.core.see()
    await bot.look()
    assert await bot.core.outbox.oldest() is None
    asked_at = bot.core.clock.now
    await bot.core.ask()
    bot.slack.failures[POST].append(RateLimited("ratelimited", 60))
    await bot.look()

    assert bot.slack.states == ["awaiting"]
    assert await bot.core.outbox.oldest() == asked_at


async def test_further_changes_do_not_make_an_undelivered_message_younger(bot: PostingBot) -> None:
    seen_at = bot.core.clock.now
    bot.slack.failures[POST] += [RateLimited("ratelimited", 600)]
    await bot.core.see()
    await bot.look()
    bot.core.clock.advance(60)
    await bot.core.ask()

    assert await bot.core.outbox.oldest() == seen_at


async def test_message_whose_first_post_had_no_answer_is_edited_after_the_second(
    bot: PostingBot,
) -> None:
    bot.slack.lost = frozenset({1})
    await bot.core.see()
    await bot.look()
    await bot.core.ask()
    await bot.look(3, after=ERROR_PAUSE)

    assert len(bot.slack.roots) == 1
    assert bot.slack.states == ["awaiting"]


async def test_message_of_a_running_download_shows_the_settings_of_a_new_start(
    bot: PostingBot,
) -> None:
    await bot.core.see()
    await bot.look()
    assert "Cancel this download" in str(bot.slack.roots[0]["blocks"])
    bot.restart(replace(POLICY, read_only=True))
    await bot.core.downloads.show_again()
    await bot.look()

    assert "Cancel this download" not in str(bot.slack.roots[0]["blocks"])
