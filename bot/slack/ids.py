"""The names in Slack's payloads that people's dialogs and other programs rely on."""

from typing import Final

#: Callback ids of the views.
DIALOG: Final = "cancel_restore"
DENY_DIALOG: Final = "cancel_restore_deny_reason"
KEEP_DIALOG: Final = "cancel_restore_keep_reason"
#: The callback id of the shortcut in the menu of messages.
SHORTCUT: Final = "cancel_restore_shortcut"
#: Block ids of the dialogs; an input's action id is the same.
PROJECT: Final = "project"
CLUSTER: Final = "cluster"
JOB: Final = "job"
REASON: Final = "reason"
TYPED: Final = "typed"
ALONE: Final = "alone"
#: Where the details stand in a dialog with pickers, whose `job` is an input.
DETAILS: Final = "details"
LOADING: Final = "loading"  #: in a dialog that is still being filled
#: Action ids of the buttons.
OPEN: Final = "cancel_restore_open"
APPROVE: Final = "cancel_restore_approve"
DENY: Final = "cancel_restore_deny"
KEEP: Final = "cancel_restore_keep"
WITHDRAW: Final = "cancel_restore_withdraw"
RETRY: Final = "cancel_restore_retry"
REVIEW: Final = "cancel_restore_review"
MINE: Final = "cancel_restore_mine"
NOT_MINE: Final = "cancel_restore_not_mine"
MORE: Final = "cancel_restore_more"
#: A command that is tried again; its value is what was typed.
COMMAND: Final = "cancel_restore_command"
REFRESH: Final = "cancel_restore_refresh"
TRY_AGAIN: Final = "cancel_restore_try_again"
#: The `event_type` of the metadata on cards and replies.
METADATA: Final = "cancel_restore"
#: The same on announcements of the watch, which are no cards.
WATCH_METADATA: Final = "cancel_restore_watch"
