"""What this machine has: free memory, cores, accelerators."""
