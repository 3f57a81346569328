from collections.abc import Callable, Iterable
from typing import Any

def packb(
    o: object,
    *,
    default: Callable[[Any], object] | None = ...,
    use_bin_type: bool = ...,
    strict_types: bool = ...,
    autoreset: bool = ...,
    unicode_errors: str | None = ...,
    buf_size: int = ...,
) -> bytes: ...

class Packer:
    def __init__(
        self,
        default: Callable[[Any], object] | None = ...,
        *,
        use_single_float: bool = ...,
        autoreset: bool = ...,
        use_bin_type: bool = ...,
        strict_types: bool = ...,
        datetime: bool = ...,
        unicode_errors: str | None = ...,
        buf_size: int = ...,
    ) -> None: ...
    def pack(self, obj: object) -> bytes: ...

class Unpacker:
    def __init__(
        self,
        file_like: object | None = ...,
        *,
        read_size: int = ...,
        use_list: bool = ...,
        raw: bool = ...,
        timestamp: int = ...,
        strict_map_key: bool = ...,
        object_hook: Callable[[Any], object] | None = ...,
        object_pairs_hook: Callable[[Iterable[tuple[Any, Any]]], object] | None = ...,
        list_hook: Callable[[Any], object] | None = ...,
        unicode_errors: str | None = ...,
        max_buffer_size: int = ...,
        ext_hook: Callable[[int, bytes], object] = ...,
        max_str_len: int = ...,
        max_bin_len: int = ...,
        max_array_len: int = ...,
        max_map_len: int = ...,
        max_ext_len: int = ...,
    ) -> None: ...
    def feed(self, next_bytes: bytes | bytearray | memoryview) -> None: ...
    def unpack(self) -> object: ...
    def skip(self) -> None: ...
    def tell(self) -> int: ...

class UnpackException(Exception): ...
class BufferFull(UnpackException): ...
class OutOfData(UnpackException): ...
class FormatError(ValueError, UnpackException): ...
class StackError(ValueError, UnpackException): ...

UnpackValueError = ValueError

class ExtraData(ValueError): ...
