"""Which region keeps what an environment has once. Pure."""

from infra.settings.types import Environment


def home_of(settings: Environment) -> str:
    """Return the region of the outputs in SSM and of the budget's topic.

    Without `home` all sites are in one region.
    """
    return settings.home or min(site.region for site in settings.sites.values())
