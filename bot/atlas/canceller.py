"""Cancels a restore job in Atlas: the only module that sends a DELETE."""

from bot.atlas.errors import JobNotFound
from bot.atlas.http import AtlasHttp
from bot.atlas.models import JobRef
from bot.atlas.protocol import ApiCall, job_path


class AtlasCanceller:
    """Sends the DELETE with one project's credentials; the runs of requests alone have it."""

    def __init__(self, http: AtlasHttp) -> None:
        self._http = http

    async def cancel_restore_job(self, ref: JobRef) -> int:
        """Send exactly one DELETE, without retries, and return the status.

        Any 2xx is accepted, with any body. Only a read of the job shows whether it is cancelled.
        Raises `AtlasRejected`, when nothing was changed, and `AtlasUnavailable` when it is not
        settled: check its `may_have_taken_effect`, and read the job.
        """
        return await self._http.delete(ApiCall(job_path(ref), JobNotFound))
