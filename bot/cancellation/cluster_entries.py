"""Which entries of clusters apply to which clusters, and which to none (pure)."""

from collections.abc import Collection, Iterable, Iterator, Sequence

from bot.cancellation.policy import ClusterPolicy, Policies, matches


def hidden_entries(policies: Policies) -> tuple[ClusterPolicy, ...]:
    """Return the entries that never apply."""
    entries = policies.clusters
    return tuple(each for place, each in enumerate(entries) if is_hidden(entries, place))


def is_hidden(entries: Sequence[ClusterPolicy], place: int) -> bool:
    """Whether an entry never applies, since earlier ones have the same names."""
    earlier = [name for each in entries[:place] for name in each.names]
    return all(any(covers(each, name) for each in earlier) for name in entries[place].names)


def covers(pattern: str, other: str) -> bool:
    """Whether a pattern matches all that `other` matches."""
    return matches(pattern, other, question_mark="[^*]")


def unused_entries(
    found: Iterable[tuple[str, Policies, Collection[str] | None]],
) -> Iterator[str]:
    """Yield a sentence for each entry that applies to no cluster of the projects that share it.

    The projects are given by name, policies and clusters; None where these were not read.
    """
    sharing: dict[Policies, list[tuple[str, Collection[str] | None]]] = {}
    for name, policies, clusters in found:
        sharing.setdefault(policies, []).append((name, clusters))
    for policies, group in sharing.items():
        names = ", ".join(name for name, _ in group)
        lists = [clusters for _, clusters in group if clusters is not None]
        if len(lists) < len(group):
            continue  # it may apply to a cluster that was not read
        used = {policies.entry_of(cluster) for clusters in lists for cluster in clusters}
        for entry in policies.clusters:
            if entry not in used and entry not in hidden_entries(policies):
                yield (
                    f"Project {names}: the entry of clusters {', '.join(entry.names)} applies to "
                    "no cluster: compare its names with those of the clusters in Atlas."
                )


def applied_entries(policies: Policies, clusters: Sequence[str]) -> str:
    """Say which entry applies to which clusters, in the order of the entries."""
    places: dict[str, list[str]] = {", ".join(each.names): [] for each in policies.clusters}
    for cluster in clusters:
        entry = policies.entry_of(cluster)
        places.setdefault(", ".join(entry.names) if entry else "no entry", []).append(cluster)
    return "; ".join(f"{names}: {', '.join(found) or 'none'}" for names, found in places.items())
