"""The work desk: claims, answers, leases, limits, and what becomes of commands."""
