"""Claims about which networks train."""
