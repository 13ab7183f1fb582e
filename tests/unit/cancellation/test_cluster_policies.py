"""Which policy holds for a cluster: the first entry that matches its name, else the project's."""

import pytest

from bot.cancellation.cluster_entries import applied_entries, hidden_entries, unused_entries
from bot.cancellation.policy import ClusterPolicy, Policies, Policy

PROJECT, PROD, TEST, ALL = (Policy(approvals=number) for number in range(4))


def entries(*names: tuple[str, ...]) -> Policies:
    policies = (PROD, TEST, ALL)
    return Policies(PROJECT, tuple(map(ClusterPolicy, names, policies)))


@pytest.mark.parametrize(
    ("cluster", "policy"),
    [
        ("prod-eu", PROD),
        ("PROD-eu", PROD),
        ("prod-", PROD),
        ("test-1", TEST),
        ("test-10", PROJECT),
        ("orders", TEST),
        ("prod", PROJECT),
        ("my-prod-eu", PROJECT),
        ("[a]", PROJECT),
    ],
)
def test_first_entry_that_matches_the_whole_name_in_any_case_holds(
    cluster: str, policy: Policy
) -> None:
    policies = entries(("Prod-*",), ("test-?", "orders"), ("prod-eu", "[ab]"))

    assert policies.of(cluster) == policy
    assert policies.all == (PROJECT, PROD, TEST, ALL)


@pytest.mark.parametrize(
    ("names", "hidden"),
    [
        ([("prod-*",), ("prod-eu",)], [1]),
        ([("prod-*",), ("PROD-?",)], [1]),
        ([("prod-?",), ("prod-*",)], []),
        ([("a", "b"), ("b", "a")], [1]),
        ([("a",), ("a", "b")], []),
        ([("a",), ("b",), ("?",)], []),
        ([("*",), ("a",), ("b*",)], [1, 2]),
    ],
)
def test_entry_is_hidden_when_earlier_ones_match_all_its_names(
    names: list[tuple[str, ...]], hidden: list[int]
) -> None:
    policies = entries(*names)

    assert hidden_entries(policies) == tuple(policies.clusters[each] for each in hidden)


def test_entry_is_unused_when_it_applies_to_no_cluster_of_the_projects_that_share_it() -> None:
    own, shared = entries(("prod-*",), ("*-eu",)), entries(("prod-*",), ("lab",), ("lab",))
    found = [
        ("shop", own, ["prod-eu", "test"]),
        ("one", shared, ["prod-us"]),
        ("two", shared, ["other"]),
        ("unread", entries(("nosuch",)), None),
    ]

    assert [each.split(" applies")[0] for each in unused_entries(found)] == [
        "Project shop: the entry of clusters *-eu",
        "Project one, two: the entry of clusters lab",
    ]
    applied = applied_entries(own, ["prod-eu", "test"])
    assert applied == "prod-*: prod-eu; *-eu: none; no entry: test"
