"""What comes in on Nostr: which events are mail for us, and from whom.

A person is who sealed a gift and wrote its rumor, or who signed a message of NIP-04; who signed
the wrap means nothing. Whatever is not exactly that has no effect. Source: NIP-17, NIP-04.
"""

import re
from dataclasses import dataclass

from bots import nip59
from bots.nip01 import Draft, Event, NotAnEvent, Signer, is_hex_32, read_event
from bots.nostr_letters import NIP04, NIP17
from bots.nostr_relay import OLD_MESSAGE
from bots.pynostr_keys import Illegible, decrypt_nip04
from core.values.mail import Body, Inbound, Peer, Text, Unsupported
from core.values.text import storable

CHANNEL = "nostr"

_AHEAD_S = 15 * 60  # clocks differ
_BACK_S = 3 * 24 * 3600
# Amethyst once put it in front of old messages that it also sent as gifts.
_NIP18_MARK = re.compile(r"^(?:\s*\[//\]: # \(nip18\))+\s*")


class NotMail(ValueError):
    """It is not for us, not genuine, or not from now; the message says which."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """Reads what is written to us."""

    me: Signer

    def genuine(self, raw: object) -> Event:
        """The event, if its kind carries mail and its author signed it. Raises NotMail."""
        try:
            event = read_event(raw)
        except NotAnEvent as reason:
            raise NotMail(str(reason)) from None
        if event.draft.kind not in {nip59.WRAP, OLD_MESSAGE}:
            raise NotMail("its kind carries no mail")
        if not event.is_genuine:
            raise NotMail("its signature is broken")
        return event

    def read(self, event: Event, *, now_ms: int) -> Inbound:
        """The mail in a genuine event. Raises NotMail."""
        try:
            if event.draft.kind == nip59.WRAP:
                return self._from_gift(nip59.unwrap(event, self.me), now_ms // 1000)
            return self._from_old_message(event, now_ms // 1000)
        except (nip59.NotForUs, Illegible) as reason:
            raise NotMail(str(reason)) from None

    def _from_gift(self, rumor: Draft, now_s: int) -> Inbound:
        self._check(rumor, now_s)
        body: Body
        match rumor.kind:
            case nip59.MESSAGE:
                body = Text(storable(rumor.content))
            case nip59.FILE_MESSAGE:
                body = Unsupported("file")
            case _:
                raise NotMail("the rumor's kind is no message")
        return self._inbound(rumor, body, via=NIP17)

    def _from_old_message(self, event: Event, now_s: int) -> Inbound:
        self._check(event.draft, now_s)
        text = decrypt_nip04(event.draft.content, author=event.draft.pubkey, reader=self.me)
        return self._inbound(event.draft, Text(storable(_NIP18_MARK.sub("", text))), via=NIP04)

    def _check(self, message: Draft, now_s: int) -> None:
        if message.pubkey == self.me.pubkey:
            raise NotMail("we wrote it ourselves")
        if message.values_of("p") != [self.me.pubkey]:
            raise NotMail("it is not for us alone")
        if not now_s - _BACK_S <= message.created_at <= now_s + _AHEAD_S:
            raise NotMail("it is older than three days, or from the future")

    def _inbound(self, message: Draft, body: Body, *, via: str) -> Inbound:
        answered = list(filter(is_hex_32, message.values_of("e")))
        return Inbound(
            peer=Peer(CHANNEL, self.me.pubkey, message.pubkey),
            ext_id=message.id,
            body=body,
            at_ms=message.created_at * 1000,
            message_id=message.id,
            reply_to=answered[-1] if answered else None,
            via=via,
        )
