import re

from prometheus_client.parser import text_string_to_metric_families

from msgstore.telemetry.metrics import Metrics, MetricsHub


def page_of(*parts: Metrics) -> str:
    hub = MetricsHub()
    for index, part in enumerate(parts):
        hub.update(str(index), part.snapshot())
    return hub.page().decode()


def value_of(page: str, sample: str) -> float:
    found = re.search(rf"^{re.escape(sample)} (\S+)$", page, re.MULTILINE)
    assert found is not None, f"{sample} is not in the page"
    return float(found[1])


def test_the_four_metrics_of_the_readme_exist_at_zero_for_hosted_domains() -> None:
    metrics = Metrics(service="lmtpd")
    metrics.set_domains(["example.com"])

    page = page_of(metrics)

    assert value_of(page, 'msgstore_deliveries_total{domain="example.com",status="success"}') == 0
    assert value_of(page, 'msgstore_delivery_duration_seconds_count{domain="example.com"}') == 0
    assert value_of(page, 'msgstore_delivery_size_bytes_count{domain="example.com"}') == 0
    assert value_of(page, 'msgstore_auth_attempts_total{domain="example.com",status="failed"}') == 0
    assert value_of(page, 'msgstore_auth_attempts_total{domain="other",status="success"}') == 0


def test_only_hosted_domains_are_labels() -> None:
    metrics = Metrics(service="lmtpd")
    metrics.set_domains(["example.com"])

    for number in range(1000):
        metrics.count_delivery(domain=f"evil{number}.example", status="failed", seconds=0.1, octets=10)
        metrics.count_auth(domain=f"evil{number}.example", success=False)

    page = page_of(metrics)
    assert "evil" not in page
    assert value_of(page, 'msgstore_deliveries_total{domain="other",status="failed"}') == 1000
    assert value_of(page, 'msgstore_auth_attempts_total{domain="other",status="failed"}') == 1000


def test_every_metric_moves_when_it_is_counted() -> None:
    metrics = Metrics(service="accessd")
    metrics.set_domains(["example.com"])
    metrics.declare_events(["frame_refused"])

    metrics.count_delivery(domain="example.com", status="success", seconds=0.004, octets=2000)
    metrics.count_auth(domain="example.com", success=True)
    metrics.count_event("frame_refused")
    metrics.set_gauge("connections", 7)

    page = page_of(metrics)
    assert value_of(page, 'msgstore_deliveries_total{domain="example.com",status="success"}') == 1
    assert value_of(page, 'msgstore_delivery_duration_seconds_bucket{domain="example.com",le="0.005"}') == 1
    assert value_of(page, 'msgstore_delivery_size_bytes_sum{domain="example.com"}') == 2000
    assert value_of(page, 'msgstore_auth_attempts_total{domain="example.com",status="success"}') == 1
    assert value_of(page, 'msgstore_accessd_events_total{event="frame_refused"}') == 1
    assert value_of(page, 'msgstore_accessd_current{what="connections"}') == 7


def test_workers_add_up_to_one_page_and_the_dead_stay_counted() -> None:
    first, second = Metrics(service="lmtpd"), Metrics(service="lmtpd")
    hub = MetricsHub()
    for part in (first, second):
        part.set_domains(["example.com"])
        part.count_delivery(domain="example.com", status="success", seconds=1, octets=1)
        part.set_gauge("connections", 3)
    hub.update("1", first.snapshot())
    hub.update("2", second.snapshot())

    hub.bury("1")
    hub.bury("never seen")

    page = hub.page().decode()
    assert value_of(page, 'msgstore_deliveries_total{domain="example.com",status="success"}') == 2
    assert value_of(page, 'msgstore_lmtpd_current{what="connections"}') == 3
    assert value_of(page, "msgstore_workers") == 1


def test_the_page_is_what_prometheus_reads() -> None:
    metrics = Metrics(service="lmtpd")
    metrics.set_domains(["example.com"])

    families = {family.name: family for family in text_string_to_metric_families(page_of(metrics))}

    assert families["msgstore_deliveries"].type == "counter"
    assert families["msgstore_delivery_duration_seconds"].type == "histogram"
    assert families["process_resident_memory_bytes"].samples[0].value > 1_000_000
    assert families["process_open_fds"].samples[0].value > 2


def test_the_page_holds_the_four_metrics_and_what_a_daemon_is_doing_and_nothing_else() -> None:
    metrics = Metrics(service="lmtpd")
    metrics.set_domains(["example.com"])

    types = sorted(re.findall(r"^# TYPE (\S+) (\S+)$", page_of(metrics), re.MULTILINE))

    assert types == [
        ("msgstore_auth_attempts_total", "counter"),
        ("msgstore_deliveries_total", "counter"),
        ("msgstore_delivery_duration_seconds", "histogram"),
        ("msgstore_delivery_size_bytes", "histogram"),
        ("msgstore_lmtpd_current", "gauge"),
        ("msgstore_lmtpd_events_total", "counter"),
        ("msgstore_workers", "gauge"),
        ("process_cpu_seconds_total", "counter"),
        ("process_open_fds", "gauge"),
        ("process_resident_memory_bytes", "gauge"),
        ("process_start_time_seconds", "gauge"),
    ]


def test_a_domain_hosted_later_has_its_series_and_a_removed_one_counts_as_other() -> None:
    metrics = Metrics(service="lmtpd")
    metrics.set_domains(["old.example"])
    metrics.count_auth(domain="old.example", success=True)

    metrics.set_domains(["new.example"])
    metrics.count_auth(domain="old.example", success=True)
    metrics.count_auth(domain="new.example", success=True)

    page = page_of(metrics)
    for domain in ("old.example", "new.example", "other"):
        assert value_of(page, f'msgstore_auth_attempts_total{{domain="{domain}",status="success"}}') == 1


def test_however_many_domains_come_and_go_there_are_a_thousand_labels() -> None:
    metrics = Metrics(service="lmtpd")

    for turn in range(3):
        metrics.set_domains([f"d{number}.turn{turn}.example" for number in range(700)])

    assert len(set(re.findall(r'_auth_attempts_total{domain="([^"]*)"', page_of(metrics)))) == 1000
