"""`/_sandbox/events`: every change as a server-sent event, for pages and other processes."""

import asyncio
import json

from aiohttp import web

from bot.sandbox.slack.news import Item, News


class Stream:
    """Any number of open event streams."""

    def __init__(self, news: News) -> None:
        self._news = news
        self._queues: set[asyncio.Queue[Item | None]] = set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One stream: `event: KIND`, `data: {…, "at": seconds}`, until either side ends it."""
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        queue: asyncio.Queue[Item | None] = asyncio.Queue()
        self._queues.add(queue)
        unsubscribe = self._news.subscribe(queue.put_nowait)
        try:
            await response.prepare(request)
            await response.write(b": this is a sandbox, not Slack\n\n")
            while (item := await queue.get()) is not None:
                await response.write(_event(item))
        except ConnectionError:
            return response  # the reader left; nobody is there to tell
        finally:
            unsubscribe()
            self._queues.discard(queue)
        return response

    def end(self) -> None:
        """Ends every stream, so that the server can stop."""
        for queue in self._queues:
            queue.put_nowait(None)


def _event(item: Item) -> bytes:
    data = json.dumps({**item.data, "at": item.at}, default=str)
    return f"event: {item.kind}\ndata: {data}\n\n".encode()
