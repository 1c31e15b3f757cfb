"""Where artifacts can be: a folder, or a bucket of S3 or of what speaks like it."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

# Only the owner may enter the folders, and so nobody else can reach the files in them.
FOLDER_MODE = 0o700
# Less than a call to the authority may take; what is away longer is tried again by the worker.
_RETRY_TIMEOUT = timedelta(seconds=10)
_RETRIES_MAX = 3
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_FORMS = "give a folder, file:///its/path or s3://bucket/prefix"


class BadLocation(Exception):
    """The store can't be where the settings say."""


def open_store(location: str) -> LocalStore | S3Store:
    """Return the store at a folder's path, which is made if it is missing, or at a URL.

    Keys, region and endpoint of S3 are read from the variables that its own tools read:
    AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION, AWS_ENDPOINT_URL and,
    for an endpoint without TLS, AWS_ALLOW_HTTP. Raises BadLocation.
    """
    scheme = _SCHEME.match(location)
    name = scheme[1].lower() if scheme else ""
    if name == "s3":
        return _open_bucket(location)
    if not location.strip() or "\0" in location:
        raise BadLocation(f"The location of artifacts is empty; {_FORMS}.")
    if name not in ("", "file"):
        raise BadLocation(f"Artifacts can't be stored by {name}: {_FORMS}.")
    folder = _folder(location) if name else Path(location).expanduser().absolute()
    try:
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        return LocalStore(folder)
    except (OSError, BaseError) as error:
        raise BadLocation(
            f"Artifacts can't be stored in {folder}: {problem_of(error)}. "
            "Choose a folder that this process may write to."
        ) from None


def problem_of(error: BaseException) -> str:
    """Return what the system says, without what obstore adds for those who debug it."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).partition("\n")[0]


def _open_bucket(location: str) -> S3Store:
    parts = urlsplit(location)
    if not _BUCKET.fullmatch(parts.netloc):
        # Not repeated: what stands there may be a key.
        raise BadLocation("The URL of artifacts names no bucket; it looks like s3://bucket/prefix.")
    if parts.query or parts.fragment:
        raise BadLocation("The URL of artifacts must end with its prefix, without ? or #.")
    prefix = unquote(parts.path).strip("/")
    try:
        return S3Store(
            parts.netloc,
            prefix=prefix or None,
            retry_config={"max_retries": _RETRIES_MAX, "retry_timeout": _RETRY_TIMEOUT},
        )
    except BaseError as error:
        raise BadLocation(f"The bucket {parts.netloc} can't be used: {problem_of(error)}") from None


def _folder(location: str) -> Path:
    parts = urlsplit(location)
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise BadLocation("The URL of artifacts names no local folder; it looks like file:///path.")
    return Path(unquote(parts.path))
