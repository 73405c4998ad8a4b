"""What the field has: hosts that speak part 1 only, and adapters of the published style."""
