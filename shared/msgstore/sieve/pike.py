"""Regular expressions in time that grows with pattern times text and no faster: where RE2 is not installed.

Whether there is a match at all is found by an automaton that is built while it runs; only then threads are followed to
say where.  The leftmost match wins, of those the longest.
"""

from typing import Final

from msgstore.sieve.pattern import Anchor, Characters, Choice, Group, Part, Pattern, Ranges, Repeat, Sequence_

__all__ = ["Machine"]

_STATES_LIMIT: Final = 500
_CHAR, _SPLIT, _SAVE, _ANCHOR, _MATCH = range(5)

_Instruction = tuple[int, int, int, Ranges, Anchor | None]
"""Kind, next, other next or slot, ranges, anchor."""

_Captures = tuple[int, ...]
_Reach = tuple[int, tuple[int, ...], tuple[Anchor, ...]]
"""A place, slots that are set on the way to it, anchors that must stand there."""


class _State:
    """A set of places in a program, and where characters lead from it."""

    __slots__ = ("ends", "is_match", "places", "steps")

    def __init__(self, places: tuple[int, ...], *, is_match: bool, ends: bool) -> None:
        self.places = places
        self.is_match = is_match
        self.ends = ends
        """Whether the end of the text here would be a match."""

        self.steps: dict[str, _State] = {}


class Machine:
    """A compiled pattern; safe in every thread."""

    def __init__(self, pattern: Pattern, *, fold: bool) -> None:
        self._code: list[_Instruction] = []
        self._fold = fold
        self._groups = pattern.groups
        self._has_words = False
        self._emit(Group(pattern.part, 0))
        self._code.append((_MATCH, 0, 0, (), None))
        self._states: dict[tuple[int, ...], _State] = {}
        self._reach: dict[int, list[_Reach]] = {}

    @property
    def cost(self) -> int:
        """Instructions: what one character may cost."""
        return len(self._code)

    def search(self, text: str) -> tuple[str, ...] | None:
        """See :class:`~msgstore.sieve.match.Searcher`."""
        if not self._has_words and not self._is_found(text):
            return None
        spans = self._spans(text)
        if spans is None:
            return None
        return tuple(
            text[spans[at] : spans[at + 1]] if spans[at] >= 0 and spans[at + 1] >= 0 else ""
            for at in range(0, len(spans), 2)
        )

    # Compiling.

    def _emit(self, part: Part) -> None:
        code = self._code
        match part:
            case Characters():
                code.append((_CHAR, len(code) + 1, 0, part.every(fold=self._fold), None))
            case Anchor():
                self._has_words |= part in (Anchor.WORD, Anchor.NOT_WORD)
                code.append((_ANCHOR, len(code) + 1, 0, (), part))
            case Sequence_(parts):
                for item in parts:
                    self._emit(item)
            case Group(inner, number):
                code.append((_SAVE, len(code) + 1, 2 * number, (), None))
                self._emit(inner)
                code.append((_SAVE, len(code) + 1, 2 * number + 1, (), None))
            case Choice(parts):
                self._emit_choice(parts)
            case Repeat(inner, least, most):
                self._emit_repeat(inner, least, most)

    def _emit_choice(self, parts: tuple[Part, ...]) -> None:
        code = self._code
        ends: list[int] = []
        for item in parts[:-1]:
            split = len(code)
            code.append((_SPLIT, 0, 0, (), None))
            self._emit(item)
            ends.append(len(code))
            code.append((_SPLIT, 0, 0, (), None))
            code[split] = (_SPLIT, split + 1, len(code), (), None)
        self._emit(parts[-1])
        for end in ends:
            code[end] = (_SPLIT, len(code), len(code), (), None)

    def _emit_repeat(self, inner: Part, least: int, most: int | None) -> None:
        code = self._code
        begin = len(code)
        for _ in range(least):
            begin = len(code)
            self._emit(inner)
        if most is None and least:
            # The last of them is where it comes back to: a copy would double the work with each level.
            code.append((_SPLIT, begin, len(code) + 1, (), None))
            return
        if most is None:
            split = len(code)
            code.append((_SPLIT, 0, 0, (), None))
            self._emit(inner)
            code.append((_SPLIT, split, split, (), None))
            code[split] = (_SPLIT, split + 1, len(code), (), None)
            return
        splits: list[int] = []
        for _ in range(most - least):
            splits.append(len(code))
            code.append((_SPLIT, 0, 0, (), None))
            self._emit(inner)
        for split in splits:
            code[split] = (_SPLIT, split + 1, len(code), (), None)

    # Whether.

    def _is_found(self, text: str) -> bool:
        state = self._state((0,), at_begin=True)
        for character in text:
            if state.is_match:
                return True
            following = state.steps.get(character)
            if following is None:
                following = self._step(state, character)
            state = following
        return state.is_match or state.ends

    def _step(self, state: _State, character: str) -> _State:
        code, number = self._code, ord(character)
        places = [code[at][1] for at in state.places if code[at][0] == _CHAR and _holds(code[at][3], number)]
        following = self._state((*places, 0), at_begin=False)
        if len(state.steps) < 256:
            state.steps[character] = following
        return following

    def _state(self, places: tuple[int, ...], *, at_begin: bool) -> _State:
        reached = self._closure(places, at_begin=at_begin, at_end=False)
        key = tuple(sorted(reached))
        found = None if at_begin else self._states.get(key)
        if found is None:
            last = len(self._code) - 1
            ends = last in self._closure(places, at_begin=at_begin, at_end=True)
            found = _State(key, is_match=last in reached, ends=ends)
            if not at_begin:
                if len(self._states) >= _STATES_LIMIT:
                    self._states = {}
                self._states[key] = found
        return found

    def _closure(self, places: tuple[int, ...], *, at_begin: bool, at_end: bool) -> set[int]:
        code = self._code
        reached: set[int] = set()
        waiting = list(places)
        while waiting:
            at = waiting.pop()
            if at in reached:
                continue
            reached.add(at)
            kind, following, other, _, anchor = code[at]
            if kind == _SPLIT:
                waiting += (following, other)
            elif kind == _SAVE or (anchor is Anchor.BEGIN and at_begin) or (anchor is Anchor.END and at_end):
                waiting.append(following)
        return reached

    # Where.

    def _spans(self, text: str) -> _Captures | None:
        code, reached = self._code, self._reached
        empty: _Captures = (-1,) * (2 * self._groups + 2)
        best: _Captures | None = None
        threads: list[tuple[int, _Captures]] = []
        for at in range(len(text) + 1):
            if best is None:
                threads.append((0, empty))
            seen: set[int] = set()
            following: list[tuple[int, _Captures]] = []
            number = ord(text[at]) if at < len(text) else -1
            for begin, held in threads:
                for place, saves, anchors in reached(begin):
                    if place in seen or (anchors and not _all_stand(anchors, text, at)):
                        continue
                    seen.add(place)
                    captures = _with(held, saves, at) if saves else held
                    if best is not None and captures[0] > best[0]:
                        continue
                    kind, next_place, _, ranges, _ = code[place]
                    if kind == _MATCH:
                        if best is None or captures[0] < best[0] or captures[1] > best[1]:
                            best = captures
                    elif number >= 0 and _holds(ranges, number):
                        following.append((next_place, captures))
            threads = following
            if not threads and best is not None:
                break
        return best

    def _reached(self, begin: int) -> list[_Reach]:
        """Give what can be reached without a character, the preferred first; worked out once for each place."""
        known = self._reach.get(begin)
        if known is not None:
            return known
        found: list[_Reach] = []
        seen: set[tuple[int, tuple[Anchor, ...]]] = set()
        waiting: list[_Reach] = [(begin, (), ())]
        while waiting:
            place, saves, anchors = waiting.pop()
            if (place, anchors) in seen:
                continue
            seen.add((place, anchors))
            kind, following, other, _, anchor = self._code[place]
            if kind == _SPLIT:
                waiting += ((other, saves, anchors), (following, saves, anchors))
            elif kind == _SAVE:
                waiting.append((following, (*saves, other), anchors))
            elif anchor is not None:
                waiting.append((following, saves, anchors if anchor in anchors else (*anchors, anchor)))
            else:
                found.append((place, saves, anchors))
        self._reach[begin] = found
        return found


def _with(captures: _Captures, saves: tuple[int, ...], at: int) -> _Captures:
    changed = list(captures)
    for slot in saves:
        changed[slot] = at
    return tuple(changed)


def _holds(ranges: Ranges, number: int) -> bool:
    return any(low <= number <= high for low, high in ranges)


def _all_stand(anchors: tuple[Anchor, ...], text: str, at: int) -> bool:
    for anchor in anchors:  # noqa: SIM110  # a generator would cost more than the one anchor there mostly is
        if not _stands(anchor, text, at):
            return False
    return True


def _stands(anchor: Anchor, text: str, at: int) -> bool:
    if anchor is Anchor.BEGIN:
        return at == 0
    if anchor is Anchor.END:
        return at == len(text)
    before = at > 0 and _is_word(text[at - 1])
    after = at < len(text) and _is_word(text[at])
    return (before != after) == (anchor is Anchor.WORD)


def _is_word(character: str) -> bool:
    return character.isascii() and (character.isalnum() or character == "_")
