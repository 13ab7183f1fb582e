"""People as Slack identifies them, and the sets of people that settings list (pure)."""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import final


class Kind(StrEnum):
    """The kind of a user in the workspace where the bot is installed."""

    MEMBER = "member"  #: a full member: the only kind that has rights by `*`
    #: a full member of another workspace of the organization (Enterprise Grid): rights by a group
    COLLEAGUE = "colleague"
    GUEST = "guest"  #: invited to a few channels
    BOT = "bot"  #: an app, not a person
    DEACTIVATED = "deactivated"  #: a deactivated account
    OUTSIDER = "outsider"  #: a user of another organization (Slack Connect)
    OPERATOR = "operator"  #: not of Slack: an account of the machine, at the command line


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person, by ids."""

    id: str  #: the user's id (`U…` or `W…`), or `cli:` and the account of an operator
    team: str  #: the id of the workspace that the user belongs to
    kind: Kind = Kind.MEMBER  #: the kind of the user in the bot's workspace
    groups: frozenset[str] = frozenset()  #: ids of the policy's user groups with this user
    #: Other ids of the same person: on Enterprise Grid a user of a workspace (`U…`) also has an id
    #: in the organization (`W…`).
    aliases: frozenset[str] = frozenset()
    name: str = field(default="", compare=False)  #: what others read; it grants no rights

    @property
    def ids(self) -> frozenset[str]:
        return self.aliases | {self.id}

    def with_aliases(self, aliases: Iterable[str]) -> "Person":
        """Return the person with further ids, as a person who does not act."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return Person(**values | {"aliases": self.aliases.union(aliases)})


@final
class ActingPerson(Person):
    """A person who asks, decides or reviews now.

    The directory makes one for who sent a payload of Slack, and the command line one for its
    operator; a test forbids it elsewhere. `dataclasses.replace` fails for this type.
    """

    __slots__ = ()

    def __init__(self, person: Person) -> None:
        super().__init__(**{each.name: getattr(person, each.name) for each in fields(Person)})


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """A set of people as a setting lists it: users, user groups, or every full member."""

    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    everyone: bool = False

    def __or__(self, other: "People") -> "People":
        return People(
            users=self.users | other.users,
            groups=self.groups | other.groups,
            everyone=self.everyone or other.everyone,
        )

    def __sub__(self, other: "People") -> "People":
        """Return the set without the users and groups that `other` names."""
        return replace(self, users=self.users - other.users, groups=self.groups - other.groups)

    def __contains__(self, person: object) -> bool:
        """Whether the person is listed by id, or is a full member that a group or `*` covers.

        `*` covers the workspace, groups the whole organization. A deactivated account is in no
        set, even where its id is listed.
        """
        if not isinstance(person, Person) or person.kind is Kind.DEACTIVATED:
            return False
        if not person.ids.isdisjoint(self.users):
            return True
        if self.everyone and person.kind is Kind.MEMBER:
            return True
        full = person.kind in {Kind.MEMBER, Kind.COLLEAGUE}
        return full and not self.groups.isdisjoint(person.groups)


EVERYONE = People(everyone=True)
NO_ONE = People()
#: The prefix of operators' ids; no id of Slack has a colon.
OPERATOR_PREFIX = "cli:"


def is_operator(user: str) -> bool:
    """Whether the id is that of an operator, whom Slack does not know."""
    return user.startswith(OPERATOR_PREFIX)


def operator(user: str) -> Person:
    """Return a person who may ask, but not approve, because they may run the command line."""
    return Person(id=user, team="", kind=Kind.OPERATOR)
