"""Files that people send instead of text, or beside it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bots.channel import FileTooBig, TryAgain
from bots.scene import Scene
from core.values.mail import File, Letter, Peer, Text

FILE_BYTES_MAX = 100 * 1024
TYPES = (".txt", ".md", ".csv", ".json", ".py", ".log", ".xml", ".html", ".yaml")

Fetch = Callable[[Peer, File, int], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Files:
    """Reads text files."""

    fetch: Fetch

    async def whole(self, scene: Scene, body: Text) -> str | Letter:
        """The text with that of its file below it, or what to say where that cannot be."""
        file = body.file
        if file is None:
            return body.text
        if not file.name.lower().endswith(TYPES):
            return _refusal(scene, "kind")
        if file.size_bytes > FILE_BYTES_MAX:
            return _refusal(scene, "big")
        try:
            content = await self.fetch(scene.place.peer, file, FILE_BYTES_MAX)
            text = content.decode("utf-8-sig")
        except FileTooBig:
            return _refusal(scene, "big")
        except UnicodeDecodeError:
            return _refusal(scene, "no_text")
        except TryAgain:
            return scene.note("ref.file_away")
        return f"{body.text}\n\n{text}".strip()


def _refusal(scene: Scene, problem: str) -> Letter:
    types = " ".join(TYPES)
    what = scene.voice.say(f"ref.problem.{problem}")
    return scene.note("ref.file", kb=FILE_BYTES_MAX // 1024, types=types, problem=what)
