"""Claims about signals at initialization."""
