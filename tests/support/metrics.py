"""What `/metrics` shows, as values."""

from prometheus_client.parser import text_string_to_metric_families

from bot.web.metrics import Metrics


def samples(metrics: Metrics) -> dict[str, float]:
    """Return the value of each series, by its name and labels."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        f"{s.name}{''.join(f',{k}={v}' for k, v in sorted(s.labels.items()))}": s.value
        for family in families
        for s in family.samples
    }
