"""The authority over HTTP: artifacts for browsers, by URLs that are signed or public."""
