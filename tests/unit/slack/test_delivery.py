"""What becomes of a post that Slack did not take."""

from __future__ import annotations

import pytest

from bot.cancellation.events import EventName
from bot.cancellation.lifecycle import State
from bot.cancellation.posts import Post, PostKind
from bot.slack.errors import (
    AlreadyPosted,
    CannotPost,
    InvalidToken,
    MessageNotEditable,
    RateLimited,
    SlackError,
    SlackRejected,
    SlackUnavailable,
)
from bot.slack.outbox.delivery import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    MENDING,
    TRIES,
    UNSEEN,
    Delivered,
    Drop,
    MoveCard,
    RetryLater,
    TellRequester,
    Verdict,
    next_action,
    pause,
    why_moved,
)
from tests.support.domain import RINA
from tests.unit.slack import samples


def a_post(kind: PostKind, *, attempts: int = 1, channel: str = "C0OPS") -> Post:
    about = samples.request(channel=channel)
    return samples.post(EventName.CREATED, about, kind=kind, attempts=attempts)


def no_jitter() -> float:
    return 0.0


@pytest.mark.parametrize("kind", sorted(PostKind))
@pytest.mark.parametrize(
    ("trouble", "verdict"),
    [
        (SlackUnavailable(), RetryLater(FIRST_PAUSE)),
        (RateLimited(seconds=9.0), RetryLater(9.0)),
        (InvalidToken("invalid_auth"), RetryLater(MENDING)),
        (AlreadyPosted(), Delivered()),
        (SlackRejected("invalid_blocks"), RetryLater(FIRST_PAUSE)),
    ],
)
def test_what_passes_is_tried_again(kind: PostKind, trouble: SlackError, verdict: Verdict) -> None:
    assert next_action(a_post(kind), trouble, no_jitter) == verdict


@pytest.mark.parametrize(
    ("kind", "channel", "verdict"),
    [
        (PostKind.CARD, "C0OPS", MoveCard()),
        (PostKind.CARD, RINA.id, Drop()),
        (PostKind.REPLY, "C0OPS", TellRequester()),
        (PostKind.EDIT, "C0OPS", Drop()),
    ],
)
@pytest.mark.parametrize("trouble", [CannotPost("is_archived"), MessageNotEditable()])
def test_what_lasts_goes_to_the_requester(
    kind: PostKind, channel: str, verdict: Verdict, trouble: SlackError
) -> None:
    assert next_action(a_post(kind, channel=channel), trouble, no_jitter) == verdict


def test_a_refusal_that_nobody_knows_is_put_to_the_test_a_few_times() -> None:
    tried = a_post(PostKind.CARD, attempts=TRIES)

    assert next_action(tried, SlackRejected("new_code"), no_jitter) == MoveCard()


def test_pauses_double_up_to_the_longest() -> None:
    pauses = [pause(attempts, lambda: 1.0) for attempts in (1, 2, 3, 50)]

    assert pauses == [1.0, 2.0, 4.0, LONGEST_PAUSE]


def test_jitter_takes_up_to_half_of_a_pause() -> None:
    assert pause(2, lambda: 0.0) == pause(2, lambda: 1.0) / 2


def test_unavailable_slack_is_retried_after_any_number_of_attempts() -> None:
    post = a_post(PostKind.CARD, attempts=TRIES * 2)

    assert next_action(post, SlackUnavailable(), lambda: 1.0) == RetryLater(LONGEST_PAUSE)


@pytest.mark.parametrize("state", [State.AWAITING, State.CANCELLED])
def test_moved_card_says_that_approvers_do_not_see_it_only_while_it_waits(state: State) -> None:
    post = samples.post(EventName.CREATED, samples.request(state=state), kind=PostKind.CARD)

    assert why_moved(post, CannotPost("is_archived")).endswith(UNSEEN) == (state is State.AWAITING)
