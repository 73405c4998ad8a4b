"""Who works: the module instances that talk to the hosts, and how loaded they are."""
