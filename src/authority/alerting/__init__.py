"""Noticing what somebody should know, and telling them."""
