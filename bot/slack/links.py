"""Links to Atlas's pages and to Slack's messages."""

from dataclasses import dataclass
from urllib.parse import quote

from bot.atlas import JobRef


@dataclass(frozen=True, slots=True)
class Links:
    """Builds links from the base URL of Atlas."""

    atlas: str

    def cluster_page(self, ref: JobRef) -> str:
        """Return the URL of the cluster's page in Atlas, which lists its restore jobs."""
        base = self.atlas.rstrip("/")
        return f"{base}/v2/{quote(ref.project_id)}#/clusters/detail/{quote(ref.cluster_name)}"
