"""`mx metadata claims`."""

import json

from tests.factory import rows

from metaxy.store.status import get_feature_metadata_status
from metaxy.testing import TempMetaxyProject


def test_claims_say_who_holds_what(project: TempMetaxyProject) -> None:
    assert "No claims in [dev] " in project.run_cli(["metadata", "claims"]).stderr
    with project.use():
        samples = rows({"audio": "1", "frames": "1"}, id=["a", "b"])
        claim = project.store().claim("video/raw", samples=samples, limit=1, worker="worker-7")
    seen = json.loads(project.run_cli(["metadata", "status", "--format", "json"]).stdout)["features"]
    assert (seen["video/raw"]["claimed"], "claimed" in seen["video/crop"]) == (1, False)
    assert "video/raw: 1 sample(s) are claimed: `mx metadata claims`" in project.run_cli(["metadata", "status"]).stdout
    shown = project.run_cli(["metadata", "claims", "video/raw"]).stdout
    assert "worker-7" in shown
    assert shown.endswith("Total: 1 sample(s) in 1 claim(s)\n")
    [data] = json.loads(project.run_cli(["metadata", "claims", "--format", "json"]).stdout)["claims"]
    assert {name: data[name] for name in ("feature", "worker", "samples", "token", "is_live")} == {
        "feature": "video/raw",
        "worker": "worker-7",
        "samples": 1,
        "token": claim.token,
        "is_live": True,
    }
    assert json.loads(project.run_cli(["metadata", "claims", "video/crop", "--format", "json"]).stdout) == {
        "claims": []
    }
    with project.use():
        with project.store() as store:
            status = get_feature_metadata_status("video/raw", store).status
        assert (status.claimed_count, status.format_status_line()[-17:]) == (1, "(root), 1 claimed")
        claim.release()
    assert "claimed" not in project.run_cli(["metadata", "status"]).stdout
    assert "No claims in [dev] " in project.run_cli(["metadata", "claims"]).stderr
