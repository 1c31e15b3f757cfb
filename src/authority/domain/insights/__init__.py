"""What an account could have had for less, told from its own generations: rules without I/O."""
