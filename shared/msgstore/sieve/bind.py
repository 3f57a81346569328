"""Arguments of one command or test find their names; everything wrong is told."""

from collections.abc import Callable
from difflib import get_close_matches
from typing import Final, NoReturn

from msgstore.sieve.limits import Limits
from msgstore.sieve.registry import Definition, Kind, Positional, Shared, Tag
from msgstore.sieve.texts import template
from msgstore.sieve.tree import Argument, ArgumentKind, Node
from msgstore.sieve.values import Key, Match, Template, Text, Value
from msgstore.sieve.vocabulary import Registry, Vocabulary

__all__ = ["ADDRESS_PART", "MODIFIERS", "ArgumentBinder", "Unbound"]

ADDRESS_PART: Final = ":part"
MODIFIERS: Final = ":modifiers"
"""Under these names the values of shared groups are kept."""

_TAG, _NUMBER, _STRING = ArgumentKind.TAG, ArgumentKind.NUMBER, ArgumentKind.STRING
_NAMES: Final = {
    ArgumentKind.TAG: "a tag",
    ArgumentKind.NUMBER: "a number",
    ArgumentKind.STRING: "a string",
    ArgumentKind.STRINGS: "a string list",
}


class Unbound(Exception):
    """A command or test is not right; holds offset, text and hint."""

    def __init__(self, offset: int, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.offset = offset
        self.text = text
        self.hint = hint


class ArgumentBinder:
    """Binds the arguments of one node after the other; ``vocabulary`` may be changed between them."""

    def __init__(self, registry: Registry, vocabulary: Vocabulary, limits: Limits) -> None:
        self._registry = registry
        self.vocabulary = vocabulary
        self._limits = limits

    def bind(self, node: Node, definition: Definition, key: Key) -> tuple[dict[str, Value], Match | None]:
        """Give the arguments by name.

        Raises:
            Unbound: they do not fit.
        """
        values: dict[str, Value] = {}
        shared: dict[str, Text] = {}
        arguments = node.arguments
        tags = self.vocabulary.tags[key]
        groups: dict[str, str] = {}
        at = 0
        while at < len(arguments) and arguments[at].kind is _TAG:
            tag = tags.get(arguments[at].text)
            if tag is None:
                at = self._shared_tag(definition, arguments, at, shared)
                continue
            at = self._tag(tag, arguments, at, values, groups)
        self._positionals(node, definition, arguments[at:], values)
        for group in definition.one_of:
            if group not in groups:
                names = [f":{tag.name}" for tag in tags.values() if tag.group == group]
                raise Unbound(node.offset, f"'{node.name}' needs {' or '.join(names)}")
        for name in values:
            if name in tags and tags[name].with_tag and tags[name].with_tag not in values:
                raise Unbound(node.offset, f":{name} needs :{tags[name].with_tag}")
        if shared:
            self._keep_shared(shared, values)
        if Shared.MATCH not in definition.shared:
            return values, None
        return values, self._match(node, shared, values)

    def _keep_shared(self, shared: dict[str, Text], values: dict[str, Value]) -> None:
        if ADDRESS_PART in shared:
            values[ADDRESS_PART] = shared[ADDRESS_PART]
        modifiers = [self.vocabulary.modifiers[name[1:]] for name in shared if name.startswith("*")]
        if modifiers:
            ordered = sorted(modifiers, key=lambda modifier: -modifier.precedence)
            values[MODIFIERS] = tuple(modifier.name for modifier in ordered)

    def _tag(  # noqa: PLR0917
        self, tag: Tag, arguments: tuple[Argument, ...], at: int, values: dict[str, Value], groups: dict[str, str]
    ) -> int:
        offset = arguments[at].offset
        if tag.name in values:
            raise Unbound(offset, f":{tag.name} stands there twice")
        if tag.group:
            other = groups.setdefault(tag.group, tag.name)
            if other != tag.name:
                raise Unbound(offset, f":{tag.name} cannot stand beside :{other}")
        if tag.kind is None:
            values[tag.name] = True
            return at + 1
        if at + 1 >= len(arguments):
            raise Unbound(offset, f":{tag.name} needs {tag.kind.value}")
        values[tag.name] = self._value(f":{tag.name}", tag.kind, arguments[at + 1], tag.check, tag.constant)
        return at + 2

    def _shared_tag(
        self, definition: Definition, arguments: tuple[Argument, ...], at: int, shared: dict[str, Text]
    ) -> int:
        name, offset = arguments[at].text, arguments[at].offset
        words = self.vocabulary
        if Shared.MATCH in definition.shared:
            if name == "comparator":
                return self._shared_value("comparator", arguments, at, shared)
            match_type = words.match_types.get(name)
            if match_type is not None:
                self._only_once("type", name, offset, shared)
                if match_type.operands is None:
                    return at + 1
                return self._shared_value("operand", arguments, at, shared)
        if Shared.ADDRESS_PART in definition.shared and name in words.address_parts:
            self._only_once(ADDRESS_PART, name, offset, shared)
            return at + 1
        if Shared.MODIFIERS in definition.shared and name in words.modifiers:
            precedence = words.modifiers[name].precedence
            for other in shared:
                if other.startswith("*") and words.modifiers[other[1:]].precedence == precedence:
                    raise Unbound(offset, f":{name} cannot stand beside :{other[1:]}")
            shared["*" + name] = ""
            return at + 1
        return self._unknown_tag(definition, name, offset)

    def _only_once(self, group: str, name: str, offset: int, shared: dict[str, Text]) -> None:
        if group in shared:
            raise Unbound(offset, f":{name} cannot stand beside :{shared[group]}")
        shared[group] = name

    def _shared_value(self, group: str, arguments: tuple[Argument, ...], at: int, shared: dict[str, Text]) -> int:
        tag = arguments[at]
        if group in shared:
            raise Unbound(tag.offset, f":{tag.text} stands there twice")
        if at + 1 >= len(arguments) or arguments[at + 1].kind is not _STRING:
            raise Unbound(tag.offset, f":{tag.text} needs a string")
        text = self.text(arguments[at + 1])
        if group == "comparator" and isinstance(text, Template):
            raise Unbound(tag.offset, "the name of a comparator holds no variables")
        shared[group] = text
        return at + 2

    def _unknown_tag(self, definition: Definition, name: str, offset: int) -> NoReturn:
        owners = self._owners_of_tag(definition, name)
        if owners:
            raise Unbound(offset, f"'{definition.name}' has no :{name} here", f'require "{owners[0]}"')
        known = [tag for key, tags in self.vocabulary.tags.items() if key.name == definition.name for tag in tags]
        if Shared.MATCH in definition.shared:
            known += [*self.vocabulary.match_types, "comparator"]
        if Shared.ADDRESS_PART in definition.shared:
            known += self.vocabulary.address_parts
        if Shared.MODIFIERS in definition.shared:
            known += self.vocabulary.modifiers
        near = get_close_matches(name, known, 1)
        raise Unbound(offset, f"'{definition.name}' has no :{name}", f"did you mean :{near[0]}?" if near else "")

    def _owners_of_tag(self, definition: Definition, name: str) -> list[str]:
        found: list[str] = []
        for item in self._registry.extensions:
            words = [tag.name for tag in item.tags.get(definition.name, ())]
            if Shared.MATCH in definition.shared:
                words += [value.name for value in item.match_types]
            if Shared.ADDRESS_PART in definition.shared:
                words += [value.name for value in item.address_parts]
            if Shared.MODIFIERS in definition.shared:
                words += [value.name for value in item.modifiers]
            if name in words and item.capability not in self.vocabulary.requires:
                found.append(item.capability)
        return found

    def _positionals(
        self, node: Node, definition: Definition, given: tuple[Argument, ...], values: dict[str, Value]
    ) -> None:
        wanted = definition.arguments
        chosen = wanted
        if len(given) != len(wanted):
            chosen = self._chosen(node, wanted, given)
        for item, argument in zip(chosen, given, strict=True):
            if argument.kind is _TAG:
                raise Unbound(argument.offset, f":{argument.text} stands behind other arguments", "tags come first")
            values[item.name] = self._value(item.name, item.kind, argument, item.check, item.constant)

    def _chosen(
        self, node: Node, wanted: tuple[Positional, ...], given: tuple[Argument, ...]
    ) -> tuple[Positional, ...]:
        """Leave out as many of the optional ones as are not there, the last ones first."""
        for argument in given:
            if argument.kind is _TAG:
                raise Unbound(argument.offset, f":{argument.text} stands behind other arguments", "tags come first")
        missing = len(wanted) - len(given)
        optional = [item for item in wanted if item.optional]
        if 0 < missing <= len(optional):
            left_out = optional[-missing:]
            return tuple(item for item in wanted if item not in left_out)
        offset = given[len(wanted)].offset if missing < 0 else node.offset
        names = ", ".join(f"{item.name} ({item.kind.value})" for item in wanted) or "none"
        count = "too many" if missing < 0 else "too few"
        raise Unbound(offset, f"'{node.name}' has {count} arguments", f"it takes: {names}")

    def _value(  # noqa: PLR0917
        self,
        name: str,
        kind: Kind,
        argument: Argument,
        check: Callable[[str], str] | None,
        constant: bool,  # noqa: FBT001
    ) -> Value:
        if kind is Kind.NUMBER:
            if argument.kind is not _NUMBER:
                self._wrong_kind(name, kind, argument)
            return argument.number
        if argument.kind is _STRING:
            text = self._checked(name, argument, check, constant)
            return (text,) if kind is Kind.TEXTS else text
        if argument.kind is ArgumentKind.STRINGS and kind is Kind.TEXTS:
            return tuple([self._checked(name, item, check, constant) for item in argument.strings])
        return self._wrong_kind(name, kind, argument)

    def _wrong_kind(self, name: str, kind: Kind, argument: Argument) -> NoReturn:
        raise Unbound(argument.offset, f"{name} is {kind.value}, not {_NAMES[argument.kind]}")

    def _checked(self, name: str, argument: Argument, check: Callable[[str], str] | None, constant: bool) -> Text:  # noqa: FBT001
        text = self.text(argument)
        if isinstance(text, Template):
            if constant:
                raise Unbound(argument.offset, f"{name} holds no variables")
        elif check is not None:
            wrong = check(text)
            if wrong:
                raise Unbound(argument.offset, wrong)
        return text

    def text(self, argument: Argument) -> Text:
        """Give a string as the run needs it."""
        text = argument.text
        if "${" not in text:
            return text
        try:
            for rewrite in self.vocabulary.rewrites:
                text = rewrite(text)
            if self.vocabulary.interpolates:
                return template(text, self.vocabulary, self._limits.match_variables)
        except ValueError as error:
            raise Unbound(argument.offset, str(error)) from error
        return text

    def _match(self, node: Node, shared: dict[str, Text], values: dict[str, Value]) -> Match:
        name = str(shared.get("type", "is"))
        comparator_name = str(shared.get("comparator", "i;ascii-casemap"))
        match_type = self.vocabulary.match_types[name]
        operand = shared.get("operand", "")
        comparator = self.vocabulary.comparators.get(comparator_name)
        if comparator is None:
            capability = f"comparator-{comparator_name}"
            known = capability in self._registry.by_capability
            hint = f'require "{capability}"' if known else "known: " + ", ".join(self._registry.everything.comparators)
            raise Unbound(node.offset, f"there is no comparator {comparator_name[:60]!r} here", hint)
        if match_type.needs_substrings and not comparator.has_substrings:
            raise Unbound(node.offset, f":{name} cannot be used with {comparator_name}: it knows no substrings")
        if match_type.operands is not None and isinstance(operand, str) and operand.lower() not in match_type.operands:
            wanted = ", ".join(sorted(match_type.operands))
            raise Unbound(node.offset, f":{name} does not know {operand[:40]!r}", f"one of: {wanted}")
        keys = values.get("keys")
        if match_type.check is not None and isinstance(keys, tuple):
            for key in keys:
                wrong = match_type.check(key) if isinstance(key, str) else ""
                if wrong:
                    raise Unbound(node.offset, wrong)
        return Match(name, operand, comparator_name)
