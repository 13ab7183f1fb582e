"""The outbox: one message a download, its edits and replies, and what Slack may answer."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, cast

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.atlas import JobRef
from bot.cancellation.policy import Policy
from bot.cancellation.request import Request
from bot.cancellation.starter import Starters
from bot.services.projects import Projects
from bot.slack import outbox as outbox_module
from bot.slack.errors import (
    AlreadyPosted,
    CannotPost,
    ContentRefused,
    MessageGone,
    RateLimited,
    SlackError,
    SlackRejected,
    ThreadClosed,
)
from bot.slack.outbox import CHANNEL_PAUSE, ERROR_PAUSE, REFUSED_PAUSE, Outbox
from bot.storage.database import Database
from bot.storage.download_store import DownloadStore, Listing
from bot.storage.lease import Lease
from bot.storage.migrate import create_tables
from bot.storage.outbox_store import OutboxStore
from bot.storage.request_store import RequestStore
from tests.support.clock import FakeClock
from tests.support.domain import (
    ADA,
    AUTO_CANCEL,
    POLICY,
    PROJECT,
    REF,
    RINA,
    START,
    job_ref,
    restore_job,
    submission,
)
from tests.support.polling import wait_until
from tests.unit.slack.block_text import as_text
from tests.unit.slack.fake_chat import FakeChat
from tests.unit.slack.samples import LINKS, project

POST, EDIT = "chat.postMessage", "chat.update"


@dataclass
class Environment:
    """The outbox over the real stores and a workspace without a network."""

    policy: Policy = POLICY
    chat: FakeChat = field(default_factory=FakeChat)
    is_active: bool = True
    dropped: int = 0

    async def open(self) -> None:
        self.clock = FakeClock(START + timedelta(seconds=5))
        self.database = Database("sqlite:///:memory:")
        await self.database.write(create_tables)
        self.lease = Lease(self.database, "this process")
        assert await self.lease.take()
        stores = (self.database, self.clock, self.lease)
        self.store = OutboxStore(*stores)
        self.outbox = self.new_outbox()
        wake = self.outbox.wake
        self.requests = RequestStore(*stores, on_messages=wake)
        self.downloads = DownloadStore(*stores, on_messages=wake)

    def new_outbox(self, projects: Projects | None = None) -> Outbox:
        return Outbox(
            self.store,
            cast(AsyncWebClient, self.chat),
            projects or Projects([project(self.policy)]),
            LINKS,
            lambda: self.is_active,
            self.clock,
            on_dropped=self.drop,
            monotonic=self.clock.monotonic,
        )

    def drop(self) -> None:
        self.dropped += 1

    async def see(self, *refs: JobRef, **changes: Any) -> None:
        """Let the watch read a list with these downloads."""
        jobs = [restore_job(ref, **changes) for ref in refs or (REF,)]
        listing = Listing(project_id=PROJECT, cluster="prod-eu", jobs=jobs, read_at=self.clock.now)
        await self.downloads.record_listing(listing, self.policy)

    async def ask(self, **changes: Any) -> Request:
        submitted = await self.requests.submit(RINA, self.policy, submission(**changes))
        return submitted.request

    async def look(self, times: int = 1, after: float = 0.0) -> None:
        """Let the outbox look for what is due, and deliver it."""
        self.clock.advance(after)
        for _ in range(times):
            await self.outbox.deliver()
            await self.outbox.idle()


@pytest.fixture
async def env() -> AsyncIterator[Environment]:
    opened = Environment()
    await opened.open()
    yield opened
    await opened.database.close()


async def test_download_has_one_message_that_is_edited_and_its_replies_in_order(
    env: Environment,
) -> None:
    await env.see()
    await env.look()
    request = await env.ask()
    await env.requests.approve(request.id, ADA, env.policy)
    await env.look(3)

    (root,) = env.chat.roots
    assert env.chat.states == ["approved"]
    assert [call for call, _ in env.chat.calls] == [POST, EDIT, POST, POST]
    assert root["channel"] == "C0OPS"
    asked, approved = env.chat.replies
    assert "asks to cancel" in asked["text"]
    assert "approves" in approved["text"]
    assert {item["thread_ts"] for item in env.chat.replies} == {"1.0"}
    assert [item["reply_broadcast"] for item in env.chat.replies] == [True, False]


async def test_changes_before_a_look_are_one_edit(env: Environment) -> None:
    await env.see()
    await env.look()
    request = await env.ask()
    await env.requests.let_run(
        REF, request.id, ADA, env.policy, reason="a test", feed_is_readable=True
    )
    await env.look(2)

    assert len(env.chat.called(EDIT)) == 1
    assert env.chat.states == ["denied"]


async def test_message_says_when_the_feed_shows_no_starter_after_all(env: Environment) -> None:
    await env.see()
    shown = []
    for seconds in (8, 21):
        found = Starters(read_at=START + timedelta(seconds=seconds))
        await env.downloads.record_starters(PROJECT, {REF.job_id: found})
        await env.look(2, after=CHANNEL_PAUSE)
        shown.append(as_text(env.chat.roots[0]))

    assert "starter not known yet" in shown[0]
    assert "starter not in the activity feed" in shown[1]


async def test_change_during_an_edit_is_shown_by_the_next_one(env: Environment) -> None:
    await env.see()
    await env.look()
    request = await env.ask()
    env.chat.gate = asyncio.Event()
    await env.outbox.deliver()
    await asyncio.sleep(0)
    await env.requests.approve(request.id, ADA, env.policy)
    env.chat.gate.set()
    await env.outbox.idle()
    await env.look()

    assert env.chat.states == ["approved"]


async def test_commit_wakes_the_outbox(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "POLL", 3600.0)
    running = asyncio.create_task(env.outbox.run())
    await asyncio.sleep(0.1)
    await env.see()
    await wait_until(lambda: env.chat.roots)
    running.cancel()

    assert await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("number", [1, 2], ids=["message", "reply"])
async def test_post_whose_answer_was_lost_is_repeated_with_the_same_id(
    env: Environment, number: int
) -> None:
    await env.see()
    await env.ask()
    env.chat.lost = frozenset({number})
    await env.look()
    await env.look(2, after=ERROR_PAUSE)

    ids = [given["client_msg_id"] for given in env.chat.called(POST)]
    assert (len(env.chat.roots), len(env.chat.replies)) == (1, 1)
    assert (len(ids), len(set(ids))) == (3, 2)


async def test_another_process_repeats_a_post_with_the_same_id(env: Environment) -> None:
    await env.see()
    env.chat.lost = frozenset({1})
    await env.look()
    env.outbox = env.new_outbox()
    await env.look()

    first, second = env.chat.called(POST)
    assert first["client_msg_id"] == second["client_msg_id"]
    assert len(env.chat.roots) == 1


async def test_message_that_is_gone_is_posted_anew_with_the_mentions_of_its_state(
    env: Environment,
) -> None:
    await env.see()
    await env.look()
    first = env.chat.roots[0]
    env.chat.messages.clear()
    await env.ask()
    await env.look(2)

    (root,) = env.chat.roots
    assert root["client_msg_id"] != first["client_msg_id"]
    assert "<@U0ADA>" not in first["text"]
    assert root["text"].startswith("<@U0ADA> and <@U0ALAN>: ")
    assert [item["thread_ts"] for item in env.chat.replies] == ["1.0"]


async def test_message_that_takes_no_edit_is_posted_anew_once_for_each_change(
    env: Environment,
) -> None:
    await env.see()
    await env.look()
    env.chat.failures[EDIT] += [MessageGone("edit_window_closed")] * 10
    await env.ask()
    await env.look(5)

    assert env.chat.states == ["announced", "awaiting"]
    assert len(env.chat.called(EDIT)) == 1


async def test_new_post_whose_answer_was_lost_is_repeated_and_then_edited(
    env: Environment,
) -> None:
    await env.see()
    await env.look()
    env.chat.messages.clear()
    env.chat.lost = frozenset({3})  # after the first post, and the edit that finds it gone
    request = await env.ask()
    await env.look(2)
    await env.requests.approve(request.id, ADA, env.policy)
    await env.look(3, after=ERROR_PAUSE)

    assert env.chat.states == ["approved"]


async def test_message_that_a_reply_finds_deleted_is_posted_anew_and_then_replied_to(
    env: Environment,
) -> None:
    await env.see()
    await env.ask()
    env.chat.failures[POST] += [None, RateLimited("ratelimited", 1)]
    await env.look()
    env.chat.messages.clear()
    await env.look(4, after=2)

    assert len(env.chat.roots) == len(env.chat.replies) == 1


async def test_reply_that_a_present_message_cannot_have_is_dropped_and_counted(
    env: Environment,
) -> None:
    await env.see()
    request = await env.ask()
    await env.requests.approve(request.id, ADA, env.policy)
    env.chat.failures[POST] += [None, MessageGone("cannot_reply_to_message")]
    await env.look(2)

    assert env.dropped == 1
    assert ["approves" in item["text"] for item in env.chat.replies] == [True]


async def test_id_that_slack_knows_without_a_message_is_replaced(env: Environment) -> None:
    await env.see()
    env.chat.failures[POST] += [AlreadyPosted("duplicate_message_not_found")]
    await env.look(2)

    first, second = env.chat.called(POST)
    assert first["client_msg_id"] != second["client_msg_id"]
    assert len(env.chat.roots) == 1


async def test_channel_that_takes_no_post_is_tried_every_30_seconds(env: Environment) -> None:
    env.chat.failing_channels["C0OPS"] = CannotPost("not_in_channel")
    await env.see()
    for _ in range(60):
        await env.look(after=1)
    tries = len(env.chat.calls)
    del env.chat.failing_channels["C0OPS"]
    await env.look(after=CHANNEL_PAUSE)

    assert tries == 2
    assert env.chat.states == ["announced"]
    assert env.dropped == 0


async def test_thread_that_takes_no_reply_holds_no_other_download_up(env: Environment) -> None:
    await env.see()
    await env.ask()
    env.chat.failures[POST] += [None, ThreadClosed("restricted_action_thread_locked")]
    await env.look()
    await env.see(REF, job_ref(number=2))
    await env.look(2)
    posted = len(env.chat.roots), len(env.chat.replies)
    await env.look(after=CHANNEL_PAUSE)

    assert posted == (2, 0)
    assert len(env.chat.replies) == 1


async def test_limit_of_one_channel_and_method_pauses_no_other(env: Environment) -> None:
    await env.see()
    await env.look()
    request = await env.ask()
    env.chat.failures[EDIT].append(RateLimited("ratelimited", 20))
    await env.look()
    await env.requests.approve(request.id, ADA, env.policy)
    await env.look(2, after=19)

    assert len(env.chat.replies) == 2  # they notify people, and need not wait for the edit
    assert env.chat.states == ["announced"]
    await env.look(after=1)
    assert env.chat.states == ["approved"]


@pytest.mark.parametrize("error", [ContentRefused("invalid_blocks"), SlackRejected("no_idea")])
async def test_message_that_slack_refuses_is_sent_as_a_short_text(
    env: Environment, error: SlackError
) -> None:
    await env.see()
    env.chat.failures[POST].append(error)
    await env.look()

    (root,) = env.chat.roots
    assert root["text"] == f"Download {REF.job_id} of prod-eu in shop-prod: announced"
    assert root["blocks"] == []


async def test_message_whose_short_text_is_refused_too_holds_no_other_one_up(
    env: Environment,
) -> None:
    await env.see()
    env.chat.failures[POST] += [ContentRefused("invalid_blocks")] * 2
    await env.look()
    other = job_ref(START, 2)
    await env.see(REF, other)
    await env.look(after=1)
    shown = [item["metadata"]["event_payload"]["job"] for item in env.chat.roots]
    await env.look(after=REFUSED_PAUSE)

    assert shown == [other.job_id]
    assert len(env.chat.roots) == 2


async def test_reply_that_slack_refuses_is_dropped_and_the_next_one_posted(
    env: Environment,
) -> None:
    await env.see()
    request = await env.ask()
    await env.requests.approve(request.id, ADA, env.policy)
    env.chat.failures[POST] += [None, SlackRejected("no_idea"), SlackRejected("no_idea")]
    await env.look()

    assert env.dropped == 1
    assert ["approves" in item["text"] for item in env.chat.replies] == [True]


async def test_nothing_is_sent_without_the_lease(env: Environment) -> None:
    await env.see()
    env.is_active = False
    await env.look()
    assert env.chat.calls == []
    env.is_active = True
    await env.look()
    assert len(env.chat.roots) == 1


async def test_post_that_a_lost_lease_leaves_unrecorded_is_found_by_its_id(
    env: Environment,
) -> None:
    await env.see()
    await env.lease.release()
    await env.look()
    await env.lease.take()
    await env.look(after=ERROR_PAUSE)

    assert len(env.chat.called(POST)) == 2
    assert len(env.chat.roots) == 1


async def test_direct_message_is_edited_in_the_channel_that_slack_gave_it(
    env: Environment,
) -> None:
    env.policy = Policy()
    env.outbox = env.new_outbox()
    request = await env.ask(channel=RINA.id)
    await env.look()
    assert env.chat.states == ["approved"]
    await env.requests.end_read_only(request.id, env.policy)
    await env.look()

    assert env.chat.called(EDIT)[0]["channel"] == "D0RINA"
    assert env.chat.states == ["withdrawn"]


async def test_message_of_a_project_that_is_not_named_any_more_waits(env: Environment) -> None:
    await env.see()
    env.outbox = env.new_outbox(Projects([]))
    await env.look(2)

    assert env.chat.calls == []


@pytest.mark.parametrize("policy", [POLICY, AUTO_CANCEL], ids=["announced", "auto_cancel"])
async def test_first_post_mentions_approvers_only_with_an_auto_cancel_time(
    env: Environment, policy: Policy
) -> None:
    env.policy = policy
    env.outbox = env.new_outbox()
    await env.downloads.start_watch(PROJECT)
    env.clock.advance(10)
    await env.see(job_ref(START + timedelta(seconds=10)))
    await env.look()

    assert ("<@U0ADA>" in env.chat.roots[0]["text"]) is (policy is AUTO_CANCEL)


async def test_age_of_the_oldest_change_counts_replies_too(env: Environment) -> None:
    await env.see()
    await env.look()
    assert await env.store.oldest() is None
    asked_at = env.clock.now
    await env.ask()
    env.chat.failures[POST].append(RateLimited("ratelimited", 60))
    await env.look()

    assert env.chat.states == ["awaiting"]
    assert await env.store.oldest() == asked_at


async def test_further_changes_do_not_make_an_undelivered_message_younger(env: Environment) -> None:
    seen_at = env.clock.now
    env.chat.failures[POST] += [RateLimited("ratelimited", 600)]
    await env.see()
    await env.look()
    env.clock.advance(60)
    await env.ask()

    assert await env.store.oldest() == seen_at


async def test_message_whose_first_post_had_no_answer_is_edited_after_the_second(
    env: Environment,
) -> None:
    env.chat.lost = frozenset({1})
    await env.see()
    await env.look()
    await env.ask()
    await env.look(3, after=ERROR_PAUSE)

    assert len(env.chat.roots) == 1
    assert env.chat.states == ["awaiting"]


async def test_message_of_a_running_download_shows_the_settings_of_a_new_start(
    env: Environment,
) -> None:
    await env.see()
    await env.look()
    assert "Cancel this download" in str(env.chat.roots[0]["blocks"])
    env.policy = replace(env.policy, read_only=True)
    env.outbox = env.new_outbox()
    await env.downloads.show_again()
    await env.look()

    assert "Cancel this download" not in str(env.chat.roots[0]["blocks"])
