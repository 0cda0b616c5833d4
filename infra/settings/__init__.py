"""An environment's settings: their types, how they are read, and the rules between them."""
