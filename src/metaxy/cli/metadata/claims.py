"""`mx metadata claims`: which samples workers hold."""

from metaxy.cli.output import OutputFormat, print_json, print_table, print_text, say
from metaxy.cli.selection import Features, Store
from metaxy.cli.workspace import workspace
from metaxy.service.claims import OpenClaim
from metaxy.service.claims import claims as found_claims


def claims(features: Features = None, *, store: Store = None, format: OutputFormat = "plain") -> None:
    """Show which samples workers have claimed and not written yet, and until when.

    Args:
        features: Keys of features; all if not given.
    """
    project = workspace()
    found = found_claims(project, features, store=store)
    if format == "json":
        print_json({"claims": [each.data() for each in found]})
    elif found:
        rows = ([each.feature, each.worker, until(each), str(each.token), str(each.samples)] for each in found)
        print_table("", ["Feature", "Worker", "Until (UTC)", "Token", "Samples"], rows, numbers=2)
        print_text(f"Total: {sum(each.samples for each in found)} sample(s) in {len(found)} claim(s)")
    else:
        say(f"No claims in {project.store_name(store)}.")


def until(claim: OpenClaim) -> str:
    """Say when a claim expires, or that it has."""
    return f"{claim.expires_at:%Y-%m-%d %H:%M:%S}" + ("" if claim.is_live else " (expired)")
