"""API keys of tests, and the services as seen with one."""

from __future__ import annotations

from authorities import Stubs
from authority.v1 import admin_service_pb2 as admin

ALL_SCOPES = ("SPEND", "SUBMIT", "READ", "ADMIN")


async def make_key(stubs, tenant, scopes=ALL_SCOPES, **fields):
    """Make an API key; return the response, which has its token."""
    key = admin.ApiKey(tenant=tenant, scopes=[f"SCOPE_{scope}" for scope in scopes], **fields)
    request = admin.CreateApiKeyRequest(api_key=key)
    return await stubs.admin.CreateApiKey(request, metadata=stubs.metadata)


def signed_in(stubs, token):
    """Return the same services, called with another token."""
    made = Stubs(stubs.channel)
    made.metadata = (("authorization", f"Bearer {token}"),)
    return made


async def with_key(stubs, tenant, scopes=ALL_SCOPES):
    """Return the same services, called with a new API key."""
    return signed_in(stubs, (await make_key(stubs, tenant, scopes)).token)
