"""``copy``: filing and redirecting that leave the implicit keep alone.  RFC 3894."""

from collections.abc import Mapping
from typing import Final

from msgstore.sieve.context import Context
from msgstore.sieve.registry import Extension, Tag
from msgstore.sieve.values import Value

__all__ = ["EXTENSIONS"]


def _copy(context: Context, value: Value) -> Mapping[str, object]:
    del context, value
    return {"copy": True}


_TAG: Final = (Tag(name="copy", effect=_copy),)
EXTENSIONS: Final = (Extension(capability="copy", rfc="RFC 3894", tags={"fileinto": _TAG, "redirect": _TAG}),)
