//! Numbers as Prometheus scrapes them.

use prometheus_client::encoding::{prometheus_protobuf, text};
use prometheus_client::registry::Registry;

use crate::server::Response;

/// Prometheus' own protobuf, the only format that has native histograms.
const PROTOBUF: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
/// OpenMetrics' text, with the classic buckets of histograms.
const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The answer to a scrape: protobuf for a client that takes it (Prometheus with `scrape_native_histograms`), text for all others.
/// `accept` is the request's Accept.
#[must_use]
pub fn exposition(registry: &Registry, accept: &str) -> Response {
    let takes_protobuf = accept.split(',').any(|range| {
        range.contains("application/vnd.google.protobuf")
            && range.contains("io.prometheus.client.MetricFamily")
    });
    let mut written = String::new();
    let encoded = match takes_protobuf {
        true => prometheus_protobuf::encode_to_vec(registry).map_err(|error| error.to_string()),
        false => text::encode(&mut written, registry)
            .map(|()| written.into_bytes())
            .map_err(|error| error.to_string()),
    };
    match encoded {
        Ok(body) => {
            let content_type = if takes_protobuf { PROTOBUF } else { TEXT };
            Response { status: 200, content_type, allow: "", body }
        }
        Err(problem) => Response::text(500, problem),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::histogram::{Histogram, NativeHistogramConfig};

    fn registry() -> Registry {
        let mut registry = Registry::default();
        let starts: Counter = Counter::default();
        starts.inc_by(7);
        registry.register("starts", "What was started", starts);
        let config = NativeHistogramConfig::with_schema(3);
        let latency = Histogram::new_classic_and_native([0.1, 1.0], config);
        latency.observe(0.5);
        registry.register("latency_seconds", "How long it took", latency);
        registry
    }

    #[test]
    fn who_takes_no_protobuf_gets_text() {
        for accept in ["", "*/*", "application/openmetrics-text;version=1.0.0", "text/plain"] {
            let answer = exposition(&registry(), accept);
            assert_eq!((answer.status, answer.content_type), (200, TEXT));
            let text = String::from_utf8(answer.body).unwrap();
            assert!(text.contains("\nstarts_total 7\n"), "{text}");
            assert!(text.contains("\nlatency_seconds_bucket{le=\"1.0\"} 1\n"), "{text}");
            assert!(text.ends_with("# EOF\n"), "{text}");
        }
    }

    #[test]
    fn who_takes_protobuf_gets_native_histograms() {
        let accept = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,text/plain;q=0.5";
        let answer = exposition(&registry(), accept);
        assert_eq!((answer.status, answer.content_type), (200, PROTOBUF));
        let families = prometheus_protobuf::encode(&registry()).unwrap();
        let histogram = families.iter().find_map(|it| it.metric[0].histogram.as_ref()).unwrap();
        assert_eq!((histogram.schema, histogram.positive_span.len()), (3, 1));
        let has = |name: &[u8]| answer.body.windows(name.len()).any(|window| window == name);
        assert!(has(b"starts_total") && has(b"latency_seconds"));
    }
}
