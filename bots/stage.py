"""The stage: what can be seen while work is being done. All of it may be lost at any time.

Somebody who waits sees activity, and the text as it grows where the channel can show that. The
finished text never comes from here.
"""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from bots.channel import Channel
from bots.pace import Pace
from bots.scene import Place
from core.desk.job_desk import JobDesk
from core.desk.running import Running
from core.loops.live import WorkDelta
from core.values.clock import Clock
from core.values.mail import Peer

ACTIVITY_S = 4.0  # Telegram shows it for five

Door = tuple[str, str]  # a channel's name and realm


@dataclass(eq=False)
class Stage:
    """Shows work on the channels of this process."""

    jobs: JobDesk
    clock: Clock
    channels: dict[Door, tuple[Channel[Any], Pace]] = field(default_factory=dict)
    _running: Running = field(default_factory=Running)
    _previewed: set[tuple[Peer, int]] = field(default_factory=set)

    def add(self, channel: Channel[Any], pace: Pace) -> None:
        """A channel has opened."""
        self.channels[channel.name, channel.realm] = (channel, pace)

    def remove(self, channel: Channel[Any]) -> None:
        """A channel has closed."""
        self.channels.pop((channel.name, channel.realm), None)

    def show(self, place: Place, stream: int, text: str) -> None:
        """Show the text so far of a stream, unless one is being shown already."""
        door = self.channels.get((place.peer.channel, place.peer.realm))
        if door is None or not door[0].caps.can_preview:
            return
        channel, pace = door
        key = (place.peer, stream)
        if key in self._previewed or not pace.has_spare(place.peer.uid, self.clock.monotonic()):
            return
        self._previewed.add(key)
        task = self._running.start(channel.preview(place.peer, stream, text))
        task.add_done_callback(lambda _: self._previewed.discard(key))

    def follow(self, place: Place, job_id: str, stream: int) -> None:
        """Show how a job goes on, until it waits or has ended."""
        if (place.peer.channel, place.peer.realm) in self.channels:
            self._running.start(self._follow(place, job_id, stream))

    async def aclose(self) -> None:
        """Stop showing anything."""
        await self._running.drain(0)

    async def _follow(self, place: Place, job_id: str, stream: int) -> None:
        activity = asyncio.create_task(self._show_activity(place.peer))
        text, attempt = "", 0
        try:
            async with aclosing(self.jobs.job_changes(job_id, after_version=None)) as changes:
                async for change in changes:
                    if isinstance(change, WorkDelta):
                        text = change.text if change.attempt != attempt else text + change.text
                        attempt = change.attempt
                        self.show(place, stream, text)
                    elif change.state not in {"evaluating", "executing"}:
                        return
        finally:
            activity.cancel()
            await asyncio.gather(activity, return_exceptions=True)

    async def _show_activity(self, peer: Peer) -> None:
        while (door := self.channels.get((peer.channel, peer.realm))) is not None:
            await door[0].show_activity(peer)
            await self.clock.sleep(ACTIVITY_S)
