"""What a set of extensions means together: of an engine, and of a script that requires some of them."""

from collections.abc import Iterable, Sequence
from functools import lru_cache

from msgstore.sieve.collation import Comparator
from msgstore.sieve.registry import (
    AddressPart,
    Definition,
    EnvelopePart,
    EnvironmentValue,
    Extension,
    MatchType,
    Modifier,
    Namespace,
    Tag,
)
from msgstore.sieve.values import Key

__all__ = ["Registry", "Vocabulary"]


class Registry:
    """All that an engine knows."""

    def __init__(self, extensions: Sequence[Extension]) -> None:
        """Take extensions; several may share a capability, and then come together.

        Raises:
            ValueError: two of them define the same word.
        """
        self.extensions = tuple(extensions)
        self.by_capability: dict[str, list[Extension]] = {}
        for extension in extensions:
            self.by_capability.setdefault(extension.capability, []).append(extension)
        self.capabilities = tuple(sorted(name for name in self.by_capability if name))
        self.everything = Vocabulary(self, self.capabilities)
        self.owners: dict[Key, str] = {}
        for extension in extensions:
            for command in extension.commands:
                self._own(Key(is_test=False, name=command.name), extension)
            for test in extension.tests:
                self._own(Key(is_test=True, name=test.name), extension)
        self._of = lru_cache(maxsize=256)(self._vocabulary)

    def _own(self, key: Key, extension: Extension) -> None:
        if key in self.owners:
            raise ValueError(f"{key.name} is defined by {self.owners[key]!r} and by {extension.capability!r}")
        self.owners[key] = extension.capability

    def _vocabulary(self, requires: frozenset[str]) -> "Vocabulary":
        return Vocabulary(self, requires)

    def vocabulary(self, requires: Iterable[str]) -> "Vocabulary":
        """Give what a script can say that requires these; unknown ones add nothing."""
        return self._of(frozenset(requires))


class Vocabulary:
    """The words of one set of capabilities."""

    def __init__(self, registry: Registry, requires: Iterable[str]) -> None:
        active: dict[str, None] = {"": None}
        waiting = sorted(requires)
        while waiting:
            name = waiting.pop()
            if name not in active and name in registry.by_capability:
                active[name] = None
                waiting += (implied for item in registry.by_capability[name] for implied in item.implies)
        self.requires = frozenset(name for name in active if name)
        extensions = [item for item in registry.extensions if item.capability in active]
        self.definitions: dict[Key, Definition] = {}
        self._added: dict[str, list[Tag]] = {}
        self.match_types: dict[str, MatchType] = {}
        self.comparators: dict[str, Comparator] = {}
        self.address_parts: dict[str, AddressPart] = {}
        self.modifiers: dict[str, Modifier] = {}
        self.namespaces: dict[str, Namespace] = {}
        self.envelope_parts: dict[str, EnvelopePart] = {}
        self.environment: dict[str, EnvironmentValue] = {}
        self.rewrites = [rewrite for item in extensions for rewrite in item.rewrites]
        self.interpolates = any(item.interpolates for item in extensions)
        for item in extensions:
            self._take(item)
        self.tags: dict[Key, dict[str, Tag]] = {key: self._tags(key) for key in self.definitions}

    def _take(self, item: Extension) -> None:
        self.definitions.update({Key(is_test=False, name=command.name): command for command in item.commands})
        self.definitions.update({Key(is_test=True, name=test.name): test for test in item.tests})
        for name, tags in item.tags.items():
            self._added.setdefault(name, []).extend(tags)
        self.match_types.update({value.name: value for value in item.match_types})
        self.comparators.update({value.name: value for value in item.comparators})
        self.address_parts.update({value.name: value for value in item.address_parts})
        self.modifiers.update({value.name: value for value in item.modifiers})
        self.namespaces.update({value.name: value for value in item.namespaces})
        self.envelope_parts.update({value.name: value for value in item.envelope_parts})
        self.environment.update({value.name: value for value in item.environment})

    def _tags(self, key: Key) -> dict[str, Tag]:
        every = [*self.definitions[key].tags, *self._added.get(key.name, ())]
        return {tag.name: tag for tag in every if all(need in self.requires for need in tag.needs)}
