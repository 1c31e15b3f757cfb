"""What GetHealth looks at: a file for the stores, the books, the work, and the machine."""
