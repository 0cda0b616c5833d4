"""What an environment offers: the types that its programs export, and how everybody reads them."""
