from collections.abc import Sequence
from typing import TypedDict

from sievelib.parser import Parser

class FilterAlreadyExists(Exception): ...

class Filter(TypedDict):
    name: str
    description: str
    enabled: bool

class FiltersSet:
    filters: list[Filter]
    def __init__(self, name: str, filter_name_pretext: str = ..., filter_desc_pretext: str = ...) -> None: ...
    def from_parser_result(self, parser: Parser) -> None: ...
    def addfilter(
        self,
        name: str,
        conditions: Sequence[tuple[object, ...]],
        actions: Sequence[tuple[object, ...]],
        matchtype: str = ...,
    ) -> None: ...
    def disablefilter(self, name: str) -> bool: ...
    def get_filter_matchtype(self, name: str) -> str | None: ...
    def get_filter_conditions(self, name: str) -> list[tuple[object, ...]] | None: ...
    def get_filter_actions(self, name: str) -> list[tuple[object, ...]] | None: ...
