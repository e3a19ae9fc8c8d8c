from serin_cli.cluster.packages import services_stay_off


def test_services_are_kept_off_only_while_installing(tmp_path):
    policy = tmp_path / "policy-rc.d"
    with services_stay_off(policy):
        assert "exit 101" in policy.read_text()
        assert policy.stat().st_mode & 0o111
    assert not policy.exists()


def test_a_machines_own_policy_stays_as_it_is(tmp_path):
    policy = tmp_path / "policy-rc.d"
    policy.write_text("theirs")
    with services_stay_off(policy):
        assert policy.read_text() == "theirs"
    assert policy.read_text() == "theirs"
