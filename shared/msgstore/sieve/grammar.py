"""The grammar of scripts, without a single name of a command; every error is told, and reading goes on behind it.

RFC 5228 §8.2.
"""

from typing import Final, NoReturn

from msgstore.sieve.lexer import END, Tell, Token, tokens
from msgstore.sieve.tree import Argument, ArgumentKind, Node, argument_of

__all__ = ["parse"]

_TAG, _STRING = ArgumentKind.TAG, ArgumentKind.STRING
_STRING_KINDS: Final = ("quoted", "multi")


class _Broken(Exception):
    """A command cannot be read on."""


def parse(text: str, tell: Tell, *, nesting: int) -> tuple[Node, ...]:
    """Read a whole script; what is returned means something only where nothing was told."""
    return _Parser(tokens(text, tell), tell, nesting).script()


class _Parser:
    """Reads one list of tokens."""

    def __init__(self, found: list[Token], tell: Tell, nesting: int) -> None:
        self._tokens = found
        self._at = 0
        self._tell = tell
        self._nesting = nesting

    def script(self) -> tuple[Node, ...]:
        """Read to the end."""
        commands = self._commands(0)
        while self._tokens[self._at].kind != END:
            self._tell(self._tokens[self._at].offset, "'}' closes no block", "")
            self._at += 1
            commands += self._commands(0)
        return commands

    def _commands(self, depth: int) -> tuple[Node, ...]:
        commands: list[Node] = []
        while True:
            token = self._tokens[self._at]
            if token.kind == END or (token.text == "}" and token.kind == "mark"):
                return tuple(commands)
            try:
                commands.append(self._command(depth))
            except _Broken:
                self._recover()

    def _command(self, depth: int) -> Node:
        begin = self._tokens[self._at]
        if begin.kind != "word":
            self._break(begin, "a command is expected")
        self._at += 1
        arguments = self._arguments()
        tests, has_list = self._tests(0)
        token = self._tokens[self._at]
        if token.kind == "mark":
            if token.text == ";":
                self._at += 1
                return Node(begin.text, begin.offset, arguments, tests, has_list, None)
            if token.text == "{":
                return Node(begin.text, begin.offset, arguments, tests, has_list, self._block(token, depth))
        # The command stands; what comes behind it may begin the next one.
        self._tell(token.offset, f"after '{begin.text}' a ';' is missing", "every command ends with ';' or a block")
        if token.kind not in ("word", END) and token.text != "}":
            self._recover()
        return Node(begin.text, begin.offset, arguments, tests, has_list, None)

    def _block(self, begin: Token, depth: int) -> tuple[Node, ...]:
        self._at += 1
        if depth >= self._nesting:
            self._tell(begin.offset, f"blocks are nested deeper than {self._nesting} levels", "")
            self._skip_block()
            return ()
        commands = self._commands(depth + 1)
        if self._tokens[self._at].kind == END:
            self._tell(begin.offset, "this block has no end", "close it with '}'")
            return commands
        self._at += 1
        return commands

    def _arguments(self) -> tuple[Argument, ...]:
        found: list[Argument] = []
        while True:
            token = self._tokens[self._at]
            kind = token.kind
            if kind == "tag":
                found.append(argument_of((_TAG, token.text, 0, (), token.offset, False)))
            elif kind in _STRING_KINDS:
                found.append(argument_of((_STRING, token.text, 0, (), token.offset, kind == "multi")))
            elif kind == "number":
                found.append(Argument(ArgumentKind.NUMBER, "", token.number, (), token.offset))
            elif kind == "mark" and token.text == "[":
                found.append(self._strings(token))
                continue
            else:
                return tuple(found)
            self._at += 1

    def _strings(self, begin: Token) -> Argument:
        found: list[Argument] = []
        self._at += 1
        while True:
            token = self._tokens[self._at]
            if token.kind not in _STRING_KINDS:
                self._break(token, "a string is expected in this list")
            found.append(argument_of((_STRING, token.text, 0, (), token.offset, token.kind == "multi")))
            token = self._tokens[self._at + 1]
            if token.kind != "mark" or token.text not in ",]":
                self._at += 1
                self._break(token, "',' or ']' is expected in this list")
            self._at += 2
            if token.text == "]":
                return Argument(ArgumentKind.STRINGS, "", 0, tuple(found), begin.offset)

    def _tests(self, depth: int) -> tuple[tuple[Node, ...], bool]:
        token = self._tokens[self._at]
        if token.kind == "word":
            return (self._test(depth),), False
        if token.kind != "mark" or token.text != "(":
            return (), False
        found: list[Node] = []
        while True:
            self._at += 1
            if self._tokens[self._at].kind != "word":
                self._break(self._tokens[self._at], "a test is expected")
            found.append(self._test(depth))
            token = self._tokens[self._at]
            if token.kind != "mark" or token.text not in ",)":
                self._break(token, "',' or ')' is expected behind a test")
            if token.text == ")":
                self._at += 1
                return tuple(found), True

    def _test(self, depth: int) -> Node:
        token = self._tokens[self._at]
        if depth > self._nesting:
            self._break(token, f"tests are nested deeper than {self._nesting} levels")
        self._at += 1
        arguments = self._arguments()
        tests, has_list = self._tests(depth + 1)
        return Node(token.text, token.offset, arguments, tests, has_list, None)

    def _break(self, token: Token, text: str) -> NoReturn:
        hint = "the script ends here" if token.kind == END else ""
        self._tell(token.offset, text, hint)
        raise _Broken

    def _recover(self) -> None:
        """Pass over the rest of a broken command, its block included, so that what is behind is read as itself."""
        while True:
            token = self._tokens[self._at]
            if token.kind == END or (token.kind == "mark" and token.text == "}"):
                return
            self._at += 1
            if token.kind == "mark" and token.text == ";":
                return
            if token.kind == "mark" and token.text == "{":
                self._skip_block()
                return

    def _skip_block(self) -> None:
        depth = 1
        while depth and self._tokens[self._at].kind != END:
            token = self._tokens[self._at]
            if token.kind == "mark":
                depth += (token.text == "{") - (token.text == "}")
            self._at += 1
