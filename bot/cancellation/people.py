"""People as Slack identifies them, and the sets of people that settings list (pure)."""

from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import final


class Kind(StrEnum):
    """The kind of a user in the workspace where the bot is installed."""

    MEMBER = "member"  #: a full member: the only kind that has rights by `*` or by a group
    GUEST = "guest"  #: invited to a few channels
    BOT = "bot"  #: an app, not a person
    DEACTIVATED = "deactivated"  #: a deactivated account
    OUTSIDER = "outsider"  #: a user of another organization (Slack Connect)
    OPERATOR = "operator"  #: not of Slack: an account of the machine, at the command line


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person, by ids, as Slack last described them."""

    id: str  #: the user's id (`U…` or `W…`), or `cli:` and the account of an operator
    team: str  #: the id of the workspace that the user belongs to
    kind: Kind = Kind.MEMBER
    groups: frozenset[str] = frozenset()  #: ids of the policy's user groups with this user
    email: str | None = None  #: in Slack; None without the scope `users:read.email`
    name: str = field(default="", compare=False)  #: what others read; it grants no rights


@final
class ActingPerson(Person):
    """A person who asks or decides now.

    The directory makes one for the sender of a payload of Slack, and the command line one for its
    operator; a test forbids it elsewhere. `dataclasses.replace` fails for this type.
    """

    __slots__ = ()

    def __init__(self, person: Person) -> None:
        super().__init__(**{item.name: getattr(person, item.name) for item in fields(Person)})


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """A set of people as a setting lists it: users, user groups, or every full member."""

    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    everyone: bool = False

    def __bool__(self) -> bool:
        return self.everyone or bool(self.users or self.groups)

    def __or__(self, other: "People") -> "People":
        return People(
            users=self.users | other.users,
            groups=self.groups | other.groups,
            everyone=self.everyone or other.everyone,
        )

    def without(self, user: str | None) -> "People":
        """Return the set without a user that it names by id."""
        return replace(self, users=self.users - {user}) if user else self

    def __contains__(self, person: object) -> bool:
        """Whether the person is listed by id, or is a full member that a group or `*` covers.

        A deactivated account and a bot are in no set, even where the id is listed. Guests and
        people of other organizations are in a set only by their own id.
        """
        if not isinstance(person, Person) or person.kind in {Kind.DEACTIVATED, Kind.BOT}:
            return False
        if person.id in self.users:
            return True
        is_covered = self.everyone or not self.groups.isdisjoint(person.groups)
        return person.kind is Kind.MEMBER and is_covered


EVERYONE = People(everyone=True)
NO_ONE = People()
#: The prefix of operators' ids; no id of Slack has a colon.
OPERATOR_PREFIX = "cli:"


def is_operator(user: str | None) -> bool:
    """Whether the id is that of an operator, whom Slack does not know."""
    return user is not None and user.startswith(OPERATOR_PREFIX)


def operator(account: str) -> Person:
    """Return the person who runs the command line with this account of the machine."""
    return Person(id=f"{OPERATOR_PREFIX}{account}", team="", kind=Kind.OPERATOR)
