"""Decisions about posts that Slack refused."""

import pytest

from bot.cancellation.events import EventName
from bot.cancellation.lifecycle import Card, State
from bot.cancellation.people import People
from bot.cancellation.policy import Policy
from bot.cancellation.posts import Post, PostKind, RequestPost
from bot.slack import errors
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
    SEEN_BY_APPROVERS,
    Action,
    NextAction,
    RetryLater,
    next_action,
    reason_to_move,
)
from bot.storage.outbox_store import LONGEST_DELAY
from tests.support.domain import RINA
from tests.unit.slack import samples

HERE = Card(channel="C0OPS", ts="1.0")
EDIT = "an edit of a card"


def a_post(kind: str, *, attempts: int = 1, channel: str = "C0OPS") -> RequestPost:
    about = samples.request(channel=channel)
    what = {"kind": PostKind.CARD, "place": HERE} if kind == EDIT else {"kind": kind}
    return samples.post(EventName.CREATED, about, attempts=attempts, **what)


def decide(post: Post, error: errors.SlackError, channel: str = "C0OPS") -> NextAction:
    return next_action(post, channel, error, 0.0)


KINDS = [PostKind.CARD, EDIT, PostKind.REPLY]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("error", "action"),
    [
        (errors.SlackUnavailable(), RetryLater(INITIAL_BACKOFF)),
        (errors.RateLimited(seconds=9.0), RetryLater(9.0)),
        (errors.InvalidToken("invalid_auth"), RetryLater(INVALID_TOKEN_BACKOFF)),
        (errors.AlreadyPosted(), Action.DELIVERED),
        (errors.SlackRejected("invalid_blocks"), RetryLater(INITIAL_BACKOFF)),
    ],
)
def test_temporary_error_is_retried(
    kind: str, error: errors.SlackError, action: NextAction
) -> None:
    assert decide(a_post(kind), error) == action


@pytest.mark.parametrize(
    ("kind", "channel", "action"),
    [
        (PostKind.CARD, "C0OPS", Action.MOVE_CARD),
        (PostKind.CARD, RINA.id, RetryLater(INITIAL_BACKOFF)),
        (PostKind.REPLY, "C0OPS", Action.NOTIFY_REQUESTER),
        (EDIT, "C0OPS", RetryLater(INITIAL_BACKOFF)),
    ],
)
@pytest.mark.parametrize("error", [errors.CannotPost("no_permission"), errors.MessageNotEditable()])
def test_refusal_goes_to_the_requester_or_is_retried(
    kind: str, channel: str, action: NextAction, error: errors.SlackError
) -> None:
    assert decide(a_post(kind, channel=channel), error, channel) == action


@pytest.mark.parametrize(
    ("kind", "attempts", "error", "action"),
    [
        (EDIT, 1, errors.MessageDeleted("message_not_found"), Action.DROP),
        (
            EDIT,
            MAX_EDIT_ATTEMPTS,
            errors.MessageNotEditable("edit_window_closed"),
            Action.DROP,
        ),
        (PostKind.DIRECT, 1, errors.CannotPost("user_not_found"), Action.DROP),
        (PostKind.CARD, MAX_ATTEMPTS, errors.SlackRejected("new_code"), Action.MOVE_CARD),
        (PostKind.CARD, MAX_ATTEMPTS * 2, errors.SlackUnavailable(), RetryLater(MAX_BACKOFF)),
    ],
    ids=[
        "edit of a deleted message is dropped",
        "edit that Slack forbids is dropped after many attempts",
        "direct message that its recipient does not take is dropped",
        "unknown refusal is final after several attempts",
        "unavailable Slack is asked after any number of attempts",
    ],
)
def test_post_is_dropped_or_retried_by_kind_attempts_and_error(
    kind: str, attempts: int, error: errors.SlackError, action: NextAction
) -> None:
    assert decide(a_post(kind, attempts=attempts), error) == action


@pytest.mark.parametrize("attempts", [20, MAX_EDIT_ATTEMPTS])
def test_refused_content_of_an_edit_is_retried_slowly_for_days(attempts: int) -> None:
    post = a_post(EDIT, attempts=attempts)
    action = decide(post, errors.SlackRejected("invalid_blocks"))

    assert action == RetryLater(REFUSED_BACKOFF)
    assert LONGEST_DELAY.total_seconds() > REFUSED_BACKOFF


def test_refused_card_of_a_quarantine_is_tried_often_since_each_try_copies_it() -> None:
    held = samples.in_quarantine()
    card = samples.post(EventName.CREATED, held, attempts=20, kind=PostKind.CARD)

    assert decide(card, errors.CannotPost("is_archived")) == RetryLater(MAX_BACKOFF)


def test_message_that_every_channel_refuses_is_dropped_only_after_days() -> None:
    refused = errors.CannotPost("restricted_action")
    early, late = (a_post(PostKind.REPLY, attempts=n) for n in (20, MAX_REFUSED_ATTEMPTS))

    assert decide(early, refused, RINA.id) == RetryLater(REFUSED_BACKOFF)
    assert decide(late, refused, RINA.id) == Action.DROP


def test_backoff_doubles_up_to_the_maximum() -> None:
    posts = [a_post(PostKind.CARD, attempts=attempts) for attempts in (1, 2, 3, 50)]
    actions = [decide(post, errors.SlackUnavailable()) for post in posts]

    assert actions == [RetryLater(seconds) for seconds in (1.0, 2.0, 4.0, MAX_BACKOFF)]


REACHED = Policy(approvers=People(users=frozenset({"U0ADA"})))


@pytest.mark.parametrize(
    ("state", "policy", "ending"),
    [
        (State.AWAITING, REACHED, SEEN_BY_APPROVERS),
        (State.AWAITING, Policy(), NOT_SEEN_BY_APPROVERS),
        (State.AWAITING, None, NOT_SEEN_BY_APPROVERS),
        (State.CANCELLED, Policy(), ""),
    ],
)
def test_moved_card_says_while_it_waits_whether_approvers_see_it(
    state: State, policy: Policy | None, ending: str
) -> None:
    error = errors.CannotPost("is_archived")
    because = reason_to_move(samples.request(state=state), policy, error)

    assert because == f"{error.sentence} {ending}".rstrip()


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (errors.AlreadyPosted(), Action.DELIVERED),
        (errors.RateLimited(seconds=7), RetryLater(7)),
        (errors.SlackUnavailable(), RetryLater(INITIAL_BACKOFF)),
        (errors.InvalidToken(), RetryLater(INVALID_TOKEN_BACKOFF)),
        (errors.CannotPost(), RetryLater(REFUSED_ANNOUNCEMENT_BACKOFF)),
        (errors.MessageNotEditable(), RetryLater(REFUSED_ANNOUNCEMENT_BACKOFF)),
        (errors.MessageDeleted(), Action.DROP),
        (errors.SlackRejected("new_error"), RetryLater(INITIAL_BACKOFF)),
    ],
)
def test_each_error_of_an_announcement_has_its_action(
    error: errors.SlackError, action: NextAction
) -> None:
    assert decide(samples.announcement(), error) == action


@pytest.mark.parametrize(
    ("attempts", "action"),
    [(MAX_ATTEMPTS, RetryLater(REFUSED_ANNOUNCEMENT_BACKOFF)), (MAX_REFUSED_ATTEMPTS, Action.DROP)],
)
@pytest.mark.parametrize("error", [errors.SlackRejected("new_error"), errors.CannotPost()])
def test_announcement_is_dropped_after_a_week_of_refusals_and_not_of_failures(
    error: errors.SlackError, attempts: int, action: NextAction
) -> None:
    announcement = samples.announcement(attempts=attempts)

    assert decide(announcement, error) == action
    assert decide(announcement, errors.SlackUnavailable()) == RetryLater(MAX_BACKOFF)


def announced(place: Card | None) -> Post:
    return samples.announcement(attempts=MAX_EDIT_ATTEMPTS, place=place)


@pytest.mark.parametrize(
    ("post", "action"),
    [
        (announced(None), RetryLater(REFUSED_ANNOUNCEMENT_BACKOFF)),
        (announced(HERE), Action.DROP),
        (a_post(PostKind.CARD, attempts=MAX_EDIT_ATTEMPTS), RetryLater(REFUSED_BACKOFF)),
        (a_post(PostKind.REPLY, attempts=MAX_EDIT_ATTEMPTS), RetryLater(REFUSED_BACKOFF)),
        (a_post(EDIT, attempts=MAX_EDIT_ATTEMPTS), Action.DROP),
    ],
    ids=["announcement", "edit of an announcement", "card", "reply", "edit"],
)
def test_message_with_new_information_is_retried_longer_than_an_edit(
    post: Post, action: NextAction
) -> None:
    assert decide(post, errors.CannotPost("restricted_action"), RINA.id) == action


@pytest.mark.parametrize("kind", [PostKind.CARD, PostKind.REPLY])
def test_refused_post_of_an_operator_becomes_no_direct_message(kind: PostKind) -> None:
    about = samples.request(requester="cli:alice")
    post = samples.post(EventName.CREATED, about, kind=kind)

    assert isinstance(decide(post, errors.CannotPost("is_archived")), RetryLater)


def test_card_without_a_person_to_tell_moves_to_the_spare_channel() -> None:
    about = samples.request(requester="")
    card = samples.post(EventName.CREATED, about, kind=PostKind.CARD)
    archived = errors.CannotPost("is_archived")

    assert next_action(card, "C0OPS", archived, 0.0, spare="C0AUDIT") is Action.MOVE_CARD
    assert isinstance(next_action(card, "C0OPS", archived, 0.0), RetryLater)
    assert NOT_SEEN_BY_APPROVERS not in reason_to_move(about, Policy(), archived)
