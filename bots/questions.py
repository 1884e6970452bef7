"""Questions of ours that a yes or a no answers, by a button or in a word."""

import secrets

from bots.scene import Scene
from core.books.talks import Prompt
from core.desk.people_reply import Ask, Reply
from core.values.mail import Button, Note

QUESTION_MS = 900_000  # a question stays open this long


def ask(
    scene: Scene,
    kind: str,
    text: str,
    *,
    body: str = "",
    hint: str = "hint.yes_no",
    life_ms: int = QUESTION_MS,
) -> Reply:
    """Ask for a yes or a no; `body` is what the answer is about. The one before is closed."""
    voice, ref = scene.voice, secrets.token_hex(4)
    yes = Button(voice.say("btn.yes"), "yes", ref, 1)
    no = Button(voice.say("btn.cancel"), "drop", ref, 1)
    words = voice.say(hint, minutes=life_ms // 60_000)
    note = Note(text, buttons=((yes, no),), hint=words)
    return _opened(scene, note, _prompt(scene, kind, ref, body, life_ms))


def ask_for_text(scene: Scene, kind: str, text: str, *, body: str) -> Reply:
    """Ask before `body` is taken for a request; who does not want that need not answer."""
    voice, ref = scene.voice, secrets.token_hex(4)
    yes = Button(voice.say("btn.text_only"), "yes", ref, 1)
    note = Note(text, buttons=((yes,),), hint=voice.say("hint.text_only"))
    return _opened(scene, note, _prompt(scene, kind, ref, body, QUESTION_MS))


def wait_for(
    scene: Scene, kind: str, text: str = "", *, ref: str = "", life_ms: int = QUESTION_MS
) -> Ask:
    """Take what is said next, or what happens next, for the answer to a question in words."""
    return Ask(scene.place.peer, _prompt(scene, kind, ref, text, life_ms))


def slot_of(prompt: Prompt) -> str:
    """Where a question stands."""
    return f"ask:{prompt.ref}"


def _prompt(scene: Scene, kind: str, ref: str, body: str, life_ms: int) -> Prompt:
    return Prompt(kind, ref, body, scene.now_ms, scene.now_ms + life_ms)


def _opened(scene: Scene, note: Note, prompt: Prompt) -> Reply:
    letter = scene.place.letter(note, slot=slot_of(prompt))
    return Reply((letter,), (Ask(scene.place.peer, prompt),))
