"""What people do in dialogs: fill, search, submit, close; and what the app's answer does."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bot.sandbox.slack.ack import Ack
from bot.sandbox.slack.acts import Acts
from bot.sandbox.slack.elements import OPTION_GROUPS, OPTIONS
from bot.sandbox.slack.errors import ApiError, CannotDo
from bot.sandbox.slack.hands import find_element
from bot.sandbox.slack.inputs import complaint, filled
from bot.sandbox.slack.view_rules import checked_view
from bot.sandbox.slack.views import View

Json = dict[str, Any]


class Dialogs(Acts):
    """Acts in modals; `view` is the dialog as the person saw it, or None for the visible one."""

    def fills(self, user: str, view: Json | None, values: Mapping[str, object]) -> None:
        """Fills inputs, by block_id, without sending anything.

        Raises:
            CannotDo: there is no such input, or no such option in it.
        """
        shown = self._view(self.workspace.user(user), view)
        inputs = {b["block_id"]: b for b in shown.content["blocks"] if b["type"] == "input"}
        for block_id, value in values.items():
            if block_id not in inputs:
                raise CannotDo(f"The dialog has no input {block_id!r} (it has {list(inputs)}).")
            element = inputs[block_id]["element"]
            offered = shown.offered.get((block_id, element["action_id"]), [])
            state = filled(element, value, offered)
            shown.values.setdefault(block_id, {})[element["action_id"]] = state

    async def submits(
        self, user: str, view: Json | None = None, values: Mapping[str, object] | None = None
    ) -> Ack:
        """The person fills inputs and clicks the dialog's submit button.

        Raises:
            CannotDo: there is no submit button, or an input cannot be sent as it is.
        """
        shown = self._view(self.workspace.user(user), view)
        if not shown.content.get("submit"):
            raise CannotDo("This dialog has no submit button.")
        self.fills(user, view, values or {})
        self._check_inputs(shown)
        ack = await self._delivery.send("interactive", self.payloads.submission(shown))
        return self._after_submit(shown, ack) if ack.ok else ack

    def _check_inputs(self, view: View) -> None:
        for block in view.content["blocks"]:
            if block["type"] == "input":
                state = view.values[block["block_id"]][block["element"]["action_id"]]
                if sentence := complaint(block, state):
                    raise CannotDo(f"{block['block_id']}: {sentence}")

    def _after_submit(self, view: View, ack: Ack) -> Ack:
        """Does what `response_action` says; an empty answer closes the view."""
        view.errors = {}
        if not ack.body:
            self._close(view)
            return ack
        try:
            return self._respond(view, ack, ack.body)
        except ApiError as error:
            return self._refuse(ack, f"The answer to a submission is not valid: {error}")

    def _respond(self, view: View, ack: Ack, answer: Json | str) -> Ack:
        body = answer if isinstance(answer, dict) else {"response_action": answer}
        action = body.get("response_action")
        if action == "errors":
            view.errors = _checked_errors(view, body.get("errors"))
            self.world.tell_view(view)
            return replace(ack, errors=view.errors)
        if action == "clear":
            self.world.views.clear(view.user.id)
            self.world.news.tell("view_closed", user=view.user.id, view_id=view.id)
        elif action == "update":
            self.world.views.update(view, checked_view(body.get("view")))
            self.world.tell_view(view)
        elif action == "push":
            self.world.tell_view(self.world.views.push(view.user, checked_view(body.get("view"))))
        else:
            raise ApiError("invalid_arguments", [f"unknown response_action: {action}"])
        return ack

    def _close(self, view: View) -> None:
        self.world.views.close(view)
        self.world.news.tell("view_closed", user=view.user.id, view_id=view.id)

    async def closes(self, user: str, view: Json | None = None, *, everything: bool = False) -> Ack:
        """The person closes the dialog by its close button, or `everything` by the x.

        The app hears of it only with `notify_on_close`.

        Raises:
            CannotDo: no dialog is open.
        """
        shown = self._view(self.workspace.user(user), view)
        if everything:
            shown = self.world.views.stack(shown.user.id)[0]
        payload = self.payloads.closed(shown, cleared=everything)
        self._close(shown)
        if not shown.content.get("notify_on_close"):
            return Ack()
        return await self._delivery.send("interactive", payload)

    async def suggests(self, user: str, view: Json | None, action_id: str, text: str = "") -> Ack:
        """The person types into an external select; `Ack.options` are what the app suggests.

        Raises:
            CannotDo: no such select, or too few characters for the app to be asked.
        """
        shown = self._view(self.workspace.user(user), view)
        block, element = find_element(shown.content, action_id)
        if "external" not in element["type"]:
            raise CannotDo(f"{action_id} asks nobody for options.")
        if len(text) < element.get("min_query_length", 3):
            raise CannotDo(
                f"The app is asked from {element.get('min_query_length', 3)} characters."
            )
        payload = self.payloads.suggestion(shown, block["block_id"], action_id, text)
        ack = await self._delivery.send("interactive", payload)
        return self._offer(shown, (block["block_id"], action_id), ack) if ack.ok else ack

    def _offer(self, view: View, where: tuple[str, str], ack: Ack) -> Ack:
        body = ack.body if isinstance(ack.body, dict) else {}
        grouped = "option_groups" in body
        listed = body.get("option_groups" if grouped else "options")
        if listed != [] and (found := list((OPTION_GROUPS if grouped else OPTIONS)(listed, "/"))):
            return self._refuse(ack, f"The suggested options are not valid: {found}")
        groups = (listed or []) if grouped else [{"options": listed or []}]
        view.offered[where] = [option for group in groups for option in group["options"]]
        return replace(ack, options=view.offered[where])


def _checked_errors(view: View, errors: object) -> dict[str, str]:
    """Sentences for inputs of this view, by block_id."""
    inputs = {b["block_id"] for b in view.content["blocks"] if b["type"] == "input"}
    if not isinstance(errors, dict) or not errors or not set(errors) <= inputs:
        raise ApiError("invalid_arguments", [f"errors must name input blocks: {errors}"])
    if not all(isinstance(text, str) and text for text in errors.values()):
        raise ApiError("invalid_arguments", ["each error must be a text"])
    return dict(errors)
