"""From a payload, however it came, to a request of Bolt's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slack_bolt.request.async_request import AsyncBoltRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: What comes of fields that Bolt reads without looking what they are.
_MISREAD = (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError)

#: The headers that mean something to Bolt. Nothing signs a header, so no other goes through.
RETRY_HEADERS = ("X-Slack-Retry-Num", "X-Slack-Retry-Reason")


class Misread(ValueError):
    """Bolt cannot read this payload."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


def bolt_request(payload: dict[str, Any], headers: Mapping[str, str]) -> AsyncBoltRequest:
    """Give Bolt a payload that is read, and known to be Slack's; raises `Misread`.

    Bolt's own reading of HTTP bodies takes every form with the word "payload" anywhere in it for an
    interaction, and would lose the command of somebody whose cluster is called so.

    Args:
        payload: what Slack sent.
        headers: of the request; those that are not of Slack's retries are left out.
    """
    kept: dict[str, str | Sequence[str]] = {
        name: headers[name] for name in RETRY_HEADERS if name in headers
    }
    try:
        return AsyncBoltRequest(mode="socket_mode", body=payload, headers=kept)
    except _MISREAD as error:
        raise Misread from error
