from pathlib import Path

import pytest

from msgstore.config.loader import find_config, json_schema, load_settings, settings_from, to_toml
from msgstore.config.schema import DomainSettings, Settings
from msgstore.model.errors import ConfigError


def faults_of(table: dict[str, object]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        settings_from(table)
    return list(caught.value.faults)


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "msgstore.toml"
    file.write_text("")

    assert load_settings(file) == Settings()


def test_all_faults_are_named_at_once_with_path_value_and_nearest_key() -> None:
    faults = faults_of(
        {
            "data_dri": "/x",
            "lmtp": {"workers": "many", "idle_second": 3},
            "store": {"backend": "mbox"},
            "domains": {"ex ample": {}, "example.com": {"path": "x"}},
            "log": 3,
        }
    )

    assert len(faults) == 7
    text = "\n".join(faults)
    assert "data_dri: unknown key; did you mean data_dir?" in text
    assert "lmtp.workers: Expected `int`, got `str`, found 'many'" in text
    assert "lmtp.idle_second: unknown key; did you mean idle_seconds?" in text
    assert "store.backend: " in text
    assert "known are maildir, sqlite, postgresql, memory" in text
    assert 'domains."ex ample": is not a domain name' in text
    assert 'domains."example.com".path: unknown key' in text
    assert "log: must be a table, not 3" in text


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ({"data_dir": "mail"}, "data_dir: must be an absolute path"),
        ({"domains_dir": "mail"}, "domains_dir: must be an absolute path"),
        ({"lmtp": {"listen": ["unix:relative"]}}, "lmtp.listen[0]: must be an absolute path"),
        ({"lmtp": {"listen": ["tcp:localhost:24"]}}, "lmtp.listen[0]: needs an IP address"),
        ({"lmtp": {"listen": ["tcp:127.0.0.1:99999"]}}, "lmtp.listen[0]: must be unix:PATH or tcp:ADDRESS:PORT"),
        ({"access": {"listen": "tcp:127.0.0.1:24"}}, "access.listen: must be unix:PATH"),
        ({"metrics": {"lmtpd": "9100"}}, "metrics.lmtpd: must be"),
        ({"lmtp": {"socket_mode": "999"}}, "lmtp.socket_mode: must be an octal mode"),
        ({"managesieve": {"socket_mode": "rw"}}, "managesieve.socket_mode: must be an octal mode"),
        ({"managesieve": {"listen": ["4190"]}}, "managesieve.listen[0]: must be unix:PATH or tcp:ADDRESS:PORT"),
        ({"managesieve": {"login_seconds": 0}}, "managesieve.login_seconds: must be above 0"),
        ({"sieve": {"before": ["a.sieve"]}}, "sieve.before: must be an absolute path"),
        ({"encryption": {"policy": "always"}}, "encryption.policy: Invalid enum value"),
        ({"encryption": {"refusal": "never"}}, "encryption.refusal: "),
        ({"domains": {"example.com": {"encryption": "on"}}}, 'domains."example.com".encryption: '),
        ({"sieve": {"default": "a.sieve"}}, "sieve.default: must be an absolute path"),
        ({"sieve": {"global_dir": "scripts"}}, "sieve.global_dir: must be an absolute path"),
        ({"sieve": {"lists": {"friends": "f"}}}, "sieve.lists: must be an absolute path"),
        ({"sieve": {"domain_script": "../system.sieve"}}, "sieve.domain_script: must be the name of a file"),
        ({"sieve": {"server_metadata": {"/private/x": "y"}}}, "sieve.server_metadata: must be names below /shared/"),
        ({"sieve": {"server_metadata": {"/shared/": "y"}}}, "sieve.server_metadata: must be names below /shared/"),
        ({"sieve": {"server_metadata": {"/shared/a*": "y"}}}, "sieve.server_metadata: must be names below /shared/"),
        ({"sieve": {"server_metadata": {"/shared/a": "", "/SHARED/A": ""}}}, "sieve.server_metadata: must be names"),
        ({"sieve": {"vacation_days_min": 91}}, "sieve.vacation_days_min: must not be above"),
        ({"sieve": {"redirects": 0}}, "sieve.redirects: must be above 0"),
        ({"sieve": {"extensions": ["vnd.dovecot.pipe"]}}, "sieve.extensions"),
        ({"lmtp": {"max_recipients": 0}}, "lmtp.max_recipients: must be above 0"),
        ({"auth": {"window_seconds": -1}}, "auth.window_seconds: must be above 0"),
        ({"lmtp": {"trusted_networks": ["300.0.0.0/8"]}}, "lmtp.trusted_networks[0]:"),
        ({"store": {"path_template": "{user}"}}, "store.path_template: unknown variable {user}"),
        ({"store": {"path_template": "all"}}, "store.path_template: needs {localpart} or {email}"),
        ({"store": {"path_template": "{"}}, "store.path_template:"),
        ({"domains": {"example.com": {"path_template": "x"}}}, 'domains."example.com".path_template: needs'),
        ({"domains": {"example.com": 3}}, 'domains."example.com": must be a table'),
        ({"domains": 3}, "domains: must be a table"),
        ({"lmtp": {"listen": []}}, "lmtp.listen: must name at least one address"),
        ({"metrics": {"lmtpd": "tcp:0.0.0.0:9100"}}, "metrics.lmtpd: must be a Unix socket or a loopback address"),
        ({"metrics": {"accessd": "tcp:[::]:9100"}}, "metrics.accessd: must be a Unix socket or a loopback address"),
        ({"postmaster": "not an address"}, "postmaster: must be an address with a domain"),
        ({"postmaster": "alice"}, "postmaster: must be an address with a domain"),
        ({"default_domain": "ex ample"}, "default_domain: is not a domain name, found 'ex ample'"),
        ({"auth": {"failure_seconds": float("nan")}}, "auth.failure_seconds: must be a number, found nan"),
        ({"lmtp": {"idle_seconds": float("inf")}}, "lmtp.idle_seconds: must be a number, found inf"),
        ({"store": {"base_path": "../x"}}, "store.base_path: must hold no . or .."),
        ({"store": {"maildir_subdir": "a/.."}}, "store.maildir_subdir: must hold no . or .."),
        ({"store": {"path_template": "{localpart}/.."}}, "store.path_template: must hold no . or .."),
        (
            {"domains": {"a.example": {"max_message_octets": 0}}},
            'domains."a.example".max_message_octets: must be above',
        ),
        ({"domains": {"a.example": {"maildir_subdir": ".."}}}, 'domains."a.example".maildir_subdir: must hold no'),
        ({"domains": {"a.example": {}, "A.Example": {}}}, 'domains."A.Example": is the same domain as another one'),
        ({"access": {"roles": {"root": ["x"]}}}, "access.roles[...][0]: Invalid enum value 'x', found {'root': ['x']}"),
        ({"lmtp": {"trusted_uids": [1, "x"]}}, "lmtp.trusted_uids[1]: Expected `int`, got `str`"),
    ],
)
def test_what_types_cannot_say_is_checked_too(table: dict[str, object], fault: str) -> None:
    assert any(line.startswith(fault) for line in faults_of(table)), faults_of(table)


def test_files_in_conf_d_are_merged_in_name_order(tmp_path: Path) -> None:
    file = tmp_path / "msgstore.toml"
    file.write_text('[lmtp]\nworkers = 1\nhostname = "a"\n')
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "20.toml").write_text("[lmtp]\nworkers = 3\n")
    (tmp_path / "conf.d" / "10.toml").write_text("[lmtp]\nworkers = 2\n")

    settings = load_settings(file)

    assert settings.lmtp.workers == 3
    assert settings.lmtp.hostname == "a"


def test_missing_and_broken_files_are_both_named(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "x.toml").write_text("a = ")

    with pytest.raises(ConfigError) as caught:
        load_settings(tmp_path / "msgstore.toml")

    assert "msgstore.toml: cannot be read" in caught.value.faults[0]
    assert "x.toml: is not TOML" in caught.value.faults[1]


def test_the_environment_names_the_file_when_the_caller_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSGSTORE_CONFIG", "/etc/other.toml")

    assert find_config(None) == Path("/etc/other.toml")
    assert find_config(Path("mine")) == Path("mine")


def test_settings_written_as_toml_read_back_to_the_same(tmp_path: Path) -> None:
    settings = settings_from(
        {
            "domains": {"Example.COM": {"max_message_octets": 5}},
            "access": {"roles": {"pop3d": ["pop3"], "@staff": ["admin"]}},
            "lmtp": {"listen": ["tcp:[::1]:2424"], "idle_seconds": 5},
        }
    )
    file = tmp_path / "msgstore.toml"

    file.write_text(to_toml(settings))

    assert load_settings(file) == settings
    assert settings.domains == {"example.com": DomainSettings(max_message_octets=5)}


def test_the_schema_names_every_section() -> None:
    text = str(json_schema())

    for section in ("data_dir", "LmtpSettings", "AccessSettings", "AuthSettings"):
        assert section in text


def test_faults_of_kind_and_of_sense_are_named_together() -> None:
    faults = faults_of({"data_dir": "mail", "lmtp": {"workers": "many", "max_errors": 0}, "log": {"lvl": 1}})

    assert len(faults) == 4
    assert sorted(fault.partition(":")[0] for fault in faults) == [
        "data_dir",
        "lmtp.max_errors",
        "lmtp.workers",
        "log.lvl",
    ]


def test_hidden_files_in_conf_d_are_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "msgstore.toml"
    file.write_text("")
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / ".10.toml").write_text("half a li")

    assert load_settings(file) == Settings()


def test_a_conf_d_that_cannot_be_read_is_a_fault_and_not_empty(tmp_path: Path) -> None:
    file = tmp_path / "msgstore.toml"
    file.write_text("")
    (tmp_path / "conf.d").write_text("")

    with pytest.raises(ConfigError, match=r"conf\.d: cannot be read: Not a directory"):
        load_settings(file)


def test_an_empty_template_means_the_local_part() -> None:
    assert settings_from({"store": {"path_template": ""}}).store.path_template == ""


@pytest.mark.parametrize("address", ["tcp:127.0.0.1:9100", "tcp:[::1]:9100", "unix:/run/x"])
def test_metrics_are_served_to_this_machine(address: str) -> None:
    assert settings_from({"metrics": {"lmtpd": address}}).metrics.lmtpd == address


@pytest.mark.parametrize(
    ("outbound", "fault"),
    [
        ({"target": "mx.example.com:25"}, "outbound.target: must be unix:PATH or tcp:ADDRESS:PORT"),
        ({"srs": "on"}, "outbound.srs: needs srs_domain and srs_secret_file"),
        ({"srs_domain": "a b"}, "outbound.srs_domain: is not a domain name"),
        ({"srs_secret_file": "secret"}, "outbound.srs_secret_file: must be an absolute path"),
        ({"timeout_seconds": 0}, "outbound.timeout_seconds: must be above 0"),
        ({"max_connections": -1}, "outbound.max_connections: must be above 0"),
    ],
)
def test_faults_about_sending_on_are_named(outbound: dict[str, object], fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings_from({"outbound": outbound})

    assert any(line.startswith(fault) for line in caught.value.faults)
