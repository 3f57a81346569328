"""``subaddress``: user and detail of a local-part.  RFC 5233."""

from typing import Final

from msgstore.model.address import split_detail
from msgstore.sieve.addresses import MailAddress
from msgstore.sieve.context import Context
from msgstore.sieve.registry import AddressPart, Extension

__all__ = ["EXTENSIONS"]


def _user(context: Context, address: MailAddress) -> str | None:
    if address.local_part is None or not context.owner.separator:
        return address.local_part
    return split_detail(address.local_part, context.owner.separator)[0]


def _detail(context: Context, address: MailAddress) -> str | None:
    if address.local_part is None or not context.owner.separator:
        return None
    return split_detail(address.local_part, context.owner.separator)[1]


EXTENSIONS: Final = (
    Extension(
        capability="subaddress",
        rfc="RFC 5233",
        address_parts=(AddressPart(name="user", take=_user), AddressPart(name="detail", take=_detail)),
    ),
)
