"""What the ledger says of use: the log, its rollups, and what follows from them."""
