"""The work dispatcher: claims, answers, leases, limits, and what becomes of commands."""
