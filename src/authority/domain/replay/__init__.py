"""What would have become of an account's past under other terms: the operations without stores."""
