"""URLs of artifacts: signed ones that end, and plain ones of what is public.

A signature is an HMAC over the artifact's id and the second at which it ends, by a key that all
processes derive from the root token: with a new token the URLs that were given out end.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple
from urllib.parse import quote, urlencode

from authority.domain.errors import NoWebAddress, Unavailable
from authority.domain.generations import Artifact
from generations.artifacts import ArtifactStore, StoreFailed

LIFE_SECONDS_MAX = 7 * 86_400  # as S3 has it
LIFE_SECONDS_DEFAULT = 3_600

_PURPOSE = b"paymaster artifact urls"


class SignedUrl(NamedTuple):
    """A URL, and the Unix second at which it ends; None for one that does not."""

    url: str
    expire_s: int | None


class ArtifactUrls:
    """Makes and checks the URLs of artifacts at a web address such as `https://host:7461`.

    `web_url` is empty where nothing serves artifacts to browsers.
    """

    def __init__(self, root_token: str, web_url: str, now_ms: Callable[[], int]) -> None:
        self._key = hmac.digest(root_token.encode(), _PURPOSE, "sha256")
        self._web_url = web_url.rstrip("/")
        self._now_ms = now_ms

    async def create(
        self, artifacts: ArtifactStore, artifact: Artifact, life_seconds: int
    ) -> SignedUrl:
        """Return a URL of an artifact: the web address's own, else one that its bucket signs.

        Raises NoWebAddress, and Unavailable if a bucket can't sign.
        """
        if self._web_url and artifact.is_public:
            return self.public(artifact.artifact_id)
        if self._web_url:
            return self.signed(artifact.artifact_id, life_seconds)
        try:
            url = await artifacts.sign(artifact.object_key, timedelta(seconds=life_seconds))
        except StoreFailed as error:
            raise Unavailable(str(error)) from error
        if url is None:
            raise NoWebAddress
        return SignedUrl(url, self._now_ms() // 1000 + life_seconds)

    def public(self, artifact_id: str) -> SignedUrl:
        """Return the URL of a public artifact, which anybody may read for as long as it is one."""
        return SignedUrl(f"{self._web_url}/artifacts/{quote(artifact_id)}", None)

    def signed(self, artifact_id: str, life_seconds: int) -> SignedUrl:
        """Return a URL by which anybody may read an artifact for some seconds."""
        assert 1 <= life_seconds <= LIFE_SECONDS_MAX, "it is checked at the door"
        expire_s = self._now_ms() // 1000 + life_seconds
        query = urlencode({"expires": expire_s, "signature": self._sign(artifact_id, expire_s)})
        return SignedUrl(f"{self.public(artifact_id).url}?{query}", expire_s)

    def may_read(self, artifact_id: str, expires: str, signature: str) -> bool:
        """Say whether a signature is ours, and has not ended."""
        if not (expires.isascii() and expires.isdecimal() and len(expires) <= len(str(2**53))):
            return False
        expected = self._sign(artifact_id, int(expires))
        is_ours = hmac.compare_digest(expected.encode(), signature.encode())
        return is_ours and self._now_ms() < int(expires) * 1000

    def _sign(self, artifact_id: str, expire_s: int) -> str:
        text = f"{artifact_id}\n{expire_s}".encode()
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()
