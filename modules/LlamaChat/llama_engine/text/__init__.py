"""From tokens to text, and what a reply is held to: options, log probabilities, grammars."""
