"""Changes of what an operator sets: how to ask for one, and how to read those that were made."""

from __future__ import annotations

from google.protobuf.field_mask_pb2 import FieldMask

from authority.v1 import admin_service_pb2 as admin
from authority.v1.resources_pb2 import Account
from calls import send


async def changes(stubs, **filters):
    """Return the changes as they are listed: the latest first."""
    return list((await send(stubs, admin.ListChangesRequest(page_size=1000, **filters))).changes)


def change_account(*paths, account="acme", reason="", **fields):
    """Return a request that changes an account."""
    return admin.UpdateAccountRequest(
        account=Account(account=account, **fields),
        update_mask=FieldMask(paths=paths),
        reason=reason,
    )
