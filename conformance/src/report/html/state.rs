//! The congestion window and the timers of the reference's connections over time.

use std::collections::BTreeMap;

use super::markup::Markup;
use super::plot::{Plot, Range, legend};
use crate::results::story::{Sample, Story};

const HEIGHT: f64 = 200.0;

/// The samples of each socket.
pub(super) fn sockets(story: &Story) -> BTreeMap<i32, Vec<&Sample>> {
    let mut sockets: BTreeMap<i32, Vec<&Sample>> = BTreeMap::new();
    for sample in &story.samples {
        sockets.entry(sample.socket).or_default().push(sample);
    }
    sockets
}

/// Draws both plots of a socket.
pub(super) fn draw(page: &mut Markup, samples: &[&Sample]) {
    let x = Range::of(samples.iter().map(|s| seconds(s)));
    legend(
        page,
        &[
            ("cwnd", "cwnd"),
            ("ssthresh", "ssthresh"),
            ("flight", "in flight"),
            ("loss", "not in Open"),
        ],
    );
    let of = |value: fn(&Sample) -> Option<f64>| -> Vec<(f64, f64)> {
        samples.iter().filter_map(|s| Some((seconds(s), value(s)?))).collect()
    };
    let cwnd = of(|s| Some(f64::from(s.cwnd)));
    let ssthresh = of(|s| s.ssthresh.map(f64::from));
    let flight = of(|s| Some(f64::from(s.unacked)));
    let y = Range::of(cwnd.iter().chain(&ssthresh).chain(&flight).map(|p| p.1 * 1.1).chain([0.0]));
    let mut plot = Plot::start(page, HEIGHT, x, y, "segments");
    plot.steps("flight", &flight);
    plot.steps("ssthresh", &ssthresh);
    plot.steps("cwnd", &cwnd);
    for pair in samples.windows(2).filter(|p| p[0].ca_state != p[1].ca_state) {
        let s = pair[1];
        let says = format!("{} to {}, cwnd {}", pair[0].ca_state, s.ca_state, s.cwnd);
        plot.point("loss", seconds(s), f64::from(s.cwnd), &says);
    }
    plot.end();
    legend(page, &[("rto", "RTO"), ("srtt", "smoothed round-trip time")]);
    let rto = of(|s| Some(f64::from(s.rto_us) / 1e3));
    let srtt = of(|s| Some(f64::from(s.srtt_us) / 1e3));
    let y = Range::of(rto.iter().chain(&srtt).map(|p| p.1 * 1.1).chain([0.0]));
    let mut plot = Plot::start(page, HEIGHT, x, y, "ms");
    plot.steps("rto", &rto);
    plot.steps("srtt", &srtt);
    plot.end();
}

fn seconds(sample: &Sample) -> f64 {
    sample.at_us as f64 / 1e6
}
