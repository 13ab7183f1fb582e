"""Decisions about posts that Slack refused."""

import pytest

from bot.cancellation.events import EventName
from bot.cancellation.lifecycle import State
from bot.cancellation.posts import Post, PostKind, RequestPost
from bot.slack.errors import (
    AlreadyPosted,
    CannotPost,
    InvalidToken,
    MessageDeleted,
    MessageNotEditable,
    RateLimited,
    SlackError,
    SlackRejected,
    SlackUnavailable,
)
from bot.slack.outbox.delivery import (
    INITIAL_BACKOFF,
    INVALID_TOKEN_BACKOFF,
    MAX_ATTEMPTS,
    MAX_BACKOFF,
    MAX_EDIT_ATTEMPTS,
    MAX_REFUSED_ATTEMPTS,
    NOT_SEEN_BY_APPROVERS,
    REFUSED_ANNOUNCEMENT_BACKOFF,
    REFUSED_BACKOFF,
    Action,
    NextAction,
    RetryLater,
    next_action,
    reason_to_move,
)
from bot.storage.outbox_store import LONGEST_DELAY
from tests.support.domain import RINA
from tests.unit.slack import samples


def a_post(kind: PostKind, *, attempts: int = 1, channel: str = "C0OPS") -> RequestPost:
    about = samples.request(channel=channel)
    return samples.post(EventName.CREATED, about, kind=kind, attempts=attempts)


def decide(post: Post, error: SlackError, channel: str = "C0OPS") -> NextAction:
    return next_action(post, channel, error, 0.0)


KINDS = [PostKind.CARD, PostKind.EDIT, PostKind.REPLY]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("error", "action"),
    [
        (SlackUnavailable(), RetryLater(INITIAL_BACKOFF)),
        (RateLimited(seconds=9.0), RetryLater(9.0)),
        (InvalidToken("invalid_auth"), RetryLater(INVALID_TOKEN_BACKOFF)),
        (AlreadyPosted(), Action.DELIVERED),
        (SlackRejected("invalid_blocks"), RetryLater(INITIAL_BACKOFF)),
    ],
)
def test_temporary_error_is_retried(kind: PostKind, error: SlackError, action: NextAction) -> None:
    assert decide(a_post(kind), error) == action


@pytest.mark.parametrize(
    ("kind", "channel", "action"),
    [
        (PostKind.CARD, "C0OPS", Action.MOVE_CARD),
        (PostKind.CARD, RINA.id, RetryLater(INITIAL_BACKOFF)),
        (PostKind.REPLY, "C0OPS", Action.TELL_REQUESTER),
        (PostKind.EDIT, "C0OPS", RetryLater(INITIAL_BACKOFF)),
    ],
)
@pytest.mark.parametrize("error", [CannotPost("no_permission"), MessageNotEditable()])
def test_refusal_goes_to_the_requester_or_is_retried(
    kind: PostKind, channel: str, action: NextAction, error: SlackError
) -> None:
    assert decide(a_post(kind, channel=channel), error, channel) == action


def test_edit_of_a_deleted_message_is_dropped() -> None:
    assert decide(a_post(PostKind.EDIT), MessageDeleted("message_not_found")) == Action.DROP


@pytest.mark.parametrize("attempts", [20, MAX_EDIT_ATTEMPTS])
def test_refused_content_of_an_edit_is_retried_slowly_for_days(attempts: int) -> None:
    post = a_post(PostKind.EDIT, attempts=attempts)
    action = decide(post, SlackRejected("invalid_blocks"))

    assert action == RetryLater(REFUSED_BACKOFF)
    assert LONGEST_DELAY.total_seconds() > REFUSED_BACKOFF


def test_edit_that_slack_forbids_is_dropped_after_many_attempts() -> None:
    post = a_post(PostKind.EDIT, attempts=MAX_EDIT_ATTEMPTS)

    assert decide(post, MessageNotEditable("edit_window_closed")) == Action.DROP


def test_message_that_no_place_takes_is_dropped_only_after_days() -> None:
    refused = CannotPost("restricted_action")
    early, late = (a_post(PostKind.REPLY, attempts=n) for n in (20, MAX_REFUSED_ATTEMPTS))

    assert decide(early, refused, RINA.id) == RetryLater(REFUSED_BACKOFF)
    assert decide(late, refused, RINA.id) == Action.DROP


def test_direct_message_that_its_recipient_does_not_take_is_dropped() -> None:
    post = a_post(PostKind.DIRECT)

    assert decide(post, CannotPost("user_not_found")) == Action.DROP


def test_unknown_refusal_is_final_after_several_attempts() -> None:
    tried = a_post(PostKind.CARD, attempts=MAX_ATTEMPTS)

    assert decide(tried, SlackRejected("new_code")) == Action.MOVE_CARD


def test_backoff_doubles_up_to_the_maximum() -> None:
    posts = [a_post(PostKind.CARD, attempts=attempts) for attempts in (1, 2, 3, 50)]
    actions = [decide(post, SlackUnavailable()) for post in posts]

    assert actions == [RetryLater(seconds) for seconds in (1.0, 2.0, 4.0, MAX_BACKOFF)]


def test_unavailable_slack_is_retried_after_any_number_of_attempts() -> None:
    post = a_post(PostKind.CARD, attempts=MAX_ATTEMPTS * 2)

    assert decide(post, SlackUnavailable()) == RetryLater(MAX_BACKOFF)


@pytest.mark.parametrize("state", [State.AWAITING, State.CANCELLED])
def test_moved_card_says_that_approvers_do_not_see_it_only_while_it_waits(state: State) -> None:
    post = samples.post(EventName.CREATED, samples.request(state=state), kind=PostKind.CARD)
    because = reason_to_move(post, CannotPost("is_archived"))

    assert because.endswith(NOT_SEEN_BY_APPROVERS) == (state is State.AWAITING)


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (AlreadyPosted(), Action.DELIVERED),
        (RateLimited(seconds=7), RetryLater(7)),
        (SlackUnavailable(), RetryLater(INITIAL_BACKOFF)),
        (InvalidToken(), RetryLater(INVALID_TOKEN_BACKOFF)),
        (CannotPost(), RetryLater(REFUSED_ANNOUNCEMENT_BACKOFF)),
        (MessageNotEditable(), RetryLater(REFUSED_ANNOUNCEMENT_BACKOFF)),
        (MessageDeleted(), Action.DROP),
        (SlackRejected("new_error"), RetryLater(INITIAL_BACKOFF)),
    ],
)
def test_action_after_each_error_of_an_announcement(error: SlackError, action: NextAction) -> None:
    assert decide(samples.announcement(), error) == action


@pytest.mark.parametrize(
    ("attempts", "action"),
    [(MAX_ATTEMPTS, RetryLater(REFUSED_ANNOUNCEMENT_BACKOFF)), (MAX_REFUSED_ATTEMPTS, Action.DROP)],
)
@pytest.mark.parametrize("error", [SlackRejected("new_error"), CannotPost()])
def test_refused_announcement_is_retried_rarely_for_about_a_week(
    error: SlackError, attempts: int, action: NextAction
) -> None:
    assert decide(samples.announcement(attempts=attempts), error) == action


def test_unreachable_slack_does_not_end_an_announcement() -> None:
    post = samples.announcement(attempts=MAX_REFUSED_ATTEMPTS * 2)

    assert decide(post, SlackUnavailable()) == RetryLater(MAX_BACKOFF)


@pytest.mark.parametrize("kind", KINDS)
def test_refused_post_of_an_operator_becomes_no_direct_message(kind: PostKind) -> None:
    about = samples.request(requester="cli:alice")
    post = samples.post(EventName.CREATED, about, kind=kind)

    assert isinstance(decide(post, CannotPost("is_archived")), RetryLater)
