"""The texts that people hand to history: names, messages, reasons.

They are hashed, stored in both databases and printed on terminals, so each is brought to one form before it goes
anywhere. A message may have several lines; nothing else may hold a control character.
"""

from __future__ import annotations

import unicodedata

from kvault.errors import InvalidInput
from kvault.ids import nfc

ACTOR_LIMIT = 300
MESSAGE_LIMIT = 20_000
SUBJECT_LIMIT = 300
VERB_LIMIT = 40


def one_line(text: str, field: str, limit: int, *, required: bool = True) -> str:
    """``text`` in NFC without space at its ends. Raises :class:`InvalidInput` naming ``field``."""
    return _plain(text, field, limit, "", required)


def several_lines(text: str, field: str, limit: int, *, required: bool = False) -> str:
    """As :func:`one_line`, with line feeds and tabs allowed; other line ends become line feeds."""
    return _plain(text.replace("\r\n", "\n").replace("\r", "\n"), field, limit, "\n\t", required)


def _plain(text: str, field: str, limit: int, allowed: str, required: bool) -> str:
    for position, character in enumerate(text, start=1):
        if unicodedata.category(character) in ("Cc", "Cs") and character not in allowed:
            raise InvalidInput(
                f"the {field} holds U+{ord(character):04X} at character {position}", field=field, remedy="Remove it."
            )
    plain = nfc(text).strip()
    if required and not plain:
        raise InvalidInput(f"the {field} is empty", field=field, remedy=f"Give a {field}.")
    if len(plain) > limit:
        raise InvalidInput(
            f"the {field} has {len(plain)} characters, more than {limit}", field=field, remedy="Shorten it."
        )
    return plain
