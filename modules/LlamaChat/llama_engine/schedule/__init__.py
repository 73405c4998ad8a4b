"""Many requests on one context: who is admitted, what a step evaluates, who gets what."""
