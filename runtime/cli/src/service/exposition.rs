//! The text that monitoring reads: OpenMetrics 1.0, which Prometheus and its like scrape.

use super::Pulse;
use sprig_budget::process;
use std::fmt::{Display, Write};
use std::time::Duration;

/// Families of metrics, one after another. Names, labels and help are this program's own words, in which nothing has to be
/// escaped.
#[derive(Default)]
pub struct Exposition(String);

impl Exposition {
    /// What goes up and down.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        self.sample(name, "", value);
    }

    /// The same, where it is known.
    pub fn gauge_if(&mut self, name: &str, help: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.gauge(name, help, value);
        }
    }

    /// The same for each value of a label.
    #[cfg_attr(not(feature = "coordinator"), allow(dead_code))] // a board has one device
    pub fn gauges(&mut self, name: &str, help: &str, label: &str, values: &[(&str, u64)]) {
        self.family(name, "gauge", help);
        for (of, value) in values {
            self.sample(name, &format!("{{{label}=\"{of}\"}}"), value);
        }
    }

    /// What only goes up while the process runs.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help);
        self.sample(&format!("{name}_total"), "", value);
    }

    /// The same for each value of a label.
    pub fn counters(&mut self, name: &str, help: &str, label: &str, values: &[(&str, u64)]) {
        self.family(name, "counter", help);
        for (of, value) in values {
            self.sample(&format!("{name}_total"), &format!("{{{label}=\"{of}\"}}"), value);
        }
    }

    /// How often something was measured, and what it came to in all.
    pub fn summary(&mut self, name: &str, help: &str, (count, sum): (u64, f64)) {
        self.family(name, "summary", help);
        self.sample(&format!("{name}_count"), "", count);
        self.sample(&format!("{name}_sum"), "", sum);
    }

    /// What every service of a fleet has: its link, and what every process has.
    pub fn service(&mut self, pulse: &Pulse, budget: Option<u64>) {
        let traffic = pulse.traffic();
        self.gauge("sprig_connected", "Whether the broker has let it in.", u8::from(pulse.is_connected()));
        self.counter("sprig_sent_bytes", "Bytes of PUBLISH packets sent to the broker.", traffic.up);
        self.counter(
            "sprig_received_bytes",
            "Bytes of PUBLISH packets received from the broker.",
            traffic.down,
        );
        self.process(pulse.uptime(), budget);
    }

    /// What every process has: its memory, its age.
    pub fn process(&mut self, uptime: Duration, budget: Option<u64>) {
        let status = process::status();
        let version = format!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
        self.family("sprig_build", "info", "What runs.");
        self.sample("sprig_build_info", &version, 1);
        let resident = status.rss.map(|bytes| bytes.get());
        self.gauge_if("process_resident_memory_bytes", "Memory that is resident.", resident);
        let peak = status.peak_rss.map(|bytes| bytes.get());
        self.gauge_if("sprig_peak_resident_bytes", "The most that has been resident.", peak);
        self.gauge_if("sprig_budget_bytes", "The memory budget.", budget);
        self.gauge("sprig_uptime_seconds", "Time since the start.", uptime.as_secs_f64());
    }

    /// When the first of these certificates ends, if there is one.
    pub fn certificates(&mut self, ends: impl Iterator<Item = i64>) {
        let help = "When the first of its certificates ends, seconds since 1970.";
        self.gauge_if("sprig_certificate_not_after_timestamp_seconds", help, ends.min());
    }

    /// The text, with its end.
    pub fn finish(mut self) -> String {
        self.0 += "# EOF\n";
        self.0
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# TYPE {name} {kind}");
        if let Some(unit) = ["seconds", "bytes", "ratio"].into_iter().find(|unit| name.ends_with(unit)) {
            let _ = writeln!(self.0, "# UNIT {name} {unit}");
        }
        let _ = writeln!(self.0, "# HELP {name} {help}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_written_as_openmetrics_has_them() {
        let mut text = Exposition::default();
        text.counters("sprig_rounds", "Rounds.", "state", &[("closed", 3), ("abandoned", 0)]);
        text.summary("sprig_round_seconds", "Time.", (3, 1.5));
        text.gauge_if("sprig_none", "Not known.", None::<u8>);
        assert_eq!(
            text.finish(),
            "# TYPE sprig_rounds counter\n# HELP sprig_rounds Rounds.\nsprig_rounds_total{state=\"closed\"} 3\n\
             sprig_rounds_total{state=\"abandoned\"} 0\n# TYPE sprig_round_seconds summary\n# UNIT sprig_round_seconds \
             seconds\n# HELP sprig_round_seconds Time.\nsprig_round_seconds_count 3\nsprig_round_seconds_sum 1.5\n# EOF\n"
        );
    }
}
