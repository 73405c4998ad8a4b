"""How hosts and module instances reach each other: mailboxes, questions, who is there."""
