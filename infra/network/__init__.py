"""A site's network, and what joins it to other sites and to labs."""
